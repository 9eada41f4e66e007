"""The trials' metrics over their training: a thin line each, pruned ones dotted, the champion's bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np
import plotly.graph_objects as go

from model.tasks import TASKS
from tuner.report.gather import Run, Trial, tasks_of
from tuner.report.html import absent, figure, number, table
from tuner.report.plot import ACCENT, CHAMPION, COLOURS, QUIET, axis, chosen, lines, plot, shown

STATES = {"FAIL": "#d2556b", "PRUNED": QUIET, "RUNNING": "#2f9e63", "PAUSED": "#9b62c9", "COMPLETE": ACCENT}
"""Colours of the states, in their drawing order from the bottom."""
HEAD = ("metric", "evaluation", "trials", "lower quartile", "median", "upper quartile", "champion")


def section(run: Run) -> list[Element]:
    by_metric = curves(run.counted)
    if not by_metric:
        return absent("No trial has been evaluated yet.")
    panels = [panel(name, by_state(curves), run.champion_number) for name, curves in by_metric.items()]
    caption = (
        f"{len(run.counted)} trials on select at each of their evaluations, over the share of evaluations made; a mark where "
        "each ended. The legend hides and shows. Evaluations before the last may be on a fixed part of select, which can cause "
        "a jump at the end."
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
    return {metric: found for metric in metrics if (found := measured(trials, "metrics", metric))}


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


def by_state(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    return {state.lower(): [curve for curve in curves if curve.state == state] for state in STATES}


def panel(name: str, groups: Mapping[str, Sequence[Curve]], champion: int | None) -> Element:
    """One measure; `groups` are curves by state or by task, which have their colours. The champion's are bold, above all."""
    curves = [curve for group in groups.values() for curve in group]
    colours = {state.lower(): colour for state, colour in STATES.items()} | dict(zip(TASKS, COLOURS, strict=False))
    traces = []
    for group, members in groups.items():
        others = {curve.number: curve.points for curve in members if curve.number != champion}
        dash = "dot" if group in ("pruned", "fail") else "solid"
        traces += lines(group, others, colours.get(group, ACCENT), len(curves), dash) if others else []
    for best in (curve for curve in curves if curve.number == champion):
        traces += lines("champion", {best.number: best.points}, CHAMPION, len(curves))
    drawing = go.Figure([*traces, chosen()], {"title": {"text": shown(name, 60)}, "xaxis": axis("share of training")})
    values = [value for curve in curves for _, value in curve.points]
    return plot(drawing, f"{name}: {len(curves)} curves from {number(min(values))} to {number(max(values))}")


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
