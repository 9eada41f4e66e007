"""The score over two parameters at a time. Which two is chosen on the page; it begins with the two most important ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, figure, number, short, spread, table, text
from tuner.report.drawing.parameters import Column, columns, values_of
from tuner.report.drawing.scales import N_LEVELS, Scale, leveller, tick_text
from tuner.report.gather import Run, Trial

Floats = npt.NDArray[np.float64]
GRID = 20
"""Cells along a side."""
FEWEST = 5
"""Trials that have both parameters, below which there is no surface."""
NEAR = 0.6
"""Weight of trials, in whole trials at a cell's middle, below which a cell is blank."""
BLANK = "."
KERNEL_WIDTH = 0.2
"""Of the kernel for one trial: two thirds of Scott's rule for places that are even over an axis, whose s.d. is 0.29."""

SIDE, LEFT, TOP, WIDTH, HEIGHT = 300.0, 140.0, 8.0, 454.0, 356.0
"""The square, and the room for it."""
COMMON = 0.9
"""Of the most trials that any two parameters have: two that fewer have are not shown first."""


def section(run: Run) -> list[Element]:
    order = [weight.name for weight in run.importance.weights] if run.importance else []
    found = surface(run.complete, order)
    if not found.grids:
        sentence = f"There are not {FEWEST} complete trials yet that differ in two parameters."
        return [element("p", sentence, class_="none")]
    x, y = first_pair(found)
    chart = element("div", _choice(found, x, y), _draw(found, x, y, run.champion_number), id="surface")
    chart.set("data-surface", json.dumps(_data(found)))
    caption = (
        f"{len(found.numbers)} complete trials, and the mean score around each place (a Gaussian kernel, so that single "
        "trials count little); the stronger the colour, the better; blank where no trial is near. A picture of two parameters "
        "says nothing of the others, which differ between these trials."
    )
    return [figure("", [chart, _legend(found)], caption, _alternative(found, x, y))]


def first_pair(found: Surface) -> tuple[int, int]:
    """The most important two that most trials have both of."""

    def n_both(pair: tuple[int, int]) -> int:
        return sum(row[pair[0]] is not None and row[pair[1]] is not None for row in found.positions)

    most = max(map(n_both, found.grids))
    return min((pair for pair in found.grids if n_both(pair) >= COMMON * most), key=lambda pair: (sum(pair), pair))


def _choice(found: Surface, x: int, y: int) -> Element:
    """Two lists to choose from; they are shown where scripts run."""
    chosen = []
    for name, own in (("across", x), ("upwards", y)):
        choices = [element("option", column.name, value=str(i), selected=i == own) for i, column in enumerate(found.columns)]
        chosen.append(element("label", f"{name} ", element("select", choices, name=name)))
    status = element("span", role="status", class_="status")
    return element("p", chosen, status, class_="choice", hidden=True)


def _draw(found: Surface, x: int, y: int, champion: int | None) -> Element:
    cell = SIDE / GRID
    grid = found.grids[x, y]
    cells = [
        element(
            "rect",
            x=LEFT + (i % GRID) * cell,
            y=TOP + SIDE - (i // GRID + 1) * cell,
            width=cell,
            height=cell,
            class_=cell_class(step),
        )
        for i, step in enumerate(grid)
    ]
    dots = []
    for number_, score, level, row in zip(found.numbers, found.scores, found.levels, found.positions, strict=True):
        across, up = row[x], row[y]
        place = {"cx": 0.0, "cy": 0.0} if across is None or up is None else {"cx": at_x(across), "cy": at_y(up)}
        title = element("title", f"trial {number_}, score {number(score)}")
        classes = f"mark l{level}{' champion' if number_ == champion else ''}"
        dot = element("circle", title, r=3.6, class_=classes, visibility=None if any(place.values()) else "hidden", **place)
        dot.set("data-trial", str(number_))
        dots.append(dot)
    frame = element("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="frame")
    ticks = element("g", _ticks(found.columns[x], found.columns[y]), class_="ticks")
    label = f"Score over {short(found.columns[x].name)} and {short(found.columns[y].name)}"
    return drawing(label, element("g", cells, class_="cells"), frame, ticks, dots, width=WIDTH, height=HEIGHT)


def cell_class(step: str) -> str:
    return "blank" if step == BLANK else f"cell l{step}"


def at_x(place: float) -> float:
    return LEFT + place * SIDE


def at_y(place: float) -> float:
    return TOP + (1 - place) * SIDE


def marks(column: Column) -> list[tuple[float, str]]:
    """Ticks of a parameter's axis: place, 0 to 1, and text."""
    if column.levels:
        n = len(column.levels)
        return [((i + 0.5) / n, short(word, 20)) for i, word in enumerate(column.levels)]
    scale = Scale(column.low, column.high, 0.0, 1.0, column.is_log)
    return [(round(scale(value), 4), tick_text(value)) for value in scale.ticks(4)]


def _ticks(x: Column, y: Column) -> list[Element]:
    """Kept in step with `drawTicks` in script.js."""
    many = len(marks(x)) > 4
    parts = []
    for i, (at, word) in enumerate(marks(x)):
        parts.append(text(word, at_x(at), TOP + SIDE + 13 + (11 if many and i % 2 else 0), "middle"))
    parts += [text(word, LEFT - 5, at_y(at) + 4, "end") for at, word in marks(y)]
    parts.append(text(short(x.name), LEFT + SIDE, HEIGHT - 4, "end", "name"))
    parts.append(text(short(y.name), LEFT + 4, TOP + 12, "start", "name halo"))
    return parts


def _data(found: Surface) -> dict[str, Any]:
    return {
        "columns": [{"name": short(column.name), "marks": marks(column)} for column in found.columns],
        "places": [[None if at is None else round(at, 3) for at in row] for row in found.positions],
        "grids": {f"{x},{y}": grid for (x, y), grid in found.grids.items()},
        "square": {"left": LEFT, "top": TOP, "side": SIDE, "height": HEIGHT, "cells": GRID},
    }


def _legend(found: Surface) -> Element:
    ordered = sorted(zip(found.levels, found.scores, strict=True))
    items = []
    for level in range(N_LEVELS):
        own = [score for step, score in ordered if step == level]
        if own:
            items.append(element("li", element("span", class_=f"swatch l{level}"), spread(own[0], own[-1])))
    return element("ul", items, class_="legend column")


def _alternative(found: Surface, x: int, y: int) -> Element:
    """Where the mean is highest in the two parameters that are drawn first, and the best of the trials."""
    order = sorted(range(len(found.numbers)), key=lambda i: -found.scores[i])[:10]
    best = ", ".join(f"trial {found.numbers[i]} ({number(found.scores[i])})" for i in order)
    rows = best_region(found, x, y).items()
    where = table(("parameter", "where the mean is highest"), rows, "Where the mean is highest", n_words=2)
    return element("div", where, element("p", f"The best trials: {best}."))


def best_region(found: Surface, x: int, y: int) -> dict[str, str]:
    """The range of each of two parameters over the cells of the highest step that is there."""
    grid = found.grids[x, y]
    top = max(step for step in grid if step != BLANK)
    cells = [i for i, step in enumerate(grid) if step == top]
    sides = ((found.columns[x], [i % GRID for i in cells]), (found.columns[y], [i // GRID for i in cells]))
    return {column.name: _range(column, min(along) / GRID, (max(along) + 1) / GRID) for column, along in sides}


def _range(column: Column, low: float, high: float) -> str:
    """From one place, 0 to 1, to another, in the parameter's own values."""
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
    the trials there, 1 for one trial in the very middle. The Gaussian kernel is `KERNEL_WIDTH` n^(−1/6) of an axis.
    """
    width = KERNEL_WIDTH * len(scores) ** (-1 / 6)
    middles = (np.arange(GRID) + 0.5) / GRID
    near = [np.exp(-(((middles[:, None] - places[:, axis]) / width) ** 2) / 2) for axis in (0, 1)]  # (GRID, n) each
    weights = np.einsum("yn,xn->yx", near[1], near[0])
    means = np.einsum("yn,xn,n->yx", near[1], near[0], scores) / np.maximum(weights, 1e-12)
    return means.ravel(), weights.ravel()
