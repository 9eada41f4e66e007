"""Asynchronous successive halving (Li et al. 2020): stops a trial at a rung unless it is among the best 1 in η there.

The rungs are the evaluations r, rη, rη², … Halving by Pareto rank is from Schmucker et al. 2021.
"""

from __future__ import annotations

from optuna import Study
from optuna.pruners import SuccessiveHalvingPruner
from optuna.trial import FrozenTrial

from tuner.study.pareto_fronts import ParetoFronts, Vector, crowding
from tuner.study.pruners.base import GoalVectors, ParetoPruner, Pruner
from tuner.study.records import SAME_AS

REDUCTION_FACTOR = 2
"""η. With the first rung at a tenth it is level with stock Ray (η = 4) on four of the five recorded sets, and ahead of it where
early scores mislead (docs/log.md)."""


def is_promoted(rung: ParetoFronts, vector: Vector, reduction_factor: int) -> bool:
    """Whether a vector, which the rung holds, is among its best 1 in η: by front, and within one by crowding distance.

    The first front is promoted as a whole, and so are vectors that neither front nor crowding tells apart.
    """
    index, n_ahead = rung.index_of(vector), rung.n_ahead(vector)
    if index == 0:
        return True
    n_promoted = max(len(rung) // reduction_factor, 1)
    if n_ahead >= n_promoted:
        return False
    distances = crowding(rung.front(index))
    return n_ahead + sum(distances[other] > distances[vector] for other in rung.front(index)) < n_promoted


def is_rung(index: int, first_rung: int, reduction_factor: int) -> bool:
    """Whether the evaluation `index` is one of r, rη, rη², …"""
    rung = first_rung
    while rung < index:
        rung *= reduction_factor
    return rung == index


class ParetoHalving(ParetoPruner):
    """Stops a trial at a rung unless it is among the best 1 in η of all that reached the same evaluation."""

    def __init__(self, min_resource: int, reduction_factor: int, goal_vectors: GoalVectors) -> None:
        super().__init__(goal_vectors)
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        *_, vector = vectors = self._goal_vectors(trial)
        if not is_rung(len(vectors), self._min_resource, self._reduction_factor):
            return False
        rung = self._fronts[len(vectors)]
        rung.add(vector)
        return not is_promoted(rung, vector, self._reduction_factor)

    def _counts(self, trial: FrozenTrial) -> bool:
        return SAME_AS not in trial.user_attrs  # a repeat was not trained


PRUNER = Pruner(
    "stops a trial at a rung (evaluations 1, 2, 4 and 8 of ten) unless it is among the best half there",
    lambda schedule: SuccessiveHalvingPruner(min_resource=schedule.first_rung, reduction_factor=REDUCTION_FACTOR),
    lambda schedule, goal_vectors: ParetoHalving(schedule.first_rung, REDUCTION_FACTOR, goal_vectors),
)
