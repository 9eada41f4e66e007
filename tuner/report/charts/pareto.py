"""Two measures at a time, with the front of the trials that none beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from xml.etree.ElementTree import Element

from model.tasks import TASKS
from tuner.config.objective import is_minimised
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import axes, drawing, figure, inner, number, path, table
from tuner.report.drawing.scales import spanning
from tuner.report.gather import Run, Trial, tasks_of
from tuner.results.pareto import dominates

MOST_PAIRS = 6


def section(run: Run) -> list[Element]:
    kind, found = planes(run)
    if not found:
        return [element("p", "No complete trial has two measures to set against each other.", class_="none")]
    panels = [draw(plane, run.champion_number) for plane in found]
    told = "The search's own goals" if kind == "goals" else "The search had one goal; these are its tasks, two at a time"
    caption = (
        f"{told}. A line joins the complete trials that no other beats in one measure without losing in the other; the ringed "
        "one is the champion. A front of measured values is itself chosen, and so too good."
    )
    rows = [[f"{plane.x} and {plane.y}", str(trial), number(a), number(b)] for plane in found for trial, a, b in plane.front]
    return [figure("", panels, caption, table(("measures", "trial", "first", "second"), rows, "The fronts"))]


def draw(plane: Plane, champion: int | None) -> Element:
    (left, right), (bottom, top) = inner()
    x = spanning([a for _, a, _ in plane.points], left, right)
    y = spanning([b for _, _, b in plane.points], bottom, top)
    on_front = {number_ for number_, _, _ in plane.front}
    dots = []
    for trial, a, b in plane.points:
        title = element("title", f"trial {trial}: {plane.x} {number(a)}, {plane.y} {number(b)}")
        classes = f"mark{' front' if trial in on_front else ' faint'}{' champion' if trial == champion else ''}"
        dot = element("circle", title, cx=x(a), cy=y(b), r=3.6, class_=classes)
        dot.set("data-trial", str(trial))
        dots.append(dot)
    corners = [(x(a), y(b)) for _, a, b in plane.front]
    line = element("path", d=path(corners), class_="frontline") if len(corners) > 1 else None
    names = [f"{name}{' (less is better)' if is_minimised(name) else ''}" for name in (plane.x, plane.y)]
    label = f"{plane.x} against {plane.y}: {len(plane.points)} trials, {len(plane.front)} on the front"
    return drawing(label, axes(x, y, names[0], names[1]), line, dots)


@dataclass(frozen=True)
class Plane:
    """All COMPLETE trials in two measures."""

    x: str
    y: str
    points: tuple[tuple[int, float, float], ...]
    """Number, value of x, value of y."""
    front: tuple[tuple[int, float, float], ...]
    """Those that none beats in one without losing in the other, by x."""


def planes(run: Run) -> tuple[str, list[Plane]]:
    """What the measures are, `goals` or `tasks`, and a plane for each pair of them: the search's goals where there are several,
    else the tasks' main metrics."""
    goals = list(next((trial["scores"] for trial in run.complete if len(trial.get("scores") or {}) > 1), {}))
    if goals:
        return "goals", _pairs(run.complete, "scores", goals)
    return "tasks", _pairs(run.complete, "metrics", [TASKS[task].metric for task in tasks_of(run.complete)])


def _pairs(trials: Sequence[Trial], where: str, names: Sequence[str]) -> list[Plane]:
    made = [plane(trials, where, x, y) for x, y in list(combinations(names, 2))[:MOST_PAIRS]]
    return [one for one in made if one.points]


def plane(trials: Sequence[Trial], where: str, x: str, y: str) -> Plane:
    """Of the trials that have both."""
    points = [
        (trial["number"], float(trial[where][x]), float(trial[where][y]))
        for trial in trials
        if (trial[where] or {}).get(x) is not None and trial[where].get(y) is not None
    ]
    turned = {number: (-a if is_minimised(x) else a, -b if is_minimised(y) else b) for number, a, b in points}
    front = [point for point in points if not any(dominates(other, turned[point[0]]) for other in turned.values())]
    return Plane(x, y, tuple(points), tuple(sorted(front, key=lambda point: point[1:])))
