"""Scores as a few steps of a colour scale."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

N_LEVELS = 7


def leveller(scores: Sequence[float]) -> Callable[[float], int]:
    """From a score to a step, 0 to `N_LEVELS` − 1, each of which an equal share of the scores has: outliers take one alone."""
    ordered = sorted(scores)
    bounds = [ordered[len(ordered) * step // N_LEVELS] for step in range(1, N_LEVELS)] if ordered else []
    return lambda score: bisect_right(bounds, score)
