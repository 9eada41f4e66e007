"""Pruning by Pareto rank: what `median`, `percentile` and `asha` mean under several goals.

A trial is judged by the vector of its goals at an evaluation, among what other trials had at the same evaluation. Optuna has
nothing of the kind: its `report` and `should_prune` raise under several goals. Halving by rank is from Schmucker et al. 2021.

With one goal both rules are those of Optuna's pruners, as far as ranks can tell (see `is_behind`) and scores only rise:
Optuna's median takes a trial's best score so far, which several goals do not have.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from optuna import Study
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from tuner.study.pruners.non_dominated_sort import Fronts, Vector, crowding
from tuner.study.records import SAME_AS

VectorsOf = Callable[[FrozenTrial], Sequence[Vector]]
"""The goals of each evaluation of a trial, in order; more is better."""


def is_behind(others: Fronts, vector: Vector, percentile: float) -> bool:
    """Whether a vector is outside the best `percentile` (0 to 100) of the others: more than that share is on better fronts.

    With one goal: whether it is below the (100 − percentile)-th percentile, of two neighbours the lower one, since ranks cannot
    tell where between them it lies. On the first front it never is.
    """
    return others.n_ahead(vector) > math.ceil((len(others) - 1) * percentile / 100)


def is_promoted(rung: Fronts, vector: Vector, reduction_factor: int) -> bool:
    """Whether a vector, which the rung holds, is among its best 1 in η: by front, and within one by crowding distance.

    The first front is promoted as a whole, and so are vectors that neither front nor crowding tells apart.
    """
    index, n_ahead = rung.index_of(vector), rung.n_ahead(vector)
    if index == 0:
        return True
    n_promoted = max(len(rung) // reduction_factor, 1)
    if n_ahead >= n_promoted:
        return False
    room = crowding(rung.front(index))
    return n_ahead + sum(room[other] > room[vector] for other in rung.front(index)) < n_promoted


class ParetoPruner(BasePruner):
    """Keeps the fronts of each evaluation up to date, so that a judgement does not sort the study again.

    A trial is given to `prune` with the evaluation in question as its last, whether that is stored already or not.
    """

    def __init__(self, vectors_of: VectorsOf) -> None:
        self._vectors_of = vectors_of
        self._fronts: defaultdict[int, Fronts] = defaultdict(Fronts)
        """By the index of the evaluation."""

    def restart(self, trials: Iterable[FrozenTrial]) -> None:
        """Read all trials of the study anew."""
        vectors: defaultdict[int, list[Vector]] = defaultdict(list)
        for trial in trials:
            if self._counts(trial):
                for index, vector in enumerate(self._vectors_of(trial), start=1):
                    vectors[index].append(vector)
        self._fronts = defaultdict(Fronts, {index: Fronts(found) for index, found in vectors.items()})

    def completed(self, trial: FrozenTrial) -> None:
        """Take in a trial that has become COMPLETE."""
        return

    @abstractmethod
    def _counts(self, trial: FrozenTrial) -> bool:
        """Whether a trial is one of those that others are compared with."""


class ParetoPercentile(ParetoPruner):
    """Stops a trial that is behind what the COMPLETE trials had at the same evaluation."""

    def __init__(self, percentile: float, n_startup_trials: int, n_warmup_steps: int, vectors_of: VectorsOf) -> None:
        super().__init__(vectors_of)
        self._percentile = percentile
        self._n_startup = max(n_startup_trials, 1)
        self._n_warmup = n_warmup_steps

    def completed(self, trial: FrozenTrial) -> None:
        for index, vector in enumerate(self._vectors_of(trial), start=1):
            self._fronts[index].add(vector)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        vectors = self._vectors_of(trial)
        others = self._fronts[len(vectors)]
        if len(vectors) < self._n_warmup or len(others) < self._n_startup:
            return False
        return is_behind(others, vectors[-1], self._percentile)

    def _counts(self, trial: FrozenTrial) -> bool:
        return trial.state is TrialState.COMPLETE


class ParetoHalving(ParetoPruner):
    """Asynchronous successive halving: at its evaluations r, rη, rη², … stops a trial that is not among the best 1 in η of all
    that came to the same evaluation."""

    def __init__(self, min_resource: int, reduction_factor: int, vectors_of: VectorsOf) -> None:
        super().__init__(vectors_of)
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        *_, vector = vectors = self._vectors_of(trial)
        if not is_rung(len(vectors), self._min_resource, self._reduction_factor):
            return False
        rung = self._fronts[len(vectors)]
        rung.add(vector)
        return not is_promoted(rung, vector, self._reduction_factor)

    def _counts(self, trial: FrozenTrial) -> bool:
        return SAME_AS not in trial.user_attrs  # a repeat was not trained


def is_rung(index: int, first_rung: int, reduction_factor: int) -> bool:
    """Whether the evaluation `index` is one of r, rη, rη², …"""
    rung = first_rung
    while rung < index:
        rung *= reduction_factor
    return rung == index
