"""The Pareto fronts: trials in two measures at a time, with the front of the non-dominated ones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from xml.etree.ElementTree import Element

import plotly.graph_objects as go

from model.tasks import TASKS
from tuner.config.objective import is_minimised
from tuner.report.gather import Run, tasks_of
from tuner.report.html import absent, figure, number, table
from tuner.report.plot import ACCENT, CHAMPION, QUIET, axis, plot, trials_at
from tuner.results.pareto import dominates, upwards

MOST_PAIRS = 6


def section(run: Run) -> list[Element]:
    kind, compared = planes(run)
    if not compared:
        return absent("No complete trial has two measures to set against each other.")
    measures = "The search's own goals" if kind == "goals" else "The search had one goal; these are its tasks, two at a time"
    caption = (
        f"{measures}. A line joins the complete trials that no other beats in one measure without losing in the other. "
        "A front of measured values is itself selected, and so too good."
    )
    rows = [[f"{plane.x} and {plane.y}", str(trial), number(a), number(b)] for plane in compared for trial, a, b in plane.front]
    alternative = table(("measures", "trial", "first", "second"), rows, "The fronts")
    return [figure("", [draw(plane, run.champion_number) for plane in compared], caption, alternative)]


@dataclass(frozen=True)
class Plane:
    """All COMPLETE trials in two measures; points are (number, value of x, value of y)."""

    x: str
    y: str
    points: tuple[tuple[int, float, float], ...]
    front: tuple[tuple[int, float, float], ...]
    """The non-dominated points, by x."""


def draw(plane: Plane, champion: int | None) -> Element:
    best = [point for point in plane.points if point[0] == champion]
    marks = {
        "dominated": (plane.points, {"color": QUIET}),
        "front": (plane.front, {"color": ACCENT, "size": 8}),
        "champion": (best, {"color": CHAMPION, "size": 12, "symbol": "star"}),
    }
    traces = [
        trials_at(points, name=name, marker=marker, mode="lines+markers" if name == "front" else "markers", line_color=ACCENT)
        for name, (points, marker) in marks.items()
        if points
    ]
    x, y = (axis(f"{name}{' (less is better)' if is_minimised(name) else ''}") for name in (plane.x, plane.y))
    label = f"{plane.x} against {plane.y}: {len(plane.points)} trials, {len(plane.front)} on the front"
    return plot(go.Figure(traces, {"xaxis": x, "yaxis": y}), label)


def planes(run: Run) -> tuple[str, list[Plane]]:
    """A plane for each pair of the search's `goals` if there are several, else of its `tasks`' main metrics; and which."""
    goals = list(next((trial["scores"] for trial in run.complete if len(trial.get("scores") or {}) > 1), {}))
    kind, field = ("goals", "scores") if goals else ("tasks", "metrics")
    names = goals or [TASKS[task].metric for task in tasks_of(run.complete)]
    compared = []
    for x, y in list(combinations(names, 2))[:MOST_PAIRS]:
        values = [(trial["number"], (trial[field] or {}).get(x), (trial[field] or {}).get(y)) for trial in run.complete]
        points = [(trial, float(a), float(b)) for trial, a, b in values if a is not None and b is not None]
        goods = [upwards({x: a, y: b}) for _, a, b in points]
        front = [point for point, good in zip(points, goods, strict=True) if not any(dominates(other, good) for other in goods)]
        compared.append(Plane(x, y, tuple(points), tuple(sorted(front, key=lambda point: point[1:]))))
    return kind, [plane for plane in compared if plane.points]
