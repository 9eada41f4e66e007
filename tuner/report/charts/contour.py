"""The score over two parameters at a time, selectable on the page; the two most important ones come first."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import combinations, groupby
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from tuner.report.gather import Run, Trial
from tuner.report.html import absent, element, figure, legend, number, spread, table
from tuner.report.parameters import Column, columns, values_of
from tuner.report.svg import N_LEVELS, drawing, leveller, linear_ticks, log_ticks, short, text, tick_text

Floats = npt.NDArray[np.float64]
Place = tuple[float | None, float | None]
"""A trial's positions along two parameters, 0 to 1; None where it has no value."""
GRID = 20
"""Cells along a side."""
FEWEST = 5
"""Trials with both parameters below which there is no surface."""
NEAR = 0.6
"""Kernel weight, in trials at a cell's centre, below which a cell is blank."""
BLANK = "."
KERNEL_WIDTH = 0.2
"""For one trial, as a share of an axis: two thirds of Scott's rule for uniform positions, whose s.d. is 0.29."""
SIDE, LEFT, TOP, WIDTH, HEIGHT = 300.0, 140.0, 8.0, 454.0, 356.0
"""Of the square, and of the drawing, in pixels."""
COMMON = 0.9
"""Of the most trials that any pair of parameters has: pairs with fewer are not shown first."""


def section(run: Run) -> list[Element]:
    trials = run.complete
    parameters, positions, grids = surface(trials, [weight.name for weight in run.importance.weights] if run.importance else [])
    if not grids:
        return absent(f"There are not {FEWEST} complete trials yet that differ in two parameters.")
    n_both = {(x, y): sum(None not in (row[x], row[y]) for row in positions) for x, y in grids}
    x, y = min((pair for pair in grids if n_both[pair] >= COMMON * max(n_both.values())), key=lambda pair: (sum(pair), pair))
    data = {  # script.js draws the other pairs from it
        "columns": [{"name": short(column.name), "marks": marks(column)} for column in parameters],
        "places": [[None if at is None else round(at, 3) for at in row] for row in positions],
        "grids": {f"{x},{y}": grid for (x, y), grid in grids.items()},
        "square": {"left": LEFT, "top": TOP, "side": SIDE, "height": HEIGHT, "cells": GRID},
        "first": [x, y],
    }
    level = leveller([trial["score"] for trial in trials])
    choice = element("p", element("span", role="status", class_="status"), class_="choice", hidden=True)
    svg = _draw(trials, level, (parameters[x], parameters[y]), [(row[x], row[y]) for row in positions], grids[x, y])
    chart = element("div", choice, svg, id="surface", data_surface=json.dumps(data))
    caption = (
        f"{len(trials)} complete trials, and the mean score around each position (a Gaussian kernel, so that single trials "
        "count little); the stronger the colour, the better; blank where no trial is near. A picture of two parameters shows "
        "nothing of the others, which differ between these trials."
    )
    by_level = groupby(sorted(trial["score"] for trial in trials), key=level)
    bounds = [(step, list(scores)) for step, scores in by_level]
    colours = legend([(f"l{step}", spread((scores[0], scores[-1]))) for step, scores in bounds], "legend column")
    return [figure("", [chart, colours], caption, _alternative(trials, (parameters[x], parameters[y]), grids[x, y]))]


def _draw(
    trials: Sequence[Trial], level: Callable[[float], int], axes: tuple[Column, Column], places: Sequence[Place], grid: str
) -> Element:
    cell = SIDE / GRID
    cells = [
        element(
            "rect",
            x=LEFT + (i % GRID) * cell,
            y=TOP + SIDE - (i // GRID + 1) * cell,
            width=cell,
            height=cell,
            class_="blank" if step == BLANK else f"cell l{step}",
        )
        for i, step in enumerate(grid)
    ]
    dots = []
    for trial, (across, up) in zip(trials, places, strict=True):
        title = element("title", f"trial {trial['number']}, score {number(trial['score'])}")
        centre = {"cx": LEFT + (across or 0.0) * SIDE, "cy": TOP + (1 - (up or 0.0)) * SIDE}
        visibility = "hidden" if across is None or up is None else None
        classes = f"mark l{level(trial['score'])}"
        dots.append(
            element("circle", title, **centre, r=3.6, class_=classes, visibility=visibility, data_trial=trial["number"])
        )
    frame = element("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="frame")
    label = f"Score over {' and '.join(short(column.name) for column in axes)}"
    ticks = element("g", _ticks(*axes), class_="ticks")
    return drawing(label, element("g", cells, class_="cells"), frame, ticks, dots, width=WIDTH, height=HEIGHT)


def marks(column: Column) -> list[tuple[float, str]]:
    """Ticks of a parameter's axis: position, 0 to 1, and text."""
    n = len(column.levels)
    if n:
        return [((i + 0.5) / n, short(word, 20)) for i, word in enumerate(column.levels)]
    values = (log_ticks if column.is_log else linear_ticks)(column.low, column.high, 4)
    return [(round(column.position(value) or 0.0, 4), tick_text(value)) for value in values]


def _ticks(x: Column, y: Column) -> list[Element]:
    """Must equal `drawTicks` in script.js."""
    x_marks = marks(x)
    is_staggered = len(x_marks) > 4
    return [
        *(
            text(word, LEFT + at * SIDE, TOP + SIDE + 13 + 11 * (is_staggered and i % 2), "middle")
            for i, (at, word) in enumerate(x_marks)
        ),
        *(text(word, LEFT - 5, TOP + (1 - at) * SIDE + 4, "end") for at, word in marks(y)),
        text(short(x.name), LEFT + SIDE, HEIGHT - 4, "end", "name"),
        text(short(y.name), LEFT + 4, TOP + 12, "start", "name halo"),
    ]


def _alternative(trials: Sequence[Trial], axes: tuple[Column, Column], grid: str) -> Element:
    """The region with the highest mean of two parameters, and the best trials."""
    best = sorted(trials, key=lambda trial: -trial["score"])[:10]
    names = ", ".join(f"trial {trial['number']} ({number(trial['score'])})" for trial in best)
    cells = [divmod(i, GRID) for i, step in enumerate(grid) if step == max(grid.replace(BLANK, ""))]
    rows = []
    for column, steps in zip(axes, ([x for _, x in cells], [y for y, _ in cells]), strict=True):
        low, high, n = min(steps) / GRID, (max(steps) + 1) / GRID, len(column.levels)
        levels = ", ".join(word for i, word in enumerate(column.levels) if low <= (i + 0.5) / n <= high)
        interval = f"{tick_text(column.value_at(low))} to {tick_text(column.value_at(high))}"
        rows.append((column.name, (levels or "between the choices") if n else interval))
    region = table(("parameter", "where the mean is highest"), rows, "Where the mean is highest", n_words=2)
    return element("div", region, element("p", f"The best trials: {names}."))


def surface(
    trials: Sequence[Trial], order: Sequence[str] = ()
) -> tuple[list[Column], list[list[float | None]], dict[tuple[int, int], str]]:
    """The parameters, the trials' positions and the mean scores of COMPLETE trials over all pairs of parameters.

    The parameters come in `order`, those that it lacks last. Positions are (n_trials, n_parameters), 0 to 1, None without a
    value. For each pair x < y with enough trials there are `GRID`² levels as digits, rows of y from below; `.` is blank.
    """
    rank = {name: i for i, name in enumerate(order)}
    parameters = sorted(columns(trials), key=lambda column: rank.get(column.name, len(rank)))
    positions = [[column.position(values_of(trial).get(column.name)) for column in parameters] for trial in trials]
    scores = np.array([float(trial["score"]) for trial in trials])
    array = np.array(positions, dtype=np.float64).reshape(len(trials), len(parameters))  # None becomes NaN
    pairs = {(x, y): _grid(array[:, [x, y]], scores) for x, y in combinations(range(len(parameters)), 2)}
    return parameters, positions, {pair: grid for pair, grid in pairs.items() if grid is not None}


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
    """The Nadaraya–Watson mean of `scores` (n,) at the centres of `GRID`² cells, rows of y from below, and the kernel weight
    there, 1 for one trial at the centre. The Gaussian kernel's width is `KERNEL_WIDTH` n^(−1/6) of an axis.
    """
    width = KERNEL_WIDTH * len(scores) ** (-1 / 6)
    middles = (np.arange(GRID) + 0.5) / GRID
    near = [np.exp(-(((middles[:, None] - places[:, axis]) / width) ** 2) / 2) for axis in (0, 1)]  # (GRID, n) each
    weights = np.einsum("yn,xn->yx", near[1], near[0])
    means = np.einsum("yn,xn,n->yx", near[1], near[0], scores) / np.maximum(weights, 1e-12)
    return means.ravel(), weights.ravel()
