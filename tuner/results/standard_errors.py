"""Standard errors of metrics and of differences between means."""

from __future__ import annotations

import math
from collections.abc import Sequence


def sampling_error(is_correlation: bool, score: float, n_rows: int) -> float | None:
    """Standard error of a score in −1..1 on `n_rows` rows: binomial for an accuracy, by Fisher's z for a correlation.

    The correlation's is half of the interval z ± 1/√(n − 3), transformed back by tanh; None where n is too small for it.
    """
    if not is_correlation:
        return math.sqrt(score * (1 - score) / n_rows) if n_rows else None
    if n_rows <= 3:
        return None
    if abs(score) >= 1:
        return 0.0
    z, width = math.atanh(score), 1 / math.sqrt(n_rows - 3)
    return (math.tanh(z + width) - math.tanh(z - width)) / 2


def welch(sides: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Standard error of a difference between means and its degrees of freedom, after Welch and Satterthwaite.

    `sides` holds each mean's squared standard error and its degrees of freedom, which may be infinite.
    """
    variance = sum(variance for variance, _ in sides)
    spread = sum(variance**2 / degrees for variance, degrees in sides)
    return math.sqrt(variance), variance**2 / spread if spread else math.inf
