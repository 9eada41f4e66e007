"""How far the champion can be trusted: intervals of its metrics, and how many trials it cannot be told from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.tasks import TASKS
from tuner.report.paper.effect import sampling_error
from tuner.report.run import Run, Trial, tasks_of
from tuner.results.model_card import interval


@dataclass(frozen=True)
class Measure:
    """One metric of the champion."""

    name: str
    select: float | None
    select_interval: tuple[float, float] | None
    dev: float | None
    """On the split that nothing was chosen on; None where it was not scored there."""
    dev_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Trust:
    """The champion among the others."""

    measures: tuple[Measure, ...]
    n_complete: int
    score_se: float | None
    """Standard error of the score from the size of select alone; None where the score is no metric and no mean of metrics."""
    rivals: tuple[int, ...]
    """COMPLETE trials whose score is less than two standard errors of a difference below the champion's."""


def trust(run: Run) -> Trust | None:
    """Of the run's champion; None without one."""
    champion = run.champion
    if champion is None:
        return None
    dev: Mapping[str, float] = champion.get("dev") or {}
    names = [name for name in dict.fromkeys((*champion["metrics"], *dev)) if name.count("/") == 1]
    measures = tuple(
        Measure(
            name,
            champion["metrics"].get(name),
            _interval(run, name, champion["metrics"].get(name), "select"),
            dev.get(name),
            _interval(run, name, dev.get(name), "dev"),
        )
        for name in names
    )
    se = score_se(run, champion)
    rivals = () if se is None else _rivals(run, champion, se)
    return Trust(measures, len(run.complete), se, rivals)


def _rivals(run: Run, champion: Mapping[str, Any], se: float) -> tuple[int, ...]:
    """The same select examples score both, so that errors of a difference are rather smaller: this counts too many, if any."""
    reach = 2 * math.sqrt(2) * se
    others = [trial for trial in run.complete if trial["number"] != champion["number"]]
    return tuple(trial["number"] for trial in others if abs(trial["score"] - champion["score"]) < reach)


def _interval(run: Run, name: str, value: float | None, split: str) -> tuple[float, float] | None:
    n = run.rows.get(name.partition("/")[0], {}).get(split, 0)
    return None if value is None else interval(name, value, n)


def score_se(run: Run, trial: Trial) -> float | None:
    """From the sampling errors of the metrics that the score is, or is the mean of."""
    own = {TASKS[task].metric: task for task in tasks_of([trial])}
    values = {name: trial["metrics"][name] for name in own if trial["metrics"].get(name) is not None}
    for names in [tuple(values), *_subsets(run), *((name,) for name in values)]:
        present = [name for name in names if name in values]
        if present and len(present) == len(names):
            mean = sum(values[name] for name in names) / len(names)
            if math.isclose(mean, trial["score"], abs_tol=1e-9):
                return _mean_se([metric_se(run, own[name], values[name]) for name in names])
    return None


def _subsets(run: Run) -> list[tuple[str, ...]]:
    """The metrics that the run's metric names, as in `mean(sst/accuracy, sts/pearson)`."""
    words = run.results["metric"].partition("mean(")[2].partition(")")[0]
    return [tuple(word.strip() for word in words.split(","))] if words else []


def metric_se(run: Run, task: str, value: float, split: str = "select") -> float | None:
    """Standard error of a task's main metric from the number of examples alone; None where that is not known."""
    n = run.rows.get(task, {}).get(split, 0)
    is_correlation = TASKS[task].kind == "regression"
    return sampling_error(is_correlation, min(max(value, -1.0 if is_correlation else 0.0), 1.0), n) if n else None


def _mean_se(each: list[float | None]) -> float | None:
    known = [se for se in each if se is not None]
    return math.sqrt(sum(se**2 for se in known)) / len(known) if len(known) == len(each) else None
