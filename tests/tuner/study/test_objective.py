"""What a search maximises."""

from __future__ import annotations

import pytest

from model.config import ConfigError
from model.tasks import TASKS
from tuner.config.objective import Objective, metric_names

METRICS = {"sst/accuracy": 0.5, "sst/f1": 0.4, "quora/accuracy": 0.8, "quora/f1": 0.7, "sts/pearson": 0.2, "sts/spearman": -0.1}


def test_mean_is_taken_over_the_main_metrics_of_the_targets() -> None:
    objective = Objective("mean", ("sst", "quora", "sts"))
    assert objective.score(METRICS) == pytest.approx((0.5 + 0.8 + 0.2) / 3)
    assert objective.required_tasks == ("sst", "quora", "sts")
    assert objective.describe() == "mean(sst/accuracy, quora/accuracy, sts/pearson)"


@pytest.mark.parametrize("name", METRICS)
def test_one_metric_needs_its_task_only(name: str) -> None:
    objective = Objective(name, ("sst", "quora"))
    assert objective.score(METRICS) == METRICS[name]
    assert objective.required_tasks == (name.partition("/")[0],)
    assert objective.describe() == name


def test_own_mean_is_taken_over_the_tasks_that_a_trial_has() -> None:
    objective = Objective("own_mean")
    assert objective.score(METRICS) == pytest.approx((0.5 + 0.8 + 0.2) / 3)
    assert objective.score({"sts/pearson": 0.2, "sts/spearman": 0.3, "dev/sst/accuracy": 0.9}) == 0.2
    assert objective.required_tasks == ()
    assert objective.describe() == "mean over the trial's own tasks"


def test_every_task_brings_its_main_metric() -> None:
    assert {task.metric for task in TASKS.values()} <= set(metric_names())


@pytest.mark.parametrize(("name", "targets", "expected"), [
    ("quora/f2", (), r"unknown metric quora/f2 \(did you mean quora/f1\?\); the metrics are mean, own_mean, sst/accuracy"),
    ("sts/accuracy", (), "unknown metric sts/accuracy"),
    ("mean", (), "the metric mean needs targets"),
    ("mean", ("sst", "qora"), r"unknown target qora \(did you mean quora\?\)"),
    ("mean", ("sst", "sst"), "name a task twice"),
])  # fmt: skip
def test_mistakes_are_told_with_what_is_allowed(name: str, targets: tuple[str, ...], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Objective(name, targets)
