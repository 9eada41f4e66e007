"""The interface of the learning curves of a simulated search: the course of a trial for every configuration."""

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
    """In order; the trial fails at the first one with a metric that is NaN."""
    true_score: float
    """The last score without noise, in which regret is measured."""


class World(Protocol):
    """Learning curves for all configurations of a space."""

    @property
    def objective(self) -> Objective:
        """The objective of the scores."""

    @property
    def best(self) -> float:
        """The highest true score of any configuration."""

    def course(self, config: TrialConfig) -> Course:
        """The course of a configuration's trial; deterministic."""


def scored_metrics(objective: Objective, config: TrialConfig) -> tuple[str, ...]:
    """The metrics that the score of this configuration is the mean of."""
    return objective.metrics or tuple(TASKS[task].metric for task in config.mixture)
