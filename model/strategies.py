"""The mixing strategies by name, and their settings: how the tasks share the training steps (docs/mathematics.md, section 3).

A new strategy is an entry of `STRATEGIES`: schema, reference, canonical form and schedule read it. No numpy is imported
here, so that the schema stays cheap to import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from model.section import NonNegativeFloat, Probability, Section, describe_choices

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Draw:
    """Everything that the distribution over the tasks may depend on."""

    mixing: MixingConfig
    tasks: tuple[str, ...]
    n: npt.NDArray[Any]
    """(n_tasks,) training examples of each task, float64."""
    progress: npt.NDArray[Any]
    """(n_progress, 1) position in the trial, 0 at the first step and 1 at the last."""


@dataclass(frozen=True)
class Strategy:
    """How the tasks of a step are chosen."""

    description: str
    """A phrase for the reference."""
    weights: Callable[[Draw], Any] | None
    """Distribution that each step draws its one task from, unnormalised, (n_tasks,) or (n_progress, n_tasks); None trains every
    task at every step."""
    setting: str | None = None
    """The field of `MixingConfig` that `weights` reads, if any."""


STRATEGIES: dict[str, Strategy] = {
    "loop_to_max": Strategy("trains every task at every step and repeats the smaller ones", None),
    "proportional": Strategy("draws one task per step with p_i ∝ n_i", lambda draw: draw.n),
    "sqrt": Strategy("with p_i ∝ √n_i", lambda draw: draw.n**0.5),
    "temperature": Strategy("with p_i ∝ n_i^(1/T)", lambda draw: draw.n ** (1 / draw.mixing.temperature), "temperature"),
    "uniform": Strategy("with equal p_i", lambda draw: draw.n**0),
    "annealed": Strategy(
        "with p_i ∝ n_i^α, where α falls from 1 to `annealed_end`",
        lambda draw: draw.n ** (1 - (1 - draw.mixing.annealed_end) * draw.progress),
        "annealed_end",
    ),
    "ratios": Strategy("with p_i as given", lambda draw: [draw.mixing.ratios[task] for task in draw.tasks], "ratios"),
}

if TYPE_CHECKING:
    MixingStrategy = str
else:
    MixingStrategy = Literal[tuple(STRATEGIES)]
LossWeights = Literal["equal", "log_classes", "uncertainty", "explicit"]


class MixingConfig(Section):
    """How the tasks of the mixture share the training steps (docs/mathematics.md, section 3)."""

    strategy: MixingStrategy = Field(default="loop_to_max", description=describe_choices(STRATEGIES))
    temperature: Annotated[float, Field(ge=1.0, le=100.0)] = 2.0
    """T of `temperature`: p_i ∝ n_i^(1/T)."""
    annealed_end: Probability = 0.2
    """α at the last step of `annealed`; it is 1 at the first (Stickland & Murray 2019)."""
    ratios: dict[str, Probability] = Field(default_factory=dict)
    """p of `ratios`, one entry for each task of the mixture, summing to 1."""
    loss_weights: LossWeights = "equal"
    """How the tasks' losses are weighted: `log_classes` divides each by the log of its classes, `uncertainty` learns them
    (Kendall et al. 2018), `explicit` uses `weights`."""
    weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Loss weights of `explicit`, one entry for each task of the mixture."""

    @property
    def trains_all_tasks(self) -> bool:
        """Whether every step trains every task; otherwise each step draws one."""
        return STRATEGIES[self.strategy].weights is None
