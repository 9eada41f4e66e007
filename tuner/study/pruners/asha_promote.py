"""Asynchronous successive halving by promotion (Li et al. 2020, Alg. 2): pauses trials at rungs and promotes the best of them.

A trial that reaches a rung, its evaluation r, rη, rη², …, goes on if it is among the best 1 in η of all that reached it, the
best one always. Else it pauses, and may go on later, when others that reach the rung have made room. A free process goes on
with a paused trial that may, from the highest rung first, before it begins a new one.

A trial that failed still counts at its rungs, as worse than all others: so the best that is left may always go on, to the end.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict

import optuna
from optuna.pruners import NopPruner
from optuna.trial import FrozenTrial, TrialState

from tuner.results.pareto import dominates
from tuner.study.evaluations import pause_reason
from tuner.study.pareto_fronts import ParetoFronts, Vector
from tuner.study.pruners.asha import REDUCTION_FACTOR, is_promoted, is_rung
from tuner.study.pruners.base import GoalVectors, Pruner, Schedule, TrialScheduler
from tuner.study.records import SAME_AS, Verdict


class Rung:
    """The goals that all trials had at one evaluation."""

    def __init__(self) -> None:
        self._values: list[Vector] = []

    def add(self, vector: Vector) -> None:
        bisect.insort(self._values, vector)

    def remove(self, vector: Vector) -> None:
        self._values.pop(bisect.bisect_left(self._values, vector))

    def is_among_best(self, vector: Vector, reduction_factor: int) -> bool:
        """`is_promoted`, which sorts all fronts only where it has to."""
        n_promoted = max(len(self._values) // reduction_factor, 1)
        if len(vector) == 1:
            return len(self._values) - bisect.bisect_right(self._values, vector) < n_promoted
        n_better = sum(dominates(other, vector) for other in self._values)
        if 0 < n_better < n_promoted:
            return is_promoted(ParetoFronts(self._values), vector, reduction_factor)
        return n_better == 0  # those that dominate it are all on better fronts


class PromotionScheduler(TrialScheduler):
    """Pauses trials at rungs and promotes them. A paused one may be promoted once it is released.

    Its state is not stored but read from the study's trials.
    """

    def __init__(self, study: optuna.Study, schedule: Schedule, goal_vectors: GoalVectors) -> None:
        super().__init__(study)
        self._first_rung = schedule.first_rung
        self._goal_vectors = goal_vectors
        self._vectors: defaultdict[int, list[Vector]] = defaultdict(list)
        """The goals of each evaluation, by trial."""
        self._paused: set[int] = set()
        self._rungs: defaultdict[int, Rung] = defaultdict(Rung)
        """By the index of the evaluation."""
        for trial in study.get_trials(deepcopy=False):
            self._restore(trial)

    def _restore(self, trial: FrozenTrial) -> None:
        """Read a trial, except where it was not trained: it is not drawn yet, or a repeat."""
        is_drawn = trial.state is not TrialState.WAITING or "config" in trial.user_attrs
        if not is_drawn or SAME_AS in trial.user_attrs:
            return
        for vector in self._goal_vectors(trial):
            self.arrive(trial.number, vector)
        if pause_reason(trial) is not None:
            self.release(trial.number)
        elif trial.state.is_finished():
            self.end(trial.number, trial.state)

    @property
    def paused(self) -> list[int]:
        return sorted(self._paused)

    def verdict(self, trial: FrozenTrial, *, is_last: bool) -> Verdict:
        goes_on = self.arrive(trial.number, self._goal_vectors(trial)[-1])
        return Verdict.CONTINUE if goes_on or is_last else Verdict.PAUSE

    def arrive(self, number: int, vector: Vector) -> bool:
        """Take in the next evaluation of a running trial. Returns whether it may go on."""
        self._vectors[number].append(vector)
        index = len(self._vectors[number])
        if not is_rung(index, self._first_rung, REDUCTION_FACTOR):
            return True
        self._rungs[index].add(vector)
        return self._may_go_on(number)

    def release(self, number: int) -> None:
        self._paused.add(number)

    def promote(self) -> int | None:
        """The highest rung comes first, then the best score."""
        denied: defaultdict[int, list[Vector]] = defaultdict(list)
        places = [(-len(self._vectors[n]), tuple(-goal for goal in self._vectors[n][-1]), n) for n in self._paused]
        for _, _, number in sorted(places):
            index, vector = len(self._vectors[number]), self._vectors[number][-1]
            if any(other == vector or dominates(other, vector) for other in denied[index]):
                continue
            if self._may_go_on(number):
                self._paused.discard(number)
                return number
            denied[index].append(vector)
        return None

    def completed(self, trial: FrozenTrial) -> None:
        if SAME_AS not in trial.user_attrs:  # a repeat was not trained
            self._paused.discard(trial.number)

    def end(self, number: int, state: TrialState) -> None:
        self._paused.discard(number)
        if state is not TrialState.FAIL:
            return
        for index, vector in enumerate(self._vectors[number], start=1):
            if is_rung(index, self._first_rung, REDUCTION_FACTOR):
                self._rungs[index].remove(vector)
                self._rungs[index].add((-math.inf,) * len(vector))

    def _may_go_on(self, number: int) -> bool:
        """Whether a trial, at a rung, is among the best there."""
        vectors = self._vectors[number]
        return self._rungs[len(vectors)].is_among_best(vectors[-1], REDUCTION_FACTOR)


PRUNER = Pruner(
    "`asha` that pauses a trial instead, and promotes it when it is among the best half after all",
    lambda schedule: NopPruner(),
    lambda schedule, goal_vectors: NopPruner(),
    PromotionScheduler,
)
