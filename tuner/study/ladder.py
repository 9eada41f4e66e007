"""Asynchronous successive halving by promotion: who waits at which rung, and who may go on (Li et al. 2020, Algorithm 2).

A trial that comes to a rung, its evaluation r, rη, rη², …, goes on if it is among the best 1 in η of all that came there, the
best one always. Else it pauses, and may go on later, when others that came there have made room. A process that is free goes on
with a paused trial that may, from the highest rung first, before it begins a new one.

At equal compute all trials meet at the compute of the one that is judged (rungs.py), at equal steps at its evaluation. A trial
that failed came there still, and is worse than all others: so the best that is left may always go on, to the end.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from optuna.trial import FrozenTrial, TrialState

from tuner.front import dominates
from tuner.study.fronts import Fronts, Vector
from tuner.study.pareto_pruners import is_promoted
from tuner.study.repeats import SAME_AS
from tuner.study.rungs import score_within
from tuner.study.stored import pause_of

Place = tuple[float, Vector]
"""The resource that an evaluation came after, and its goals; more is better."""


class Rung:
    """What all trials had that came to one resource."""

    def __init__(self, values: Iterable[Vector]) -> None:
        self._values = sorted(values)

    def replace(self, before: Vector | None, after: Vector | None) -> None:
        """A trial has come there, or has another value there now."""
        if before == after:
            return
        if before is not None:
            self._values.pop(bisect.bisect_left(self._values, before))
        if after is not None:
            bisect.insort(self._values, after)

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

    `tolerance`: computes this near are equal, as a share. Nothing here is stored: `restore` reads it from the study.
    """

    def __init__(self, first_rung: int, reduction_factor: int, tolerance: float) -> None:
        self._first_rung = first_rung
        self._reduction_factor = reduction_factor
        self._tolerance = tolerance
        self._curves: defaultdict[int, list[Place]] = defaultdict(list)
        self._running: set[int] = set()
        """Those that train, and those that pause and hold their processes still."""
        self._paused: set[int] = set()
        self._complete: set[int] = set()
        self._failed: set[int] = set()
        self._rungs: dict[float, Rung] = {}
        """By resource; there is one where a trial is paused."""

    @property
    def paused(self) -> list[int]:
        """Paused and released, by number."""
        return sorted(self._paused)

    @property
    def is_moving(self) -> bool:
        """Whether any trial runs: what it does may make room for a paused one."""
        return bool(self._running)

    def restore(self, trials: Iterable[FrozenTrial], places_of: Callable[[FrozenTrial], Sequence[Place]]) -> None:
        """Take all trials of a study for what they are. Repeats are none: they did not come anywhere themselves."""
        for trial in trials:
            is_drawn = trial.state is not TrialState.WAITING or "config" in trial.user_attrs
            if not is_drawn or SAME_AS in trial.user_attrs:
                continue
            self.begin(trial.number, places_of(trial))
            if pause_of(trial) is not None:
                self.release(trial.number)
            elif trial.state is TrialState.COMPLETE:
                self.complete(trial.number)
            elif trial.state is TrialState.FAIL:
                self.fail(trial.number)
            elif trial.state is TrialState.PRUNED:
                self.end(trial.number)

    def begin(self, number: int, curve: Iterable[Place] = ()) -> None:
        """A trial runs, with what it has behind it."""
        with self._change(number):
            self._curves[number] = list(curve)
        self._running.add(number)

    def arrive(self, number: int, place: Place) -> bool:
        """A running trial has another evaluation. Returns whether it may go on."""
        with self._change(number):
            self._curves[number].append(place)
        return not self._is_rung(len(self._curves[number])) or self._may_go_on(number)

    def release(self, number: int) -> None:
        """A trial that pauses has given its processes back."""
        resource, _ = self._curves[number][-1]
        if resource not in self._rungs:
            self._rungs[resource] = self._rung(resource)
        self._running.discard(number)
        self._paused.add(number)

    def promote(self) -> int | None:
        """Let the most promising paused trial that may go on run again: the highest rung first, then the best score."""
        denied: defaultdict[float, list[Vector]] = defaultdict(list)
        for number in sorted(self._paused, key=self._promise):
            resource, vector = self._curves[number][-1]
            if any(other == vector or dominates(other, vector) for other in denied[resource]):
                continue
            if self._may_go_on(number):
                self._leave(number)
                self._running.add(number)
                return number
            denied[resource].append(vector)
        return None

    def complete(self, number: int) -> None:
        with self._change(number):
            self._complete.add(number)
        self._running.discard(number)

    def fail(self, number: int) -> None:
        with self._change(number):
            self._failed.add(number)
        self.end(number)

    def end(self, number: int) -> None:
        """A trial neither runs nor waits any more; what it had counts still."""
        self._running.discard(number)
        if number in self._paused:
            self._leave(number)

    def _promise(self, number: int) -> tuple[int, tuple[float, ...], int]:
        """The order of promotion, first ones first."""
        curve = self._curves[number]
        return -len(curve), tuple(-value for value in curve[-1][1]), number

    def _is_rung(self, index: int) -> bool:
        rung = self._first_rung
        while rung < index:
            rung *= self._reduction_factor
        return rung == index

    def _may_go_on(self, number: int) -> bool:
        resource, vector = self._curves[number][-1]
        rung = self._rungs.get(resource) or self._rung(resource)
        return rung.is_among_best(vector, self._reduction_factor)

    def _leave(self, number: int) -> None:
        self._paused.discard(number)
        still = {self._curves[other][-1][0] for other in self._paused}
        self._rungs = {resource: rung for resource, rung in self._rungs.items() if resource in still}

    def _rung(self, resource: float) -> Rung:
        values = (self._value(number, resource) for number in self._curves)
        return Rung(value for value in values if value is not None)

    def _value(self, number: int, resource: float) -> Vector | None:
        """What a trial had at a resource; None where it has not come there."""
        curve = self._curves[number]
        value = score_within(curve, resource, is_complete=number in self._complete, tolerance=self._tolerance)
        return (-math.inf,) * len(value) if value is not None and number in self._failed else value

    @contextmanager
    def _change(self, number: int) -> Iterator[None]:
        """Keep the rungs up with what changes for a trial."""
        before = {resource: self._value(number, resource) for resource in self._rungs}
        yield
        for resource, rung in self._rungs.items():
            rung.replace(before[resource], self._value(number, resource))
