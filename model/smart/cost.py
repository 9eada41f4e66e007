"""What a trial costs, counted before it runs."""

from __future__ import annotations

from model.config import SmartConfig


def cost_in_plain_steps(config: SmartConfig) -> float:
    """Arithmetic of one SMART step over that of a plain one: (6 + 2K + [μ>0]) / 3 (docs/mathematics.md, section 1).

    K is the variant's: `r3f` and `rdrop` take no inner step.

    A plain step is three forward passes' worth (one forward, two backward); each inner step adds two, the adversarial pass
    three, the teacher one. Tasks whose own λ is 0 are counted like the others.
    """
    if not config.enabled:
        return 1.0
    adversarial = 3 + 2 * config.inner_steps if config.is_smoothing else 0
    return (3 + adversarial + (config.mu > 0)) / 3
