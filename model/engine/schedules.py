"""Schedules of the learning rate and of λ: a factor of their peak as a function of the update and the number of updates."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

from model.config import OptimConfig
from model.smart.config import SmartConfig

Decay = Literal["linear", "cosine", "constant"]


def rise_and_fall(update: int, n_updates: int, *, warmup: float, decay: Decay) -> float:
    """The factor of update `update` (from 0) of `n_updates`: a linear rise over the share `warmup`, then the decay to 0.

    No update has the factor 0, which would waste it.
    """
    # Exact decimals: in floats 0.07 · 100 is 7.000000000000001, which rounds up to 8.
    n_rising = math.ceil(Fraction(str(warmup)) * n_updates)
    if update < n_rising:
        return (update + 1) / n_rising
    progress = (update - n_rising) / max(1, n_updates - n_rising)
    if decay == "linear":
        return 1.0 - progress
    return 0.5 * (1.0 + math.cos(math.pi * progress)) if decay == "cosine" else 1.0


def learning_rate_factor(optim: OptimConfig, update: int, n_updates: int) -> float:
    """The learning rate of an update as a share of its peak."""
    return rise_and_fall(update, n_updates, warmup=optim.warmup, decay=optim.decay)


def lambda_factor(smart: SmartConfig, update: int, n_updates: int) -> float:
    """λ of an update as a share of `smart.lambda` and `smart.task_lambda`; always 1 for `constant`."""
    if smart.lambda_schedule == "constant":
        return 1.0
    decay: Decay = "cosine" if smart.lambda_schedule == "cosine" else "constant"
    return rise_and_fall(update, n_updates, warmup=smart.lambda_warmup, decay=decay)
