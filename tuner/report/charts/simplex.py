"""The mixture simplex: a corner for each task, a point for each trial, coloured by its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import plotly.graph_objects as go

from model.config import parse
from model.mixing import probability_table
from tuner.report.gather import Run, tasks_of
from tuner.report.html import absent, figure, number, table
from tuner.report.plot import LEVELS, Trace, axis, plot

PROGRESS = np.linspace(0.0, 1.0, 101)
MOST_ROWS = 20

Faces = dict[tuple[str, ...], list[tuple["Mixed", bool]]]
"""The trials of each face by its corners, and whether all tasks of a trial are corners; else it is projected onto them."""


def section(run: Run) -> list[Element]:
    points = mixed(run)
    if not points:
        return absent("No complete trial has a mixture whose shares are known.")
    by_corners = faces(run, points)
    scores = [point.score for point in points]
    bounds = min(scores), max(scores)
    caption = "All trials have one task: there is nothing to share."
    if by_corners:
        caption = (
            "Each trial where its tasks share the training examples, in expectation: at a corner it has one task, in the "
            "middle all three in equal parts. Overlapping marks have the same shares."
        )
    if any(not is_whole for face in by_corners.values() for _, is_whole in face):
        caption += " Hollow: trials of a fourth task, shown by the shares of these three among themselves."
    best = sorted(points, key=lambda point: -point.score)[:MOST_ROWS]
    tasks = sorted({task for point in points for task in point.shares})
    rows = [[str(one.number), *(number(one.shares.get(task), 2) for task in tasks), number(one.score)] for one in best]
    alternative = table(("trial", *tasks, "score"), rows, f"Shares of the best {len(rows)} trials")
    return [figure("", [draw(corners, face, bounds) for corners, face in by_corners.items()], caption, alternative)]


def draw(corners: tuple[str, ...], points: Sequence[tuple[Mixed, bool]], bounds: tuple[float, float]) -> Element:
    """A triangle of three tasks; of two, the score over the first one's share. `bounds` are the colours' lowest and highest."""
    scores = [point.score for point, _ in points]
    symbols = ["circle" if is_whole else "circle-open" for _, is_whole in points]
    trace: Trace = {
        "mode": "markers",
        "marker": {"color": scores, "coloraxis": "coloraxis", "size": 9, "symbol": symbols},
        "customdata": [point.number for point, _ in points],
    }
    weights = list(zip(*(place(corners, point) for point, _ in points), strict=True))
    layout: dict[str, Any] = {"coloraxis": {"colorscale": LEVELS, "cmin": bounds[0], "cmax": bounds[1]}}
    if len(corners) == 2:
        trace |= {"type": "scatter", "x": weights[0], "y": scores}
        layout |= {"xaxis": axis(f"share of {corners[0]}"), "yaxis": axis("score")}
    else:
        trace |= {"type": "scatterternary", "cliponaxis": False, **dict(zip("abc", weights, strict=True))}
        names = {f"{side}axis": axis(task) for side, task in zip("abc", corners, strict=True)}
        layout |= {"ternary": names, "margin": {"l": 45, "r": 45, "t": 50, "b": 40}}
    return plot(go.Figure([trace], layout), f"Shares of {', '.join(corners)}: {len(points)} trials")


@dataclass(frozen=True)
class Mixed:
    """A trial on the simplex."""

    number: int
    score: float
    shares: dict[str, float]
    """Of each of its tasks in the training examples; they sum to 1."""


def shares(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, float] | None:
    """Mean share of each task in the examples of training, in expectation; None where a task's size is unknown.

    `loop_to_max` takes a batch of every task at each step, so its shares are equal; other strategies draw the task.
    """
    if not set(config["mixture"]) <= set(sizes):
        return None
    counts = {task: sizes[task] for task in config["mixture"]}
    mixing = parse(config).mixing
    if mixing.trains_all_tasks:
        return dict.fromkeys(counts, 1 / len(counts))
    mean = probability_table(mixing, counts, PROGRESS).mean(axis=0)
    return dict(zip(counts, mean.tolist(), strict=True))


def mixed(run: Run) -> list[Mixed]:
    """The COMPLETE trials whose shares are known."""
    sizes = {task: splits["train"] for task, splits in run.rows.items() if splits.get("train")}
    with_shares = [(trial, shares(trial["config"], sizes)) for trial in run.complete]
    return [Mixed(trial["number"], trial["score"], known) for trial, known in with_shares if known is not None]


def faces(run: Run, points: Sequence[Mixed]) -> Faces:
    """One for each three of the tasks; a single one for two tasks, and nothing for one task."""
    tasks = [task for task in tasks_of(run.complete) if any(task in point.shares for point in points)]
    by_corners: Faces = {}
    for corners in combinations(tasks, min(len(tasks), 3)) if len(tasks) > 1 else ():
        here = [(point, set(point.shares) <= set(corners)) for point in points]
        by_corners[corners] = [(point, is_whole) for point, is_whole in here if is_whole or set(corners) < set(point.shares)]
    return {corners: shown for corners, shown in by_corners.items() if shown}


def place(corners: Sequence[str], point: Mixed) -> list[float]:
    """A point's shares among the corners alone; they sum to 1."""
    known = [point.shares.get(task, 0.0) for task in corners]
    return [share / sum(known) for share in known]
