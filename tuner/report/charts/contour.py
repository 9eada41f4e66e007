"""The score over two parameters at a time, selectable on the page; the two most important ones come first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from tuner.report.gather import Run, Trial
from tuner.report.html import absent, element, figure, legend, number, spread, table
from tuner.report.parameters import Column, columns, values_of
from tuner.report.svg import N_LEVELS, drawing, leveller, linear_ticks, log_ticks, short, text, tick_text

Floats = npt.NDArray[np.float64]
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
    order = [weight.name for weight in run.importance.weights] if run.importance else []
    found = surface(run.complete, order)
    if not found.grids:
        return absent(f"There are not {FEWEST} complete trials yet that differ in two parameters.")
    x, y = _first_pair(found)
    chart = element("div", _choice(found, x, y), _draw(found, x, y), id="surface", data_surface=json.dumps(_data(found)))
    caption = (
        f"{len(found.numbers)} complete trials, and the mean score around each position (a Gaussian kernel, so that single "
        "trials count little); the stronger the colour, the better; blank where no trial is near. A picture of two parameters "
        "shows nothing of the others, which differ between these trials."
    )
    scores = [
        sorted(score for score, level in zip(found.scores, found.levels, strict=True) if level == step)
        for step in range(N_LEVELS)
    ]
    items = [(f"l{step}", spread((own[0], own[-1]))) for step, own in enumerate(scores) if own]
    return [figure("", [chart, legend(items, "legend column")], caption, _alternative(found, x, y))]


def _first_pair(found: Surface) -> tuple[int, int]:
    """The most important pair among those that most trials have."""
    n_both = {(x, y): sum(None not in (row[x], row[y]) for row in found.positions) for x, y in found.grids}
    most = max(n_both.values())
    return min((pair for pair, n in n_both.items() if n >= COMMON * most), key=lambda pair: (sum(pair), pair))


def _choice(found: Surface, x: int, y: int) -> Element:
    """Two lists of parameters, shown where scripts run."""
    labels = [
        element(
            "label",
            f"{name} ",
            element(
                "select",
                [element("option", c.name, value=str(i), selected=i == chosen) for i, c in enumerate(found.columns)],
                name=name,
            ),
        )
        for name, chosen in (("across", x), ("upwards", y))
    ]
    return element("p", labels, element("span", role="status", class_="status"), class_="choice", hidden=True)


def _draw(found: Surface, x: int, y: int) -> Element:
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
        for i, step in enumerate(found.grids[x, y])
    ]
    dots = []
    for trial, score, level, row in zip(found.numbers, found.scores, found.levels, found.positions, strict=True):
        across, up = row[x], row[y]
        is_hidden = across is None or up is None
        title = element("title", f"trial {trial}, score {number(score)}")
        centre = {"cx": LEFT + (across or 0.0) * SIDE, "cy": TOP + (1 - (up or 0.0)) * SIDE}
        visibility = "hidden" if is_hidden else None
        dots.append(element("circle", title, **centre, r=3.6, class_=f"mark l{level}", visibility=visibility, data_trial=trial))
    frame = element("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="frame")
    ticks = element("g", _ticks(found.columns[x], found.columns[y]), class_="ticks")
    label = f"Score over {short(found.columns[x].name)} and {short(found.columns[y].name)}"
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


def _data(found: Surface) -> dict[str, Any]:
    """What script.js draws another pair from."""
    return {
        "columns": [{"name": short(column.name), "marks": marks(column)} for column in found.columns],
        "places": [[None if at is None else round(at, 3) for at in row] for row in found.positions],
        "grids": {f"{x},{y}": grid for (x, y), grid in found.grids.items()},
        "square": {"left": LEFT, "top": TOP, "side": SIDE, "height": HEIGHT, "cells": GRID},
    }


def _alternative(found: Surface, x: int, y: int) -> Element:
    """The region with the highest mean in the first pair, and the best trials."""
    order = sorted(range(len(found.numbers)), key=lambda i: -found.scores[i])[:10]
    best = ", ".join(f"trial {found.numbers[i]} ({number(found.scores[i])})" for i in order)
    grid = found.grids[x, y]
    top = max(grid.replace(BLANK, ""))
    cells = [i for i, step in enumerate(grid) if step == top]
    sides = ((found.columns[x], [i % GRID for i in cells]), (found.columns[y], [i // GRID for i in cells]))
    rows = [(column.name, _range(column, min(steps) / GRID, (max(steps) + 1) / GRID)) for column, steps in sides]
    region = table(("parameter", "where the mean is highest"), rows, "Where the mean is highest", n_words=2)
    return element("div", region, element("p", f"The best trials: {best}."))


def _range(column: Column, low: float, high: float) -> str:
    """From one position, 0 to 1, to another, in the parameter's own values."""
    if column.levels:
        n = len(column.levels)
        inside = [word for i, word in enumerate(column.levels) if low <= (i + 0.5) / n <= high]
        return ", ".join(inside) or "between the choices"
    return f"{tick_text(column.value_at(low))} to {tick_text(column.value_at(high))}"


@dataclass(frozen=True)
class Surface:
    """All pairs of parameters over the same trials."""

    columns: tuple[Column, ...]
    numbers: tuple[int, ...]
    scores: tuple[float, ...]
    levels: tuple[int, ...]
    """Colour level of each trial."""
    positions: tuple[tuple[float | None, ...], ...]
    """(n_trials, n_columns): each trial's position along each parameter, 0 to 1; None where it has no value."""
    grids: dict[tuple[int, int], str]
    """For each pair of columns x < y with enough trials, `GRID`² levels as digits, rows of y from below; `.` is blank."""


def surface(trials: Sequence[Trial], order: Sequence[str] = ()) -> Surface:
    """The surfaces of COMPLETE trials; the columns come in `order`, those that it lacks last."""
    rank = {name: i for i, name in enumerate(order)}
    found = sorted(columns(trials), key=lambda column: rank.get(column.name, len(rank)))
    positions = [tuple(column.position(values_of(trial).get(column.name)) for column in found) for trial in trials]
    scores = [float(trial["score"]) for trial in trials]
    array = np.array(positions, dtype=np.float64).reshape(len(trials), len(found))  # None becomes NaN
    grids = {
        (x, y): grid
        for x, y in combinations(range(len(found)), 2)
        if (grid := _grid(array[:, [x, y]], np.array(scores))) is not None
    }
    levels, numbers = tuple(map(leveller(scores), scores)), tuple(trial["number"] for trial in trials)
    return Surface(tuple(found), numbers, tuple(scores), levels, tuple(positions), grids)


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
