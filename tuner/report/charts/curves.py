"""Courses of trials over their training: a thin line each, pruned ones faded, the champion's bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from model.tasks import TASKS
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import axes, dense, drawing, figure, inner, number, path, table
from tuner.report.drawing.scales import Scale, spanning
from tuner.report.gather import Run, Trial, tasks_of

ORDER = {"FAIL": 0, "PRUNED": 1, "RUNNING": 2, "PAUSED": 2, "COMPLETE": 3}
"""What is drawn first lies below."""


def section(run: Run) -> list[Element]:
    found = curves(run.counted)
    if not found:
        return [element("p", "No trial has been evaluated yet.", class_="none")]
    panels = [panel(name, {name: each}, run.champion_number) for name, each in found.items()]
    caption = (
        f"{len(run.counted)} trials on select at each of their evaluations, over the share of evaluations made. Dark: "
        "complete; faded and dashed: pruned; dotted: failed, paused or still running; bold: the champion. Evaluations before "
        "the last may be on a fixed part of select, so that a jump at the end can be the part's."
    )
    return [figure("", panels, caption, _alternative(run, list(found)))]


def panel(name: str, lines: Mapping[str, Sequence[Curve]], champion: int | None, by_task: bool = False) -> Element:
    """One measure; `lines` by task or name. Under `by_task` the colour is the task's, else the trial's state."""
    (left, right), (bottom, top) = inner()
    values = [value for each in lines.values() for curve in each for _, value in curve.points]
    x, y = Scale(0.0, 1.0, left, right), spanning(values, bottom, top)
    drawn = []
    for key, each in lines.items():
        colour = f"t{_index(key)}" if by_task else ""
        for curve in sorted(each, key=lambda curve: (curve.number == champion, ORDER.get(curve.state, 0))):
            drawn.append(line(curve, x, y, colour, champion, f"{key} " if by_task else ""))
    label = f"{name}: {sum(map(len, lines.values()))} courses from {number(min(values))} to {number(max(values))}"
    return drawing(label, axes(x, y, "share of training", name), drawn, class_=dense(len(drawn)) or None)


def line(curve: Curve, x: Scale, y: Scale, colour: str, champion: int | None, prefix: str) -> Element:
    points = [(x(at), y(value)) for at, value in curve.points]
    last = number(curve.points[-1][1])
    title = element("title", f"{prefix}trial {curve.number}, {curve.state}, last {last}")
    classes = f"curve {curve.state.lower()} {colour}{' champion' if curve.number == champion else ''}"
    if len(points) == 1:
        made = element("circle", title, cx=points[0][0], cy=points[0][1], r=2.2, class_=classes + " point")
    else:
        made = element("path", title, d=path(points), class_=classes)
    made.set("data-trial", str(curve.number))
    return made


def legend(tasks: Sequence[str]) -> Element:
    """The tasks and their colours."""
    items = [element("li", element("span", class_=f"swatch t{_index(task)}"), task) for task in tasks]
    return element("ul", items, class_="legend")


def _index(task: str) -> int:
    return list(TASKS).index(task) % 6 if task in TASKS else 0


def _alternative(run: Run, names: Sequence[str]) -> Element:
    """How the trials spread at each evaluation, beside the champion."""
    champion = next((trial for trial in run.counted if trial["number"] == run.champion_number), None)
    rows = []
    for name in names:
        for one in quartiles(run.counted, name):
            looks = champion["evaluations"] if champion else []
            own = looks[one.evaluation - 1]["metrics"].get(name) if len(looks) >= one.evaluation else None
            rows.append([name, str(one.evaluation), str(one.n), *map(number, (one.low, one.middle, one.high, own))])
    head = ("metric", "evaluation", "trials", "lower quartile", "median", "upper quartile", "champion")
    return table(head, rows, "Quartiles of the trials at each evaluation")


@dataclass(frozen=True)
class Curve:
    """One trial's course in one measure."""

    number: int
    state: str
    points: tuple[tuple[float, float], ...]
    """Share of the trial's evaluations that were made, above 0 to 1, and the value."""


@dataclass(frozen=True)
class Quartiles:
    """The trials that reached an evaluation."""

    evaluation: int
    n: int
    low: float
    middle: float
    high: float
    """Quartiles of the value."""


def curves(trials: Sequence[Trial]) -> dict[str, list[Curve]]:
    """By task, in its main metric."""
    found = {TASKS[task].metric: measured(trials, "metrics", TASKS[task].metric) for task in tasks_of(trials)}
    return {name: each for name, each in found.items() if each}


def measured(trials: Sequence[Trial], where: str, name: str) -> list[Curve]:
    """The curves of one number of the evaluations, `metrics` or `health`; of trials that have it."""
    found = []
    for trial in trials:
        n = trial["config"].get("budget", {}).get("evaluations", 1)
        points = [
            (index / max(n, len(trial["evaluations"])), float(evaluation[where][name]))
            for index, evaluation in enumerate(trial["evaluations"], start=1)
            if (evaluation.get(where) or {}).get(name) is not None
        ]
        if points:
            found.append(Curve(trial["number"], trial["state"], tuple(points)))
    return found


def quartiles(trials: Sequence[Trial], metric: str) -> list[Quartiles]:
    """At each evaluation that any trial reached."""
    by_index: dict[int, list[float]] = {}
    for trial in trials:
        for index, evaluation in enumerate(trial["evaluations"], start=1):
            if evaluation["metrics"].get(metric) is not None:
                by_index.setdefault(index, []).append(evaluation["metrics"][metric])
    return [
        Quartiles(index, len(values), *(float(q) for q in np.quantile(values, [0.25, 0.5, 0.75])))
        for index, values in sorted(by_index.items())
    ]
