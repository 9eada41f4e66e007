"""The settings of the SMART regulariser and its variants (docs/variants.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, create_model

from model.section import NonNegativeFloat, PositiveFloat, Probability, Section, describe_choices
from model.smart.variants import VARIANTS
from model.tasks import TASKS

if TYPE_CHECKING:
    SmartVariant = str
else:
    SmartVariant = Literal[tuple(VARIANTS)]

SMALLEST_EPSILON = {"fp32": 2.0**-24, "bf16": 2.0**-8}
"""The smallest usable ε of each precision: the spacing of its numbers near 0.5, the magnitude of an embedding."""


class PerTask(Section):
    """One optional number for each task, by its name: `smart.task_lambda.sst` is a setting like any other."""

    def given(self) -> dict[str, float]:
        """The numbers that are set, by task."""
        return {task: value for task, value in self if value is not None}


if TYPE_CHECKING:
    TaskLambda = PerTask
    TaskEpsilon = PerTask
else:
    # `__module__` makes the classes picklable.
    _LAMBDA, _EPSILON = (dict.fromkeys(TASKS, (number | None, None)) for number in (NonNegativeFloat, PositiveFloat))
    TaskLambda = create_model("TaskLambda", __base__=PerTask, __module__=__name__, **_LAMBDA)
    TaskEpsilon = create_model("TaskEpsilon", __base__=PerTask, __module__=__name__, **_EPSILON)


class SmartConfig(Section):
    """SMART (Jiang et al. 2020). `lambda` weighs the smoothness term R_s, `mu` the Bregman term; defaults as published."""

    enabled: bool = True
    """Whether SMART is on; false ignores the other settings."""
    variant: SmartVariant = Field(default="paper", description=describe_choices(VARIANTS))
    epsilon: PositiveFloat = 1e-5
    """ε: bound of the perturbation, ‖δ‖∞ ≤ ε, in units of the word embeddings."""
    sigma: NonNegativeFloat = 1e-5
    """σ: standard deviation of the random start of δ."""
    eta: PositiveFloat = 1e-3
    """η: step size of the inner ascent."""
    steps: Annotated[int, Field(ge=0, le=10)] = 1
    """K: inner ascent steps; 0 leaves δ random (R3F). `r3f` and `rdrop` ignore it and take none."""
    lambda_: NonNegativeFloat = Field(default=1.0, alias="lambda")
    """λ: weight of R_s."""
    lambda_schedule: Literal["constant", "warmup", "cosine"] = "constant"
    """`warmup` lets λ rise linearly to its value, `cosine` lets it fall to 0 along half a cosine after the rise."""
    lambda_warmup: Probability = 0.1
    """Share of the updates over which λ rises; `constant` ignores it."""
    task_lambda: TaskLambda = TaskLambda()
    """λ of single tasks, instead of `lambda`."""
    task_epsilon: TaskEpsilon = TaskEpsilon()
    """ε of single tasks, instead of `epsilon`."""
    mu: NonNegativeFloat = 1.0
    """μ: weight of the Bregman divergence to the momentum teacher; 0 keeps no teacher."""
    beta: Probability = 0.99
    """β of the teacher for the first `beta_switch` of the updates."""
    beta_late: Probability = 0.999
    """β afterwards."""
    beta_switch: Probability = 0.1
    """Share of the updates after which β changes."""
    dropout_masks: Literal["shared", "independent"] = "shared"
    """Whether the clean and the adversarial pass use the same dropout masks; `rdrop` always uses independent ones."""

    def teacher_beta(self, update: int, n_updates: int) -> float:
        """β of the teacher θ̃ ← (1 − β)θ + βθ̃ after update `update` (from 0) of `n_updates`."""
        return self.beta if update < self.beta_switch * n_updates else self.beta_late

    @property
    def is_smoothing(self) -> bool:
        """Whether R_s is computed for some task."""
        return self.enabled and max(self.lambda_, *self.task_lambda.given().values(), 0.0) > 0

    def lambda_of(self, task: str) -> float:
        """λ of a task."""
        return self.task_lambda.given().get(task, self.lambda_)

    def smooths(self, task: str) -> bool:
        """Whether R_s is computed for a task."""
        return self.enabled and self.lambda_of(task) > 0

    def epsilon_of(self, task: str) -> float:
        """ε of a task."""
        return self.task_epsilon.given().get(task, self.epsilon)

    @property
    def inner_steps(self) -> int:
        """Gradient steps that the variant takes to find δ."""
        return self.steps if VARIANTS[self.variant].takes_steps else 0

    def problems(self, precision: str) -> list[str]:
        """Why R_s would have no effect with these settings, a sentence for each reason; precision: `fp32` or `bf16`."""
        variant, problems = VARIANTS[self.variant], []
        if not self.is_smoothing:
            return []
        if variant.is_bounded:
            smallest = SMALLEST_EPSILON[precision]
            epsilons = {f"smart.task_epsilon.{task}": epsilon for task, epsilon in self.task_epsilon.given().items()}
            problems += [
                f"{name} {epsilon:g} rounds away in {precision}: the smallest usable is {smallest:.8g}; "
                "raise it, or use engine.precision: fp32"
                for name, epsilon in {"smart.epsilon": self.epsilon, **epsilons}.items()
                if epsilon < smallest
            ]
        if variant.moves_input and self.sigma == 0 and self.dropout_masks == "shared":
            problems.append(
                "smart.sigma is 0: δ would start at 0, where ℓ_s and its gradient are 0, and R_s would stay 0; "
                "give a positive value, such as 1.0e-5"
            )
        return problems


def cost_in_plain_steps(config: SmartConfig) -> float:
    """Arithmetic of a SMART step over that of a plain one: (6 + 2K + [μ>0]) / 3 (docs/mathematics.md, section 1).

    A plain step costs three forward passes (one forward, two backward); each inner step adds two, the adversarial pass three,
    the teacher one. K is 0 for `r3f` and `rdrop`. Tasks whose own λ is 0 are counted like the others.
    """
    if not config.enabled:
        return 1.0
    adversarial = 3 + 2 * config.inner_steps if config.is_smoothing else 0
    return (3 + adversarial + (config.mu > 0)) / 3
