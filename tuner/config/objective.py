"""The objective of a search: one metric, the mean over several tasks, or several goals at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from model import metrics as metric_registry
from model.config import ConfigError, nearest
from model.data.arms import ARMS
from model.metrics import split_of
from model.tasks import TASKS

Direction = Literal["maximize", "minimize"]
MEAN = "mean"
OWN_MEAN = "own_mean"
CUE_GAP = "cue_gap/cfimdb/accuracy"
"""clean − inverted accuracy: the loss on examples whose cue contradicts the label. The only goal that is minimised."""


def metric_names() -> list[str]:
    """Every `task/metric` of an evaluation, by task."""
    return [name for task in TASKS.values() for name in metric_registry.metric_names(task)]


def goal_names() -> list[str]:
    """All goals. Metrics on dev and train are not among them, because nothing is chosen on these splits."""
    of_arms = [f"{arm}/cfimdb/{metric}" for arm in ARMS for metric in metric_registry.names_of_kind("classification")]
    return [MEAN, OWN_MEAN, *metric_names(), *of_arms, CUE_GAP]


def is_minimised(goal: str) -> bool:
    """Whether lower values are better."""
    return goal == CUE_GAP or metric_registry.is_minimised(goal)


class Measured(ABC):
    """Goals, and what every trial must measure for them."""

    targets: tuple[str, ...]
    """The tasks of `mean`."""

    @property
    @abstractmethod
    def goals(self) -> tuple[str, ...]:
        """Names of the goals."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the goals are computed from, as far as they are the same for all trials."""
        return tuple(dict.fromkeys(metric for goal in self.goals for metric in metrics_of(goal, self.targets)))

    @property
    def required_tasks(self) -> tuple[str, ...]:
        """The tasks that every trial must have."""
        return tasks_of(self.metrics)

    @property
    def watched(self) -> tuple[str, ...]:
        """The splits that every trial must watch; the cue gap needs two."""
        splits = [split_of(metric) for metric in self.metrics]
        needed = [arm for split in splits for arm in (("clean", "inverted") if split == split_of(CUE_GAP) else (split,))]
        return tuple(dict.fromkeys(arm for arm in needed if arm != "select"))


@dataclass(frozen=True)
class Objective(Measured):
    """One goal, or several separated by commas, as in `--metric`.

    A goal is `mean`, over the main metrics of the tasks in `targets`; `own_mean`, over those of the trial's own tasks; or one
    metric, such as `quora/f1`, or on an arm of a cue data set `clean/cfimdb/accuracy`.

    Higher is better for all goals but the cue gap. Raises `ConfigError` for an unknown or repeated metric, for the cue gap as
    the first or only goal, and for `mean` with unknown, repeated or missing targets.
    """

    name: str
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = [problem for goal in self.goals for problem in goal_problems(goal)]
        if len(set(self.goals)) < len(self.goals):
            problems.append(f"the metric {self.name} names a goal twice: take one of them out")
        if is_minimised(self.goals[0]):
            problems.append(
                f"{CUE_GAP} cannot be the first metric, because a random model minimises it; put the metric to maximise first, "
                f"such as clean/cfimdb/accuracy,{CUE_GAP}"
            )
        if MEAN in self.goals:
            problems += target_problems(self.targets)
        if problems:
            raise ConfigError(problems)

    @cached_property
    def goals(self) -> tuple[str, ...]:
        """Names of the goals. The first one is a trial's score."""
        return tuple(name.strip() for name in self.name.split(","))

    @property
    def directions(self) -> list[Direction]:
        """Direction of each goal."""
        return ["minimize" if is_minimised(goal) else "maximize" for goal in self.goals]

    def score(self, metrics: Mapping[str, float]) -> float:
        """The value of the first goal, from the `metrics` of an evaluation of at least `required_tasks`; may be NaN."""
        return value_of(self.goals[0], metrics, self.targets)

    def scores(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The value of every goal, by name."""
        return {goal: value_of(goal, metrics, self.targets) for goal in self.goals}

    def describe(self) -> str:
        """Such as `mean(sst/accuracy, quora/accuracy, sts/pearson)`, with semicolons between goals."""
        return "; ".join(map(self._words, self.goals))

    def _words(self, goal: str) -> str:
        if goal == OWN_MEAN:
            return "mean over the trial's own tasks"
        if goal == MEAN:
            return f"mean({', '.join(metrics_of(goal, self.targets))})"
        return f"{goal} (less is better)" if is_minimised(goal) else goal


def metrics_of(goal: str, targets: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics that a goal is computed from, as far as they are the same for all trials; `targets` are those of `mean`."""
    if goal == OWN_MEAN:
        return ()
    return tuple(TASKS[task].metric for task in targets) if goal == MEAN else (goal,)


def value_of(goal: str, metrics: Mapping[str, float], targets: tuple[str, ...]) -> float:
    """The value of a goal, computed from the `metrics` of an evaluation."""
    names = metrics_of(goal, targets) or tuple(task.metric for task in TASKS.values() if task.metric in metrics)
    return sum(metrics[name] for name in names) / len(names)


def tasks_of(metrics: Sequence[str]) -> tuple[str, ...]:
    """The tasks of these metrics, each once."""
    return tuple(dict.fromkeys(metric.split("/")[-2] for metric in metrics))


def goal_problems(name: str) -> list[str]:
    """A sentence where there is no goal of this name."""
    if name in goal_names():
        return []
    if split_of(name) in ("dev", "train") or split_of(name).startswith("dev-"):
        return [f"the metric {name} is on {split_of(name)}: nothing is chosen on what is reported; leave the split out"]
    valid = goal_names()
    return [f"unknown metric {name}{nearest(name, valid)}; the metrics are {', '.join(valid)}"]


def target_problems(targets: tuple[str, ...]) -> list[str]:
    """A sentence for every problem with `mean` over these tasks."""
    tasks = list(TASKS)
    if not targets:
        return [f"the metric mean needs targets: one or more of {', '.join(tasks)}"]
    problems = [
        f"unknown target {task}{nearest(task, tasks)}; the tasks are {', '.join(tasks)}"
        for task in targets
        if task not in tasks
    ]
    if len(set(targets)) < len(targets):
        problems.append(f"targets name a task twice: {', '.join(targets)}; name it once")
    return problems
