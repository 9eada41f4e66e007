"""Asynchronous successive halving by promotion: which trials wait at which rung, and which may go on (Li et al. 2020, Alg. 2).

A trial that comes to a rung, its evaluation r, rη, rη², …, goes on if it is among the best 1 in η of all that came there, the
best one always. Else it pauses, and may go on later, when others that came there have made room. A process that is free goes on
with a paused trial that may, from the highest rung first, before it begins a new one.

A trial that failed still counts at its rungs, as worse than all others: so the best that is left may always go on, to the end.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Iterable

from optuna.trial import FrozenTrial, TrialState

from tuner.results.pareto import dominates
from tuner.study.pruners.non_dominated_sort import Fronts, Vector
from tuner.study.pruners.pareto import VectorsOf, is_promoted, is_rung
from tuner.study.records import SAME_AS, pause_of


class Rung:
    """The goals that all trials had at one evaluation."""

    def __init__(self) -> None:
        self._values: list[Vector] = []

    def add(self, vector: Vector) -> None:
        bisect.insort(self._values, vector)

    def remove(self, vector: Vector) -> None:
        self._values.pop(bisect.bisect_left(self._values, vector))

    def is_among_best(self, vector: Vector, reduction_factor: int) -> bool:
        """`pareto_pruners.is_promoted`, which sorts all fronts, only where it must be asked."""
        n_promoted = max(len(self._values) // reduction_factor, 1)
        if len(vector) == 1:
            return len(self._values) - bisect.bisect_right(self._values, vector) < n_promoted
        n_better = sum(dominates(other, vector) for other in self._values)
        if 0 < n_better < n_promoted:
            return is_promoted(Fronts(self._values), vector, reduction_factor)
        return n_better == 0  # those that dominate it are all on better fronts


class Ladder:
    """The trials of a study by where they stand. A paused one may be promoted once it is released.

    Nothing here is stored: `restore` reads it from the study.
    """

    def __init__(self, first_rung: int, reduction_factor: int) -> None:
        self._first_rung = first_rung
        self._reduction_factor = reduction_factor
        self._vectors: defaultdict[int, list[Vector]] = defaultdict(list)
        """The goals of each evaluation, by trial."""
        self._running: set[int] = set()
        """Those that train, and those that pause and hold their processes still."""
        self._paused: set[int] = set()
        self._rungs: defaultdict[int, Rung] = defaultdict(Rung)
        """By the index of the evaluation."""

    @property
    def paused(self) -> list[int]:
        """Paused and released, by number."""
        return sorted(self._paused)

    @property
    def is_moving(self) -> bool:
        """Whether any trial runs: what it does may make room for a paused one."""
        return bool(self._running)

    def restore(self, trials: Iterable[FrozenTrial], vectors_of: VectorsOf) -> None:
        """Read all trials of a study. Repeats are left out: they were not trained."""
        for trial in trials:
            is_drawn = trial.state is not TrialState.WAITING or "config" in trial.user_attrs
            if not is_drawn or SAME_AS in trial.user_attrs:
                continue
            self.begin(trial.number)
            for vector in vectors_of(trial):
                self.arrive(trial.number, vector)
            if pause_of(trial) is not None:
                self.release(trial.number)
            elif trial.state is TrialState.FAIL:
                self.fail(trial.number)
            elif trial.state.is_finished():
                self.end(trial.number)

    def begin(self, number: int) -> None:
        """A new trial runs."""
        self._running.add(number)

    def arrive(self, number: int, vector: Vector) -> bool:
        """A running trial has another evaluation. Returns whether it may go on."""
        self._vectors[number].append(vector)
        index = len(self._vectors[number])
        if not is_rung(index, self._first_rung, self._reduction_factor):
            return True
        self._rungs[index].add(vector)
        return self._may_go_on(number)

    def release(self, number: int) -> None:
        """A trial that pauses has given its processes back."""
        self._running.discard(number)
        self._paused.add(number)

    def promote(self) -> int | None:
        """Let the most promising paused trial that may go on run again: the highest rung first, then the best score."""
        denied: defaultdict[int, list[Vector]] = defaultdict(list)
        for number in sorted(self._paused, key=self._promise):
            index, vector = len(self._vectors[number]), self._vectors[number][-1]
            if any(other == vector or dominates(other, vector) for other in denied[index]):
                continue
            if self._may_go_on(number):
                self._paused.discard(number)
                self._running.add(number)
                return number
            denied[index].append(vector)
        return None

    def fail(self, number: int) -> None:
        """A trial has failed: at its rungs it is worse than all others."""
        for index, vector in enumerate(self._vectors[number], start=1):
            if is_rung(index, self._first_rung, self._reduction_factor):
                self._rungs[index].remove(vector)
                self._rungs[index].add((-math.inf,) * len(vector))
        self.end(number)

    def end(self, number: int) -> None:
        """A trial neither runs nor waits any more; its goals still count at its rungs."""
        self._running.discard(number)
        self._paused.discard(number)

    def _promise(self, number: int) -> tuple[int, tuple[float, ...], int]:
        """The order of promotion, first ones first."""
        vectors = self._vectors[number]
        return -len(vectors), tuple(-value for value in vectors[-1]), number

    def _may_go_on(self, number: int) -> bool:
        """Whether a trial, at a rung, is among the best there."""
        vectors = self._vectors[number]
        return self._rungs[len(vectors)].is_among_best(vectors[-1], self._reduction_factor)
