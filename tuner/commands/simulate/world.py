"""The interface of learning curves that a simulated search runs on: for every configuration the course of its trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from model.config import TrialConfig
from model.tasks import TASKS
from model.training.evaluation import Evaluation
from tuner.config.objective import Objective


@dataclass(frozen=True)
class Course:
    """All evaluations of a trial that is not stopped."""

    evaluations: tuple[Evaluation, ...]
    """From the first to the last; the trial fails at the first one with a metric that is NaN."""
    true_score: float
    """The last score without noise. Regret is measured in it, so that a lucky score does not count."""


class World(Protocol):
    """Learning curves for all configurations of a space."""

    @property
    def objective(self) -> Objective:
        """The goal that the scores are computed for."""

    @property
    def best(self) -> float:
        """The highest true score of any configuration."""

    def course(self, config: TrialConfig) -> Course:
        """The course of a configuration's trial, each time the same."""


def scored_metrics(objective: Objective, config: TrialConfig) -> tuple[str, ...]:
    """The metrics that the score of this configuration is the mean of."""
    return objective.metrics or tuple(TASKS[task].metric for task in config.mixture)
