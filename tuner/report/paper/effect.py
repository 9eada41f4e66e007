"""The effect of SMART on a score, and the errors to hold it against: between seeds, and of the dev set itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from model.tasks import TASKS
from tuner.report.paper.cells import Cell
from tuner.report.paper.trials import varying

ROUNDING = 1e-12
"""Scores are in −1..1: a standard error below this is float64's rounding of seeds that all differ alike, and is 0."""


@dataclass(frozen=True)
class Comparison:
    """A difference of two means."""

    difference: float
    se: float | None
    """Its standard error over seeds, 0 where they all differ alike; None where a side has one seed."""
    p: float | None
    """Two-sided, of Student's t; None without a positive standard error."""
    how: str
    """`paired`, `Welch`, or `one seed`."""

    @property
    def n_se(self) -> float | None:
        """The difference in standard errors."""
        return self.difference / self.se if self.se else None


@dataclass(frozen=True)
class Effect:
    """SMART minus without, of one score of one mixture in one mode, at the last evaluation."""

    without: Cell
    smart: Cell
    comparison: Comparison
    dev_se: float | None
    """Standard error of one such score from the size of dev alone; None where the run does not say how many rows it has."""

    @property
    def is_inside(self) -> bool:
        """Whether one of the two standard errors is unknown or covers the difference."""
        size, errors = abs(self.comparison.difference), (self.comparison.se, self.dev_se)
        return any(error is None or size <= error for error in errors)

    @property
    def confounders(self) -> dict[str, list[str]]:
        """Settings outside SMART in which the two sides differ, with their values."""
        return varying([*self.without.measured, *self.smart.measured], ignoring=("seed", "smart"))


def compare(without: Mapping[int, float], smart: Mapping[int, float]) -> Comparison:
    """Difference of the means of scores by seed: paired where both sides have the same seeds, else Welch's."""
    if without.keys() == smart.keys():
        return _paired(np.array([smart[seed] - without[seed] for seed in sorted(smart)]))
    return welch(list(without.values()), list(smart.values()))


def _paired(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Comparison:
    """`differences`: (n_seeds,), n − 1 degrees of freedom."""
    n, mean = len(differences), float(differences.mean())
    if n < 2:
        return Comparison(mean, None, None, "one seed")
    se = _exact(float(differences.std(ddof=1)) / math.sqrt(n))
    return Comparison(mean, se, _p(mean, se, n - 1), "paired")


def welch(without: Sequence[float], smart: Sequence[float]) -> Comparison:
    """Unequal variances, with the degrees of freedom of Welch and Satterthwaite."""
    difference = float(np.mean(smart) - np.mean(without))
    if min(len(without), len(smart)) < 2:
        return Comparison(difference, None, None, "one seed")
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (without, smart)]
    se = _exact(math.sqrt(sum(parts)))
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, (without, smart), strict=True))
    return Comparison(difference, se, _p(difference, se, se**4 / spread if spread else math.inf), "Welch")


def _exact(se: float) -> float:
    return se if se > ROUNDING else 0.0


def _p(difference: float, se: float, degrees: float) -> float | None:
    return float(2 * stats.t.sf(abs(difference) / se, degrees)) if se else None


def sampling_error(is_correlation: bool, score: float, n_rows: int) -> float | None:
    """Standard error of a score in −1..1 on `n_rows` rows: binomial for an accuracy, by Fisher's z for a correlation.

    The correlation's is half of the interval z ± 1/√(n − 3), taken back by tanh; None where n is too small for it.
    """
    if not is_correlation:
        return math.sqrt(score * (1 - score) / n_rows) if n_rows else None
    if n_rows <= 3:
        return None
    if abs(score) >= 1:
        return 0.0
    z, width = math.atanh(score), 1 / math.sqrt(n_rows - 3)
    return (math.tanh(z + width) - math.tanh(z - width)) / 2


def effects_of(cells: Sequence[Cell], rows: Mapping[str, Mapping[str, int]]) -> list[Effect]:
    """An effect for each dev score that the run has with and without SMART; `rows[task][split]` counts the data."""
    plain = {_place(cell): cell for cell in cells if not cell.training.smart}
    pairs = [(plain[_place(cell)], cell) for cell in cells if cell.training.smart and cell.column.split == cell.column.dev]
    return [_effect(without, smart, rows) for without, smart in pairs if without.measured and smart.measured]


def _place(cell: Cell) -> tuple[str, tuple[str, ...] | None, str]:
    return cell.mode, cell.training.mixture, cell.column.metric


def _effect(without: Cell, smart: Cell, rows: Mapping[str, Mapping[str, int]]) -> Effect:
    sides = [dict(zip(cell.seeds, cell.lasts, strict=True)) for cell in (without, smart)]
    is_one_per_seed = all(len(side) == len(cell.seeds) for side, cell in zip(sides, (without, smart), strict=True))
    found = compare(*sides) if is_one_per_seed else welch(without.lasts, smart.lasts)
    task = TASKS[smart.column.task]
    middle = (float(np.mean(without.lasts)) + float(np.mean(smart.lasts))) / 2
    n_rows = rows.get(task.name, {}).get(smart.column.split, 0)
    return Effect(without, smart, found, sampling_error(task.kind == "regression", middle, n_rows))
