"""The score over any two parameters: a kernel mean of the COMPLETE trials, blank where no trial is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from tuner.report.drawing.levels import N_LEVELS, leveller
from tuner.report.drawing.parameters import Column, columns, values_of
from tuner.report.run import Trial

Floats = npt.NDArray[np.float64]

GRID = 20
"""Cells along a side."""
FEWEST = 5
"""Trials that have both parameters, below which there is no surface."""
NEAR = 0.6
"""Weight of trials, in whole trials at a cell's middle, below which a cell is blank."""
BLANK = "."
WIDTH = 0.2
"""Of the kernel for one trial: two thirds of Scott's rule for places that are even over an axis, whose s.d. is 0.29."""


@dataclass(frozen=True)
class Surface:
    """All pairs of parameters over the same trials."""

    columns: tuple[Column, ...]
    numbers: tuple[int, ...]
    scores: tuple[float, ...]
    levels: tuple[int, ...]
    """Step of the colour scale of each trial."""
    positions: tuple[tuple[float | None, ...], ...]
    """(n_trials, n_columns): where each trial lies along each parameter, 0 to 1; None where it has none."""
    grids: dict[tuple[int, int], str]
    """For each pair of columns x < y with enough trials, `GRID`² steps as digits, rows of y from below; `.` is blank."""


def surface(trials: Sequence[Trial], order: Sequence[str] = ()) -> Surface:
    """Of COMPLETE trials; the columns come in `order`, those that it does not name last."""
    rank = {name: i for i, name in enumerate(order)}
    found = sorted(columns(trials), key=lambda column: rank.get(column.name, len(rank)))
    positions = [tuple(column.position(values_of(trial).get(column.name)) for column in found) for trial in trials]
    scores = [float(trial["score"]) for trial in trials]
    level = leveller(scores)
    whole = np.array([[np.nan if at is None else at for at in row] for row in positions]).reshape(len(trials), len(found))
    grids = {
        (x, y): grid
        for x, y in combinations(range(len(found)), 2)
        if (grid := _grid(whole[:, [x, y]], np.array(scores))) is not None
    }
    steps = tuple(level(score) for score in scores)
    return Surface(tuple(found), tuple(trial["number"] for trial in trials), tuple(scores), steps, tuple(positions), grids)


def _grid(places: Floats, scores: Floats) -> str | None:
    """`places` (n, 2) in 0..1 with NaN where a trial has no value."""
    known = ~np.isnan(places).any(axis=1)
    places, scores = places[known], scores[known]
    if len(scores) < FEWEST:
        return None
    means, weights = kernel_mean(places, scores)
    bounds = np.quantile(scores, np.arange(1, N_LEVELS) / N_LEVELS)
    steps = np.searchsorted(bounds, means, side="right")
    return "".join(str(step) if weight >= NEAR else BLANK for step, weight in zip(steps, weights, strict=True))


def kernel_mean(places: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Nadaraya and Watson's mean of `scores` (n,) at the middles of `GRID`² cells, rows of y from below, and the weight of
    the trials there, 1 for one trial in the very middle. The Gaussian kernel's width is `WIDTH` n^(−1/6) of an axis.
    """
    width = WIDTH * len(scores) ** (-1 / 6)
    middles = (np.arange(GRID) + 0.5) / GRID
    near = [np.exp(-(((middles[:, None] - places[:, axis]) / width) ** 2) / 2) for axis in (0, 1)]  # (GRID, n) each
    weights = np.einsum("yn,xn->yx", near[1], near[0])
    means = np.einsum("yn,xn,n->yx", near[1], near[0], scores) / np.maximum(weights, 1e-12)
    return means.ravel(), weights.ravel()
