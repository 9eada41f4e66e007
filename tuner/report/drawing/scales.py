"""Maps values to positions on an axis and to colour levels, and picks ticks."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

N_LEVELS = 7


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high`, drawn from `start` to `end` in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, n: int = 5) -> list[float]:
        """About `n` round values on the axis."""
        return linear_ticks(self.low, self.high, n)


def linear_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between `low` and `high`."""
    if high <= low:
        return [low]
    rough = (high - low) / max(n, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Powers of ten between `low` and `high`, thinned to about `n`; linear ticks where there are fewer than two."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        return linear_ticks(low, high, n)
    return [10.0**k for k in range(first, last + 1, max(1, math.ceil((last - first) / n)))]


def spanning(values: Sequence[float], start: float, end: float) -> Scale:
    """A linear axis over `values`, 4 % wider on each side."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(high) * 0.05, 1e-3)
    return Scale(low - margin, high + margin, start, end)


def tick_text(value: float) -> str:
    """Such as `0.25`, `1e-05`, `3000`."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


def leveller(scores: Sequence[float]) -> Callable[[float], int]:
    """A function from a score to its colour level, 0 to `N_LEVELS` − 1, by quantiles of the scores."""
    ordered = sorted(scores)
    bounds = [ordered[len(ordered) * step // N_LEVELS] for step in range(1, N_LEVELS)] if ordered else []
    return lambda score: bisect_right(bounds, score)
