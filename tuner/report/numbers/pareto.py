"""Two goals at a time: the trials, and the front among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from model.tasks import TASKS
from tuner.config.objective import is_minimised
from tuner.report.run import Run, Trial, tasks_of
from tuner.results.pareto import dominates

MOST_PAIRS = 6


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
