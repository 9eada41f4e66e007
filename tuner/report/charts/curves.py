"""The trials' metrics over their training: a thin line each, pruned ones faded, the champion's bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from model.tasks import TASKS
from tuner.report.gather import Run, Trial, tasks_of
from tuner.report.html import absent, element, figure, number, table
from tuner.report.svg import INNER_X, INNER_Y, Scale, axes, dense, drawing, path, spanning

ORDER = {"FAIL": 0, "PRUNED": 1, "RUNNING": 2, "PAUSED": 2, "COMPLETE": 3}
"""Drawing order of the states, from the bottom."""
HEAD = ("metric", "evaluation", "trials", "lower quartile", "median", "upper quartile", "champion")


def section(run: Run) -> list[Element]:
    by_metric = curves(run.counted)
    if not by_metric:
        return absent("No trial has been evaluated yet.")
    panels = [panel(name, {name: lines}, run.champion_number) for name, lines in by_metric.items()]
    caption = (
        f"{len(run.counted)} trials on select at each of their evaluations, over the share of evaluations made. Dark: "
        "complete; faded and dashed: pruned; dotted: failed, paused or still running; bold: the champion. Evaluations before "
        "the last may be on a fixed part of select, which can cause a jump at the end."
    )
    return [figure("", panels, caption, _alternative(run, list(by_metric)))]


@dataclass(frozen=True)
class Curve:
    """One trial's values of one measure."""

    number: int
    state: str
    points: tuple[tuple[float, float], ...]
    """Share of the trial's evaluations made so far, above 0 to 1, and the value."""


def curves(trials: Sequence[Trial]) -> dict[str, list[Curve]]:
    """By each task's main metric."""
    metrics = [TASKS[task].metric for task in tasks_of(trials)]
    return {metric: lines for metric in metrics if (lines := measured(trials, "metrics", metric))}


def measured(trials: Sequence[Trial], field: str, name: str) -> list[Curve]:
    """The curves of one value of the evaluations' `metrics` or `health`, of the trials that have it."""
    lines = []
    for trial in trials:
        n = max(trial["config"].get("budget", {}).get("evaluations", 1), len(trial["evaluations"]))
        values = [(index / n, (look.get(field) or {}).get(name)) for index, look in enumerate(trial["evaluations"], start=1)]
        points = tuple((share, float(value)) for share, value in values if value is not None)
        if points:
            lines.append(Curve(trial["number"], trial["state"], points))
    return lines


def panel(name: str, lines: Mapping[str, Sequence[Curve]], champion: int | None, by_task: bool = False) -> Element:
    """One measure; `lines` by task or name. The colour is the task's if `by_task`, else the trial's state's."""
    values = [value for group in lines.values() for curve in group for _, value in curve.points]
    x, y = Scale(0.0, 1.0, *INNER_X), spanning(values, *INNER_Y)
    drawn = [
        _line(curve, x, y, f"t{colour(key)}" if by_task else "", f"{key} " if by_task else "")
        for key, group in lines.items()
        for curve in sorted(group, key=lambda curve: (curve.number == champion, ORDER.get(curve.state, 0)))
    ]
    label = f"{name}: {len(drawn)} curves from {number(min(values))} to {number(max(values))}"
    return drawing(label, axes(x, y, "share of training", name), drawn, class_=dense(len(drawn)) or None)


def _line(curve: Curve, x: Scale, y: Scale, colour_class: str, prefix: str) -> Element:
    points = [(x(share), y(value)) for share, value in curve.points]
    title = element("title", f"{prefix}trial {curve.number}, {curve.state}, last {number(curve.points[-1][1])}")
    classes = f"curve {curve.state.lower()} {colour_class}"
    if len(points) == 1:
        (at_x, at_y), classes = points[0], f"{classes} point"
        return element("circle", title, cx=at_x, cy=at_y, r=2.2, class_=classes, data_trial=curve.number)
    return element("path", title, d=path(points), class_=classes, data_trial=curve.number)


def colour(task: str) -> int:
    """The number of a task's colour, 0 to 5."""
    return list(TASKS).index(task) % 6 if task in TASKS else 0


def _alternative(run: Run, metrics: Sequence[str]) -> Element:
    """The quartiles of the trials at each evaluation, beside the champion."""
    champion = run.champion_trial["evaluations"] if run.champion_trial else []
    rows = [
        [metric, str(index), str(len(values)), *quartiles(values), number(_value(champion, index, metric))]
        for metric in metrics
        for index, values in by_evaluation(run.counted, metric).items()
    ]
    return table(HEAD, rows, "Quartiles of the trials at each evaluation")


def by_evaluation(trials: Sequence[Trial], metric: str) -> dict[int, list[float]]:
    """The trials' values at each evaluation that any of them reached, counted from 1."""
    last = max((len(trial["evaluations"]) for trial in trials), default=0)
    values = {
        index: [value for trial in trials if (value := _value(trial["evaluations"], index, metric)) is not None]
        for index in range(1, last + 1)
    }
    return {index: known for index, known in values.items() if known}


def _value(evaluations: Sequence[Mapping[str, Mapping[str, float]]], index: int, metric: str) -> float | None:
    return evaluations[index - 1]["metrics"].get(metric) if len(evaluations) >= index else None


def quartiles(values: Sequence[float], digits: int = 4) -> list[str]:
    """Lower quartile, median and upper quartile as text."""
    return [number(float(quartile), digits) for quartile in np.quantile(values, [0.25, 0.5, 0.75])]
