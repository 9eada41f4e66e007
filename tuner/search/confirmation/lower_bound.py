"""Lower confidence bounds of the finalists' means over seeds, by which they are ranked (Student's t)."""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95
"""Of the one-sided bound."""
OWN_VARIANCE_FROM = 5
"""Seeds from which on each finalist's own standard deviation is used; with fewer, the pooled one.

With two seeds its own bound is 4.5 standard deviations below the mean (t = 6.3 with one degree of freedom), which is mostly
noise. Four finalists of two seeds pooled have four degrees of freedom (t = 2.1).
"""


def spread(scores: Sequence[float]) -> float | None:
    """The sample standard deviation √(Σ(xᵢ − x̄)² / (n − 1)) of scores (n,); None for n < 2."""
    n = len(scores)
    if n < 2:
        return None
    mean = math.fsum(scores) / n
    return math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (n - 1))


def pooled(samples: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """The pooled standard deviation √(Σ(nⱼ − 1)sⱼ² / Σ(nⱼ − 1)) of samples j, and its degrees of freedom Σ(nⱼ − 1).

    None where no sample has two scores.
    """
    degrees = sum(max(len(sample) - 1, 0) for sample in samples)
    if degrees == 0:
        return None
    squares = math.fsum(sd**2 * (len(sample) - 1) for sample in samples if (sd := spread(sample)) is not None)
    return math.sqrt(squares / degrees), degrees


def is_pooled(samples: Sequence[Sequence[float]]) -> bool:
    """Whether some sample is too small for its own standard deviation; then all use the pooled one, to be comparable."""
    return any(len(sample) < OWN_VARIANCE_FROM for sample in samples)


def lower_bounds(samples: Sequence[Sequence[float]]) -> list[float | None]:
    """x̄ − t · s / √n of each sample (n ≥ 1), with t the quantile of Student's distribution at `CONFIDENCE`.

    None for all samples where none has two scores, because the spread is unknown.
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
