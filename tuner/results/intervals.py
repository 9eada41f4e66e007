"""Confidence intervals."""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def interval(metric: str, value: float, n: int) -> tuple[float, float] | None:
    """The 95 % interval of a metric over n examples: Wilson's of an accuracy, Fisher's of a correlation; None of others.

    None too where the value has none, such as a correlation over fewer than 4 examples.
    """
    from scipy.stats import binomtest, norm

    kind = metric.rpartition("/")[2]
    if not math.isfinite(value) or n < 1:
        return None
    if kind == "accuracy":
        found = binomtest(round(value * n), n).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)
    if kind == "pearson" and n > 3 and abs(value) < 1:
        reach = norm.ppf((1 + CONFIDENCE) / 2) / math.sqrt(n - 3)
        return math.tanh(math.atanh(value) - reach), math.tanh(math.atanh(value) + reach)
    return None
