"""The mixture simplex: a corner for each task, a point for each trial, the stronger its colour the better."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from model.config import parse
from model.mixing import probability_table
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, figure, number, path, table, text
from tuner.report.drawing.scales import leveller
from tuner.report.gather import Run, tasks_of

PROGRESS = np.linspace(0.0, 1.0, 101)

SIDE, LEFT, TOP = 250.0, 45.0, 26.0
HEIGHT = SIDE * math.sqrt(3) / 2
CORNERS = ((0.5, 0.0), (0.0, 1.0), (1.0, 1.0))
"""Of a triangle, in units of its side and height; an edge has the lower two."""
MOST_ROWS = 20


def section(run: Run) -> list[Element]:
    found, points = faces(run), mixed(run)
    if not points:
        return [element("p", "No complete trial has a mixture whose shares are known.", class_="none")]
    level = leveller([point.score for point in points])
    panels = [draw(face, level, run.champion_number) for face in found]
    is_cut = any(not own for face in found for _, own in face.points)
    caption = (
        "Each trial where its tasks share the training examples, in expectation: at a corner it has one task, in the middle "
        "all three alike. The stronger the colour, the better; marks that lie on each other have the same shares."
        + (" Hollow: trials of a fourth task, shown by the shares of these three among themselves." if is_cut else "")
    )
    if not found:
        caption = "All trials have one task: there is nothing to share."
    best = sorted(points, key=lambda point: -point.score)[:MOST_ROWS]
    tasks = sorted({task for point in points for task in point.shares})
    rows = [[str(one.number), *(number(one.shares.get(task), 2) for task in tasks), number(one.score)] for one in best]
    alternative = table(("trial", *tasks, "score"), rows, f"Shares of the best {len(rows)} trials")
    return [figure("", panels, caption, alternative)]


def draw(face: Face, level: Callable[[float], int], champion: int | None) -> Element:
    corners = CORNERS if len(face.corners) == 3 else CORNERS[1:]
    spots = [(LEFT + x * SIDE, TOP + y * HEIGHT) for x, y in corners]
    names = [
        text(task, x, y + (-8 if y == TOP else 18), "middle", "name") for task, (x, y) in zip(face.corners, spots, strict=True)
    ]
    dots = []
    for point, own in sorted(face.points, key=lambda each: each[0].score):
        x, y = where(face, point, spots)
        told = ", ".join(f"{task} {share:.2f}" for task, share in point.shares.items())
        title = element("title", f"trial {point.number}, score {number(point.score)}: {told}")
        classes = f"mark l{level(point.score)}{'' if own else ' hollow'}{' champion' if point.number == champion else ''}"
        dot = element("circle", title, cx=x, cy=y, r=4, class_=classes)
        dot.set("data-trial", str(point.number))
        dots.append(dot)
    label = f"Shares of {', '.join(face.corners)}: {len(face.points)} trials"
    height = TOP + HEIGHT + 28
    return drawing(label, element("path", d=path(spots) + "Z", class_="simplex"), names, dots, height=height)


def where(face: Face, point: Mixed, spots: list[tuple[float, float]]) -> tuple[float, float]:
    """The mean of the corners, weighted by the shares."""
    shares = place(face, point)
    pairs = [(shares[task], spot) for task, spot in zip(face.corners, spots, strict=True)]
    return sum(share * x for share, (x, _) in pairs), sum(share * y for share, (_, y) in pairs)


@dataclass(frozen=True)
class Mixed:
    """A trial on the simplex."""

    number: int
    score: float
    shares: dict[str, float]
    """Of each of its tasks in the training examples; they sum to 1."""


@dataclass(frozen=True)
class Face:
    """The trials of three tasks, or of fewer of them; of four tasks, as they look without the fourth."""

    corners: tuple[str, ...]
    points: tuple[tuple[Mixed, bool], ...]
    """Each trial, and whether all of its tasks are corners."""


def shares(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, float] | None:
    """Mean share of each task in the examples of training, in expectation; None where a task's size is not known.

    `loop_to_max` takes a batch of every task at each step, so its shares are equal; other strategies draw the task.
    """
    own = {task: sizes[task] for task in config["mixture"] if task in sizes}
    if len(own) < len(config["mixture"]):
        return None
    mixing = parse(config).mixing
    if mixing.trains_all_tasks:
        return dict.fromkeys(own, 1 / len(own))
    mean = probability_table(mixing, own, PROGRESS).mean(axis=0)
    return dict(zip(own, mean.tolist(), strict=True))


def mixed(run: Run) -> list[Mixed]:
    """The COMPLETE trials whose shares are known."""
    sizes = {task: splits["train"] for task, splits in run.rows.items() if splits.get("train")}
    found = [(trial, shares(trial["config"], sizes)) for trial in run.complete]
    return [Mixed(trial["number"], trial["score"], own) for trial, own in found if own is not None]


def faces(run: Run) -> list[Face]:
    """One for each three of the tasks; a single edge where there are only two, and nothing for one task."""
    points = mixed(run)
    tasks = [task for task in tasks_of(run.complete) if any(task in point.shares for point in points)]
    corners: list[tuple[str, ...]] = [*combinations(tasks, 3)] or ([tuple(tasks)] if len(tasks) == 2 else [])
    return [face for face in (_face(chosen, points) for chosen in corners) if face.points]


def _face(corners: tuple[str, ...], points: Sequence[Mixed]) -> Face:
    inside = [(point, set(point.shares) <= set(corners)) for point in points if set(point.shares) & set(corners)]
    return Face(corners, tuple((point, own) for point, own in inside if own or set(corners) < set(point.shares)))


def place(face: Face, point: Mixed) -> dict[str, float]:
    """A point's shares among the corners alone; they sum to 1."""
    own = {task: point.shares.get(task, 0.0) for task in face.corners}
    total = sum(own.values())
    return {task: share / total for task, share in own.items()}
