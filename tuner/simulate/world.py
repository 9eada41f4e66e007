"""What a simulated search meets: for every configuration the course its trial would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from model.config import TrialConfig
from model.evaluation import Evaluation
from model.tasks import TASKS
from tuner.objective import Objective


@dataclass(frozen=True)
class Course:
    """A trial from beginning to end, as it goes if nobody stops it."""

    evaluations: tuple[Evaluation, ...]
    """All of them. A metric that is NaN is where the trial fails."""
    true_score: float
    """What the last score is without its noise: regret is measured in it, so that a lucky score earns nothing."""


class World(Protocol):
    """Learning curves for all configurations of a space; the same configuration always takes the same course."""

    @property
    def objective(self) -> Objective:
        """What the scores are."""

    @property
    def best(self) -> float:
        """The highest true score there is."""

    def course(self, config: TrialConfig) -> Course: ...


def scored_metrics(objective: Objective, config: TrialConfig) -> tuple[str, ...]:
    """The metrics that the score of this configuration is the mean of."""
    return objective.metrics or tuple(TASKS[task].metric for task in config.mixture)
