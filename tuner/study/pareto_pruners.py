"""Pruning by Pareto rank at equal resource: what `median`, `percentile` and `asha` mean under several goals.

A trial is judged by the vector of its goals at evaluation i, beside the vectors that other trials had at evaluation i. Optuna
has nothing of the kind: its `report` and `should_prune` raise under several goals. Halving by rank is that of Schmucker et al.
2021. With one goal both rules are those of Optuna's pruners, as far as ranks can tell (see `is_behind`) and scores only rise:
Optuna's median takes a trial's best score so far, which several goals do not have.

Statistics are kept as in running_pruners.py: told when it happens, and read once when a study is opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from optuna import Study
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from tuner.study.fronts import Fronts, Vector, crowding
from tuner.study.running_pruners import Running

VectorsOf = Callable[[FrozenTrial], Mapping[int, Vector]]
"""A trial's goals by the index of the evaluation; more is better."""


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


class ParetoPercentile(BasePruner, Running):
    """Stops a trial that is behind the COMPLETE trials at the same evaluation."""

    def __init__(self, percentile: float, n_startup_trials: int, n_warmup_steps: int, vectors_of: VectorsOf) -> None:
        self._percentile = percentile
        self._n_startup = max(n_startup_trials, 1)
        self._n_warmup = n_warmup_steps
        self._vectors_of = vectors_of
        self._n_complete = 0
        self._at: dict[int, Fronts] = {}

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._n_complete, self._at = 0, {}
        for trial in trials:
            if trial.state is TrialState.COMPLETE:
                self.completed(trial)

    def completed(self, trial: FrozenTrial) -> None:
        self._n_complete += 1
        for index, vector in self._vectors_of(trial).items():
            self._at.setdefault(index, Fronts()).add(vector)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        vectors = self._vectors_of(trial)
        index = max(vectors, default=0)
        if index not in self._at or index < self._n_warmup or self._n_complete < self._n_startup:
            return False
        return is_behind(self._at[index], vectors[index], self._percentile)


class ParetoHalving(BasePruner, Running):
    """Asynchronous successive halving: at evaluations r, rη, rη², … stops a trial that is not among the best 1 in η of all
    that came to it, whatever became of them."""

    def __init__(self, min_resource: int, reduction_factor: int, vectors_of: VectorsOf) -> None:
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor
        self._vectors_of = vectors_of
        self._rungs: dict[int, Fronts] = {}

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._rungs = {}
        for trial in trials:
            for index, vector in self._vectors_of(trial).items():
                if self._is_rung(index):
                    self._rungs.setdefault(index, Fronts()).add(vector)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        vectors = self._vectors_of(trial)
        index = max(vectors, default=0)
        if not self._is_rung(index):
            return False
        rung = self._rungs.setdefault(index, Fronts())
        rung.add(vectors[index])
        return not is_promoted(rung, vectors[index], self._reduction_factor)

    def _is_rung(self, index: int) -> bool:
        rung = self._min_resource
        while rung < index:
            rung *= self._reduction_factor
        return rung == index
