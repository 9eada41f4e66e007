"""Percentile pruning: stops a trial outside the best quarter; `median` is the same with the best half."""

from __future__ import annotations

import math

from optuna import Study
from optuna.pruners import PercentilePruner
from optuna.trial import FrozenTrial, TrialState

from tuner.study.pareto_fronts import ParetoFronts, Vector
from tuner.study.pruners.base import N_STARTUP, GoalVectors, ParetoPruner, Pruner, Schedule


def is_behind(others: ParetoFronts, vector: Vector, percentile: float) -> bool:
    """Whether a vector is outside the best `percentile` (0 to 100) of the others: more than that share is on better fronts.

    With one goal: whether it is below the (100 − percentile)-th percentile, of two neighbours the lower one, since ranks cannot
    tell where between them it lies. On the first front it never is.
    """
    return others.n_ahead(vector) > math.ceil((len(others) - 1) * percentile / 100)


class ParetoPercentile(ParetoPruner):
    """Stops a trial that is behind the COMPLETE trials at the same evaluation."""

    def __init__(self, percentile: float, n_startup_trials: int, n_warmup_steps: int, goal_vectors: GoalVectors) -> None:
        super().__init__(goal_vectors)
        self._percentile = percentile
        self._n_startup = max(n_startup_trials, 1)
        self._n_warmup = n_warmup_steps

    def completed(self, trial: FrozenTrial) -> None:
        for index, vector in enumerate(self._goal_vectors(trial), start=1):
            self._fronts[index].add(vector)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        vectors = self._goal_vectors(trial)
        others = self._fronts[len(vectors)]
        if len(vectors) < self._n_warmup or len(others) < self._n_startup:
            return False
        return is_behind(others, vectors[-1], self._percentile)

    def _counts(self, trial: FrozenTrial) -> bool:
        return trial.state is TrialState.COMPLETE


def percentile_pruner(percentile: float, description: str) -> Pruner:
    """An entry that goes on with the best `percentile` of the trials."""

    def make(schedule: Schedule) -> PercentilePruner:
        return PercentilePruner(percentile, n_startup_trials=N_STARTUP, n_warmup_steps=schedule.n_warmup)

    def pareto(schedule: Schedule, goal_vectors: GoalVectors) -> ParetoPercentile:
        return ParetoPercentile(percentile, N_STARTUP, schedule.n_warmup, goal_vectors)

    return Pruner(description, make, pareto)


PRUNER = percentile_pruner(25.0, "stops a trial outside the best quarter of the complete ones at the same evaluation")
