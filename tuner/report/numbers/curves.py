"""Learning curves: each trial's metrics over its training, and how the trials spread at each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.tasks import TASKS
from tuner.report.run import Trial, tasks_of


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
