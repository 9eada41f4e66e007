"""The searched parameters as columns: each trial's value, and its position on the parameter's axis."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuner.report.gather import Trial
from tuner.results.text import dotted

WIDE = 8.0
"""Highest over lowest value below which an axis is never logarithmic."""
NOT_SEARCHED = ("seed", "backbone", "watch")


@dataclass(frozen=True)
class Column:
    """A parameter over all trials."""

    name: str
    levels: tuple[str, ...] = ()
    """Of a choice; empty for a number."""
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False

    def position(self, value: Any) -> float | None:
        """The position of a value on the axis, 0 to 1; None for None."""
        if value is None:
            return None
        if self.levels:
            return (self.levels.index(as_text(value)) + 0.5) / len(self.levels)
        low, high, at = (math.log(x) if self.is_log else float(x) for x in (self.low, self.high, value))
        return (at - low) / (high - low)

    def ticks(self, n: int = 2) -> list[tuple[float, str]]:
        """Positions and texts: of every level, or of `n` numbers at equal distances from the lowest to the highest."""
        if self.levels:
            return [((i + 0.5) / len(self.levels), level) for i, level in enumerate(self.levels)]
        positions = [i / (n - 1) for i in range(n)]
        if self.is_log:
            return [(at, f"{self.low * (self.high / self.low) ** at:.3g}") for at in positions]
        return [(at, f"{self.low + at * (self.high - self.low):.3g}") for at in positions]


def as_text(value: Any) -> str:
    """A value as it is written in a space's file."""
    return str(value).lower() if isinstance(value, bool) else f"{value:.4g}" if isinstance(value, float) else str(value)


def values_of(trial: Trial) -> Mapping[str, Any]:
    """The drawn parameters of a trial; the settings of a trial recorded by a version that did not keep them."""
    drawn: Mapping[str, Any] | None = trial.get("params")
    if drawn is not None:
        return drawn
    return {
        name: "+".join(map(str, value)) if isinstance(value, list | tuple) else value
        for name, value in dotted(trial["config"]).items()
        if value is not None and name not in NOT_SEARCHED
    }


def columns(trials: Sequence[Trial]) -> list[Column]:
    """The parameters that differ between trials, by name; a trial has no value of a parameter that was not drawn for it."""
    by_name: dict[str, list[Any]] = {}
    for trial in trials:
        for name, value in values_of(trial).items():
            by_name.setdefault(name, []).append(value)
    return [_column(name, values) for name, values in sorted(by_name.items()) if len(set(map(as_text, values))) > 1]


def _column(name: str, values: Sequence[Any]) -> Column:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = float(min(values)), float(max(values))
        if high > low:
            middle = statistics.median(values)
            is_log = low > 0 and high / low >= WIDE
            if is_log:  # where the median is nearer to the middle of the axis than on a linear one
                share = math.log(middle / low) / math.log(high / low)
                is_log = abs(share - 0.5) < abs((middle - low) / (high - low) - 0.5)
            return Column(name, (), low, high, is_log)
    return Column(name, tuple(sorted(set(map(as_text, values)))))
