"""The score over two parameters at a time, chosen by two menus; the two most important ones come first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import plotly.graph_objects as go

from tuner.report.gather import Run, Trial
from tuner.report.html import absent, figure, number, table
from tuner.report.parameters import Column, as_text, columns, values_of
from tuner.report.plot import CLEAR, LEVELS, plot, shown

FEWEST = 5
"""Complete trials below which there is no chart."""
PER_CELL = 3
"""Trials of a cell, were all cells equally full."""
COMMON = 0.9
"""Of the most trials that any parameter has: those with fewer are not shown first."""
LOW = 0.1
"""Quantile of the scores at which the colours start, so that a few failures do not use them up."""
EMPTY = 0.01
"""Share of the cells' colours below the lowest score, which is transparent."""


def section(run: Run) -> list[Element]:
    trials = run.complete
    parameters = ordered(trials, [weight.name for weight in run.importance.weights] if run.importance else [])
    if len(trials) < FEWEST or len(parameters) < 2:
        return absent(f"There are not {FEWEST} complete trials yet that differ in two parameters.")
    caption = (
        f"{len(trials)} complete trials, over the mean score of those in each cell; blank cells have none. The menus choose "
        "the parameters. A picture of two parameters shows nothing of the others, which differ between these trials."
    )
    x, y = parameters[:2]
    best = sorted(trials, key=lambda trial: -trial["score"])[:10]
    rows = [
        [str(trial["number"]), *(as_text(values_of(trial).get(column.name, "–")) for column in (x, y)), number(trial["score"])]
        for trial in best
    ]
    alternative = table(("trial", x.name, y.name, "score"), rows, "The best trials")
    chart = plot(draw(trials, parameters), "Score over two parameters", 480)
    return [figure("", [chart], caption, alternative)]


def ordered(trials: Sequence[Trial], by_importance: Sequence[str]) -> list[Column]:
    """The parameters that differ between trials: first those that most trials have, by importance."""
    rank = {name: i for i, name in enumerate(by_importance)}
    parameters = columns(trials)
    n = {column.name: sum(column.name in values_of(trial) for trial in trials) for column in parameters}
    most = max(n.values(), default=0)
    return sorted(parameters, key=lambda column: (n[column.name] < COMMON * most, rank.get(column.name, len(rank))))


def draw(trials: Sequence[Trial], parameters: Sequence[Column]) -> go.Figure:
    """The mean score of each cell, a mark for each trial, and the menus: what one chooses replaces x or y of both."""
    scores = np.array([float(trial["score"]) for trial in trials])
    low, span = np.quantile(scores, LOW), max(scores.max() - np.quantile(scores, LOW), 1e-9)
    menus = [_menu(axis, trials, parameters, first) for first, axis in enumerate("xy")]
    (x, x_axis), (y, y_axis) = (menu["buttons"][menu["active"]]["args"] for menu in menus)
    places = {name: value[0] if name in ("x", "y") else value for name, value in {**x, **y}.items()}
    cells = {
        **places,
        "type": "histogram2d",
        "histfunc": "avg",
        "z": (np.clip((scores - low) / span, 0, None) + EMPTY).tolist(),  # Plotly draws empty cells like 0
        "zmin": 0,
        "zmax": 1 + EMPTY,
        "colorscale": [[0, CLEAR], [EMPTY / 2, LEVELS[0]], *zip(np.linspace(EMPTY, 1, len(LEVELS)), LEVELS, strict=True)],
        "showscale": False,
        "opacity": 0.45,
        "hoverinfo": "skip",
    }
    colour_axis = {"colorscale": LEVELS, "cmin": low, "cmax": low + span}
    marker = {"color": scores, "coloraxis": "coloraxis", "size": 8, "line": {"width": 1, "color": "#fff"}}
    numbers = [trial["number"] for trial in trials]
    marks = {"type": "scatter", "mode": "markers", "marker": marker, "customdata": numbers, "x": places["x"], "y": places["y"]}
    layout = {"updatemenus": menus, "showlegend": False, "coloraxis": colour_axis, **x_axis, **y_axis, "margin": {"t": 66}}
    return go.Figure([cells, marks], layout)


def _menu(axis: str, trials: Sequence[Trial], parameters: Sequence[Column], first: int) -> dict[str, Any]:
    """A menu that puts a parameter on the x or the y axis, as positions from 0 to 1; `first` is the one shown first."""
    buttons = []
    for column in parameters:
        positions = [column.position(values_of(trial).get(column.name)) for trial in trials]
        size = 1 / (len(column.levels) or min(max(round(math.sqrt(len(trials) / PER_CELL)), 3), 10))
        ticks = column.ticks(3)
        traces = {axis: [positions], f"{axis}bins": {"start": 0, "end": 1, "size": size}}
        layout = {
            f"{axis}axis.title.text": shown(column.name),
            f"{axis}axis.tickvals": [position for position, _ in ticks],
            f"{axis}axis.ticktext": [shown(text, 20) for _, text in ticks],
        }
        buttons.append({"label": f"{axis}: {shown(column.name, 24)}", "method": "update", "args": [traces, layout]})
    place = {"x": 0.5 * first, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}
    return {"buttons": buttons, "active": first, **place, "pad": {"t": 0}, "showactive": False}
