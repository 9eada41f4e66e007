"""What a search maximises: one metric, or the mean over several tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.config import ConfigError, nearest
from model.tasks import TASKS

MEAN = "mean"
OWN_MEAN = "own_mean"
METRICS_OF_KIND = {"classification": ("accuracy", "f1"), "regression": ("pearson", "spearman")}
"""f1 is that of class 1 for two classes and the macro mean for more."""


def metric_names() -> list[str]:
    """Every `task/metric` that an evaluation can hold, by task."""
    return [f"{task.name}/{metric}" for task in TASKS.values() for metric in METRICS_OF_KIND[task.kind]]


@dataclass(frozen=True)
class Objective:
    """`mean`, taken over the main metric of each task in `targets`; `own_mean`, over those of a trial's own tasks, whichever
    they are; or the name of one metric, such as `quora/f1`.

    Higher is better for all of them. Raises `ConfigError` for an unknown metric and, for `mean`, for unknown,
    repeated or absent targets.
    """

    name: str
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = _target_problems(self.targets) if self.name == MEAN else _metric_problems(self.name)
        if problems:
            raise ConfigError(problems)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the score is the mean of, as far as they are the same for all trials."""
        if self.name == OWN_MEAN:
            return ()
        return tuple(TASKS[task].metric for task in self.targets) if self.name == MEAN else (self.name,)

    @property
    def required_tasks(self) -> tuple[str, ...]:
        """The tasks without which there is no score."""
        return tuple(metric.partition("/")[0] for metric in self.metrics)

    def score(self, metrics: Mapping[str, float]) -> float:
        """The score of an evaluation whose `metrics` hold at least those of `required_tasks`; may be NaN."""
        names = self.metrics or tuple(task.metric for task in TASKS.values() if task.metric in metrics)
        return sum(metrics[name] for name in names) / len(names)

    def describe(self) -> str:
        """Such as `mean(sst/accuracy, quora/accuracy, sts/pearson)`."""
        if self.name == OWN_MEAN:
            return "mean over the trial's own tasks"
        return f"mean({', '.join(self.metrics)})" if self.name == MEAN else self.name


def _metric_problems(name: str) -> list[str]:
    valid = [MEAN, OWN_MEAN, *metric_names()]
    return [] if name in valid else [f"unknown metric {name}{nearest(name, valid)}; the metrics are {', '.join(valid)}"]


def _target_problems(targets: tuple[str, ...]) -> list[str]:
    tasks = list(TASKS)
    if not targets:
        return [f"the metric mean needs targets: one or more of {', '.join(tasks)}"]
    problems = [
        f"unknown target {task}{nearest(task, tasks)}; the tasks are {', '.join(tasks)}"
        for task in targets
        if task not in tasks
    ]
    if len(set(targets)) < len(targets):
        problems.append(f"targets name a task twice: {', '.join(targets)}")
    return problems
