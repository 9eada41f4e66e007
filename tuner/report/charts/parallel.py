"""Parallel coordinates: a line for each trial through its parameters and score, coloured by its score."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from xml.etree.ElementTree import Element

import numpy as np
import plotly.graph_objects as go

from tuner.report.gather import Run, Trial
from tuner.report.html import absent, figure, number, scrolled, table
from tuner.report.parameters import Column, as_text, columns, values_of
from tuner.report.plot import CHAMPION, LEVELS, QUIET, chosen, lines, plot, shown

MOST_AXES, MOST_ROWS = 9, 10
ABSENT = -0.12
"""Height at which a trial passes the axis of a parameter that it lacks; the axis is from 0 to 1."""


def section(run: Run) -> list[Element]:
    trials = [trial for trial in run.counted if trial["score"] is not None and trial["state"] in ("COMPLETE", "PRUNED")]
    parameters = columns(trials)
    if len(trials) < 2 or not parameters:
        return absent("There are no two trials yet that differ and have a score.")
    rank = {weight.name: i for i, weight in enumerate(run.importance.weights if run.importance else ())}
    n_trials = {column.name: sum(column.name in values_of(trial) for trial in run.counted) for column in parameters}
    axes = sorted(parameters, key=lambda column: (rank.get(column.name, len(rank)), -n_trials[column.name]))[:MOST_AXES]
    caption = (
        f"{len(trials)} trials, each a line through its values and its score at the right; complete ones are coloured by "
        "fifths of the score. A trial without a parameter, whose condition did not hold, passes below its axis."
    )
    if len(axes) < len(parameters):
        caption += f" {'The most important' if rank else 'Some'} {len(axes)} of {len(parameters)} parameters."
    best = sorted(trials, key=lambda trial: (trial["state"] != "COMPLETE", -trial["score"]))[:MOST_ROWS]
    rows = [[str(trial["number"]), *(_value(trial, column) for column in axes), number(trial["score"])] for trial in best]
    alternative = table(("trial", *(column.name for column in axes), "score"), rows, f"The best {len(rows)} trials")
    drawing = plot(draw(trials, axes, run.champion_number), "Parallel coordinates of the trials", 430, is_wide=True)
    return [figure("", [scrolled("Parallel coordinates", drawing)], caption, alternative)]


def draw(trials: Sequence[Trial], parameters: Sequence[Column], champion: int | None) -> go.Figure:
    scores = [float(trial["score"]) for trial in trials]
    axes = [*parameters, Column("score", (), min(scores), max(max(scores), min(scores) + 1e-9))]
    bounds = np.quantile(scores, np.linspace(0, 1, len(LEVELS) + 1)).tolist()
    levels = [f"{number(low, 3)} to {number(high, 3)}" for low, high in pairwise(bounds)]
    styles = [("pruned", QUIET), *zip(levels, LEVELS, strict=True), ("champion", CHAMPION)]
    by_style: list[dict[int, list[tuple[float, float]]]] = [{} for _ in styles]
    for trial in trials:
        values = {**values_of(trial), "score": trial["score"]}
        positions = [column.position(values.get(column.name)) for column in axes]
        style = 0 if trial["state"] == "PRUNED" else 1 + int(np.searchsorted(bounds[1:-1], trial["score"], side="right"))
        style = len(styles) - 1 if trial["number"] == champion else style
        by_style[style][trial["number"]] = [(i, ABSENT if at is None else at) for i, at in enumerate(positions)]
    traces = [
        trace
        for (name, colour), group in zip(styles, by_style, strict=True)
        if group
        for trace in lines(name, group, colour, len(trials), "dot" if name == "pruned" else "solid")
    ]
    names = [shown(column.name, 30).replace(".", ".<br>") for column in axes]
    layout = {
        "xaxis": {"tickvals": list(range(len(axes))), "ticktext": names, "range": [-0.4, len(axes) - 0.5], "side": "top"},
        "yaxis": {"visible": False, "range": [ABSENT - 0.05, 1.05]},
        "margin": {"t": 70},
        "annotations": [
            {"x": i, "y": position, "text": shown(text, 20), "xanchor": "left", "showarrow": False, "bgcolor": "#fff"}
            for i, column in enumerate(axes)
            for position, text in column.ticks()
        ],
    }
    return go.Figure([*traces, chosen()], layout)


def _value(trial: Trial, column: Column) -> str:
    value = values_of(trial).get(column.name)
    return "–" if value is None else as_text(value)
