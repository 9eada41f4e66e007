"""The settings of the smoothness regulariser: SMART as published, and what is set beside it (docs/variants.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from model.section import NonNegativeFloat, PositiveFloat, Probability, Section

SmartVariant = Literal["paper", "r3f", "rdrop", "mtdnn"]

SMALLEST_EPSILON = {"fp32": 2.0**-24, "bf16": 2.0**-8}
"""The smallest ε that a precision can add to an embedding: its spacing near 0.5. A smaller one would round away."""


class SmartConfig(Section):
    """SMART (Jiang et al. 2020). `lambda` weighs the smoothness term R_s, `mu` the Bregman term; defaults as published."""

    enabled: bool = True
    variant: SmartVariant = "paper"
    """Which regulariser R_s is; `model/smart_variants` has a file for each."""
    epsilon: PositiveFloat = 1e-5
    """ε: bound of the perturbation, ‖δ‖∞ ≤ ε, in units of the word embeddings."""
    sigma: NonNegativeFloat = 1e-5
    """σ: standard deviation of the random start of δ."""
    eta: PositiveFloat = 1e-3
    """η: step size of the inner ascent."""
    steps: Annotated[int, Field(ge=0, le=10)] = 1
    """K: inner ascent steps; 0 leaves δ random (R3F). `r3f` and `rdrop` take none, whatever it says."""
    lambda_: NonNegativeFloat = Field(default=1.0, alias="lambda")
    """λ: weight of R_s."""
    mu: NonNegativeFloat = 1.0
    """μ: weight of the Bregman divergence to the momentum teacher; 0 keeps no teacher."""
    beta: Probability = 0.99
    """β of the teacher for the first `beta_switch` of the updates."""
    beta_late: Probability = 0.999
    """β afterwards."""
    beta_switch: Probability = 0.1
    """Share of the updates after which β changes."""
    dropout_masks: Literal["shared", "independent"] = "shared"
    """Whether the clean and the adversarial pass use the same dropout masks; those of `rdrop` are always independent."""

    @property
    def is_smoothing(self) -> bool:
        """Whether R_s is computed at all."""
        return self.enabled and self.lambda_ > 0

    @property
    def inner_steps(self) -> int:
        """Gradient steps that the variant takes to find δ."""
        return self.steps if self.variant in ("paper", "mtdnn") else 0

    @property
    def is_bounded(self) -> bool:
        """Whether the variant projects δ to ‖δ‖∞ ≤ ε."""
        return self.variant in ("paper", "r3f")

    def problems(self, precision: str) -> list[str]:
        """Why R_s could not work with these settings: a sentence for each reason."""
        return [*self._epsilon_problems(precision), *self._sigma_problems()] if self.is_smoothing else []

    def _epsilon_problems(self, precision: str) -> list[str]:
        smallest = SMALLEST_EPSILON[precision]
        if not self.is_bounded or self.epsilon >= smallest:
            return []
        return [
            f"smart.epsilon {self.epsilon:g} rounds away in {precision}: the smallest usable is {smallest:.8g}; "
            "raise it, or use engine.precision: fp32"
        ]

    def _sigma_problems(self) -> list[str]:
        if self.variant == "rdrop" or self.sigma > 0 or self.dropout_masks == "independent":
            return []
        return [
            "smart.sigma is 0: δ would start at 0, where ℓ_s is least and its gradient is 0, and R_s would stay 0; "
            "give a positive value, such as 1.0e-5"
        ]
