"""Pruning by Pareto rank at equal resource: what `median`, `percentile` and `asha` mean under several goals.

A trial is judged by the vector of its goals at an evaluation, beside what others had at equal resource (peers.py). Optuna has
nothing of the kind: its `report` and `should_prune` raise under several goals. Halving by rank is from Schmucker et al. 2021.

With one goal both rules are those of Optuna's pruners, as far as ranks can tell (see `is_behind`) and scores only rise:
Optuna's median takes a trial's best score so far, which several goals do not have.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from optuna import Study
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial

from tuner.study.fronts import Fronts, Vector, crowding
from tuner.study.peers import Peers
from tuner.study.running_pruners import Running


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


class _ByRank(BasePruner, Running):
    """A pruner that hears of its peers."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def restart(self, study: Study, trials: Iterable[FrozenTrial]) -> None:
        self._peers.restart(trials)

    def reported(self, trial: FrozenTrial) -> None:
        self._peers.reported(trial)

    def completed(self, trial: FrozenTrial) -> None:
        self._peers.completed(trial)


class ParetoPercentile(_ByRank):
    """Stops a trial that is behind what the COMPLETE trials had where it is."""

    def __init__(self, percentile: float, n_startup_trials: int, n_warmup_steps: int, peers: Peers) -> None:
        super().__init__(peers)
        self._percentile = percentile
        self._n_startup = max(n_startup_trials, 1)
        self._n_warmup = n_warmup_steps

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        curve = self._peers.curve_of(trial)
        if len(curve) < self._n_warmup or self._peers.n_complete < self._n_startup:
            return False
        others = self._peers.complete(trial)
        return len(others) > 0 and is_behind(others, curve[-1][1], self._percentile)


class ParetoHalving(_ByRank):
    """Asynchronous successive halving: at its evaluations r, rη, rη², … stops a trial that is not among the best 1 in η of all
    that came to where it is."""

    def __init__(self, min_resource: int, reduction_factor: int, peers: Peers) -> None:
        super().__init__(peers)
        self._min_resource = min_resource
        self._reduction_factor = reduction_factor

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        curve = self._peers.curve_of(trial)
        if not self._is_rung(len(curve)):
            return False
        return not is_promoted(self._peers.arrived(trial), curve[-1][1], self._reduction_factor)

    def _is_rung(self, index: int) -> bool:
        rung = self._min_resource
        while rung < index:
            rung *= self._reduction_factor
        return rung == index
