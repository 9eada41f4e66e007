"""The effect of SMART on a score, with its standard errors: between seeds, and of the dev set itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from model.tasks import TASKS
from tuner.report.paper.cells import Cell
from tuner.report.paper.trials import varying
from tuner.results.standard_errors import sampling_error, welch

ROUNDING = 1e-12
"""A standard error below this is float64's rounding of equal differences, and counts as 0; scores are in −1..1."""


@dataclass(frozen=True)
class Comparison:
    """A difference of two means."""

    difference: float
    se: float | None
    """Its standard error over seeds, 0 where all seeds differ equally; None where a side has one seed."""
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
    """Standard error of one such score from the size of dev alone; None where dev's number of rows is unknown."""

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
    if without.keys() != smart.keys():
        return unpaired(list(without.values()), list(smart.values()))
    differences = [smart[seed] - without[seed] for seed in smart]
    n = len(differences)
    if n < 2:
        return Comparison(differences[0], None, None, "one seed")
    return _tested(float(np.mean(differences)), float(np.std(differences, ddof=1)) / math.sqrt(n), n - 1, "paired")


def unpaired(without: Sequence[float], smart: Sequence[float]) -> Comparison:
    """Difference of the means of scores, by Welch's test."""
    difference = float(np.mean(smart) - np.mean(without))
    if min(len(without), len(smart)) < 2:
        return Comparison(difference, None, None, "one seed")
    se, degrees = welch([(float(np.var(side, ddof=1)) / len(side), len(side) - 1) for side in (without, smart)])
    return _tested(difference, se, degrees, "Welch")


def _tested(difference: float, se: float, degrees: float, how: str) -> Comparison:
    if se <= ROUNDING:
        return Comparison(difference, 0.0, None, how)
    return Comparison(difference, se, float(2 * stats.t.sf(abs(difference) / se, degrees)), how)


def effects_of(cells: Sequence[Cell], rows: Mapping[str, Mapping[str, int]]) -> list[Effect]:
    """An effect for each dev score that the run has with and without SMART; `rows[task][split]` counts the data."""
    plain = {(cell.mode, cell.training.mixture_name, cell.column.metric): cell for cell in cells if not cell.training.smart}
    effects = []
    for smart in cells:
        column = smart.column
        if not smart.training.smart or column.split != column.dev:
            continue
        without = plain[smart.mode, smart.training.mixture_name, column.metric]
        if not (without.measured and smart.measured):
            continue
        sides = [dict(zip(cell.seeds, cell.lasts, strict=True)) for cell in (without, smart)]
        is_one_per_seed = [len(side) for side in sides] == [len(without.lasts), len(smart.lasts)]
        comparison = compare(*sides) if is_one_per_seed else unpaired(without.lasts, smart.lasts)
        middle = (float(np.mean(without.lasts)) + float(np.mean(smart.lasts))) / 2
        n_rows = rows.get(column.task, {}).get(column.split, 0)
        dev_se = sampling_error(TASKS[column.task].kind == "regression", middle, n_rows)
        effects.append(Effect(without, smart, comparison, dev_se))
    return effects
