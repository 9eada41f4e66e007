"""The lower confidence bound of a finalist's mean over seeds: what the finalists are ranked by."""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95
"""One-sided."""
OWN_VARIANCE_FROM = 5
"""Seeds from which a finalist's own spread is used; with fewer, that of all finalists pooled.

From two seeds of its own a bound is 4.5 standard deviations below the mean (t = 6.3 with one degree of freedom): nothing but
noise. Four finalists of two seeds pooled have four degrees (t = 2.1).
"""


def spread(scores: Sequence[float]) -> float | None:
    """The standard deviation of scores (n,), with n − 1; None for fewer than two."""
    n = len(scores)
    if n < 2:
        return None
    mean = math.fsum(scores) / n
    return math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (n - 1))


def pooled(samples: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """The standard deviation within samples, and its degrees of freedom Σ(n − 1); None where no sample has two scores."""
    degrees = sum(max(len(sample) - 1, 0) for sample in samples)
    if degrees == 0:
        return None
    squares = math.fsum(sd**2 * (len(sample) - 1) for sample in samples if (sd := spread(sample)) is not None)
    return math.sqrt(squares / degrees), degrees


def is_pooled(samples: Sequence[Sequence[float]]) -> bool:
    """Whether some finalist has too few seeds for a spread of its own. One rule for all, or bounds would not compare."""
    return any(len(sample) < OWN_VARIANCE_FROM for sample in samples)


def lower_bounds(samples: Sequence[Sequence[float]]) -> list[float | None]:
    """mean − t · s / √n of each sample (n ≥ 1), with t the quantile of Student's distribution at `CONFIDENCE`.

    None for all where no finalist has two seeds: one score says nothing of its spread.
    """
    from scipy.stats import t

    together = pooled(samples)
    if together is None:
        return [None] * len(samples)
    bounds: list[float | None] = []
    for sample in samples:
        s, degrees = together if is_pooled(samples) else (spread(sample) or 0.0, len(sample) - 1)
        bounds.append(math.fsum(sample) / len(sample) - float(t.ppf(CONFIDENCE, degrees)) * s / math.sqrt(len(sample)))
    return bounds
