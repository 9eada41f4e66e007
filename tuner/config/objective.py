"""What a search is after: one metric, the mean over several tasks, or several goals at once."""

from __future__ import annotations

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
"""clean − inverted: what a model loses where the cue says the opposite of the label. The one goal that is minimised."""


def metric_names() -> list[str]:
    """Every `task/metric` that an evaluation can hold, by task."""
    return [name for task in TASKS.values() for name in metric_registry.metric_names(task)]


def goal_names() -> list[str]:
    """Everything that a search can be after. What is measured on dev or train is not there: nothing is chosen on these."""
    of_arms = [f"{arm}/cfimdb/{metric}" for arm in ARMS for metric in metric_registry.names_of_kind("classification")]
    return [MEAN, OWN_MEAN, *metric_names(), *of_arms, CUE_GAP]


def is_minimised(goal: str) -> bool:
    """Whether less is better."""
    return goal == CUE_GAP or metric_registry.is_minimised(goal)


@dataclass(frozen=True)
class Objective:
    """One goal, or several parted by commas, as in `--metric`.

    A goal is `mean`, taken over the main metric of each task in `targets`; `own_mean`, over those of a trial's own tasks,
    whichever they are; or the name of one metric, such as `quora/f1`, or on an arm of a cue data set, `clean/cfimdb/accuracy`.

    Higher is better for all of them but the cue gap. Raises `ConfigError` for an unknown metric; for one that is named twice;
    for the cue gap as the first or only goal; and for `mean` with unknown, repeated or absent targets.
    """

    name: str
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = [problem for goal in self.goals for problem in goal_problems(goal)]
        if len(set(self.goals)) < len(self.goals):
            problems.append(f"the metric {self.name} names a goal twice: take one of them out")
        if is_minimised(self.goals[0]):
            problems.append(
                f"the metric {CUE_GAP} is least for a model that knows nothing: name what it must be good at first, such as "
                f"clean/cfimdb/accuracy,{CUE_GAP}"
            )
        if MEAN in self.goals:
            problems += target_problems(self.targets)
        if problems:
            raise ConfigError(problems)

    @cached_property
    def goals(self) -> tuple[str, ...]:
        """Names of the goals. The first one gives a trial's score."""
        return tuple(name.strip() for name in self.name.split(","))

    @property
    def directions(self) -> list[Direction]:
        """In the order of the goals."""
        return ["minimize" if is_minimised(goal) else "maximize" for goal in self.goals]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the goals are made from, as far as they are the same for all trials."""
        return tuple(dict.fromkeys(metric for goal in self.goals for metric in metrics_of(goal, self.targets)))

    @property
    def required_tasks(self) -> tuple[str, ...]:
        """The tasks without which there is no score."""
        return tasks_of(self.metrics)

    @property
    def watched(self) -> tuple[str, ...]:
        """The splits that a trial must watch to have its scores."""
        return splits_of(self.metrics)

    def score(self, metrics: Mapping[str, float]) -> float:
        """The first goal in an evaluation whose `metrics` hold at least those of `required_tasks`; may be NaN."""
        return value_of(self.goals[0], metrics, self.targets)

    def scores(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Every goal by name."""
        return {goal: value_of(goal, metrics, self.targets) for goal in self.goals}

    def describe(self) -> str:
        """Such as `mean(sst/accuracy, quora/accuracy, sts/pearson)`; several goals are parted by semicolons."""
        return "; ".join(map(self._words, self.goals))

    def _words(self, goal: str) -> str:
        if goal == OWN_MEAN:
            return "mean over the trial's own tasks"
        if goal == MEAN:
            return f"mean({', '.join(metrics_of(goal, self.targets))})"
        return f"{goal} (less is better)" if is_minimised(goal) else goal


def metrics_of(goal: str, targets: tuple[str, ...]) -> tuple[str, ...]:
    """The metrics that a goal is made from, as far as they are the same for all trials; `targets` are those of `mean`."""
    if goal == OWN_MEAN:
        return ()
    return tuple(TASKS[task].metric for task in targets) if goal == MEAN else (goal,)


def value_of(goal: str, metrics: Mapping[str, float], targets: tuple[str, ...]) -> float:
    """A goal in an evaluation whose `metrics` hold what it is made from."""
    names = metrics_of(goal, targets) or tuple(task.metric for task in TASKS.values() if task.metric in metrics)
    return sum(metrics[name] for name in names) / len(names)


def tasks_of(metrics: Sequence[str]) -> tuple[str, ...]:
    """The tasks that the metrics are of, each once."""
    return tuple(dict.fromkeys(metric.split("/")[-2] for metric in metrics))


def splits_of(metrics: Sequence[str]) -> tuple[str, ...]:
    """The splits that a trial must watch to have these metrics; the cue gap needs two."""
    splits = [split_of(metric) for metric in metrics]
    needed = [arm for split in splits for arm in (("clean", "inverted") if split == split_of(CUE_GAP) else (split,))]
    return tuple(dict.fromkeys(arm for arm in needed if arm != "select"))


def goal_problems(name: str) -> list[str]:
    """Why a goal cannot be had; empty where it can."""
    if name in goal_names():
        return []
    if split_of(name) in ("dev", "train") or split_of(name).startswith("dev-"):
        return [f"the metric {name} is on {split_of(name)}: nothing is chosen on what is reported; leave the split out"]
    valid = goal_names()
    return [f"unknown metric {name}{nearest(name, valid)}; the metrics are {', '.join(valid)}"]


def target_problems(targets: tuple[str, ...]) -> list[str]:
    """Why `mean` cannot be taken over these tasks."""
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
