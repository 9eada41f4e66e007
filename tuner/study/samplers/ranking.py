"""The trials that TPE is shown, so that its cost hardly grows with the study.

Optuna's sampler reads, sorts and models all trials for every group of parameters of every suggestion. Here it is shown all
trials while there are at most `LIMIT`, so that small searches are Optuna's own; then the best ones, the latest of those that
run, and an even sample of the rest. The good model l(x) is built from at most 25 trials (Optuna's `default_gamma`), which are
among the best; only the bad model g(x), a density of everything else, is built from a sample instead of all. Under several
goals Optuna's good model has a tenth of all trials; here it has a tenth of those that are shown, from the best fronts.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

from optuna import Study
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.study.pareto_fronts import ParetoFronts, Vector

Item = TypeVar("Item")
LIMIT = 600
"""Trials that the sampler is shown."""
N_BEST = 100
N_RUNNING = 200


class RankingView:
    """Shows a sampler at most `LIMIT` trials of one study."""

    def __init__(self) -> None:
        self._ranking: Ranking | None = None

    def __call__(self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        if self._ranking is None:
            self._ranking = ParetoRanking(study.directions) if len(study.directions) > 1 else Ranking()
        return self._ranking.choose(trials)


class Ranking:
    """The finished trials of a maximisation in the order that TPE splits them by, kept from suggestion to suggestion.

    It is always given the trials of one study, by number, and reads only those that were not finished before: trials are
    identified by their position.
    """

    def __init__(self) -> None:
        self._order: list[tuple[tuple[float, ...], int]] = []
        """(key, position), best first."""
        self._finished: list[int] = []
        """Positions of those that a model can be built from, in order."""
        self._open: list[int] = []
        """Positions of those that were not finished when last read, in order."""
        self._n_read = 0

    def choose(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """At most `LIMIT` of the trials that a model can be built from, by number."""
        self._read(trials)
        running = [position for position in self._open if trials[position].state is TrialState.RUNNING]
        paused = [position for position in self._open if trials[position].state is TrialState.PRUNED]  # as they are shown
        finished = sorted((*self._finished, *paused)) if paused else self._finished
        if len(finished) + len(running) > LIMIT:
            running, best = running[-N_RUNNING:], self._best_with(paused, trials)
            finished = [*best, *evenly_spaced_without(finished, best, LIMIT - N_BEST - len(running))]
        return [trials[position] for position in sorted((*finished, *running))]

    def _read(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in what has ended; a paused trial may go on."""
        unread = [*self._open, *range(self._n_read, len(trials))]
        self._n_read = len(trials)
        self._open = []
        for position in unread:
            trial = trials[position]
            if not trial.state.is_finished() or trial.datetime_complete is None:
                self._open.append(position)
            elif trial.state is not TrialState.FAIL:
                bisect.insort(self._finished, position)
                self._insert(trial, position)

    def _best_with(self, paused: list[int], trials: Sequence[FrozenTrial]) -> list[int]:
        """The positions of the best, paused trials among those that were pruned."""
        best = self._best(N_BEST)
        if not paused:
            return best
        complete = [position for position in best if trials[position].state is TrialState.COMPLETE]
        others = [position for position in best if trials[position].state is not TrialState.COMPLETE]
        return [*complete, *sorted((*others, *paused), key=lambda position: rank(trials[position]))][:N_BEST]

    def _insert(self, trial: FrozenTrial, position: int) -> None:
        bisect.insort(self._order, (rank(trial), position))

    def _best(self, n: int) -> list[int]:
        """The positions of the best n that have ended."""
        return [position for _, position in self._order[:n]]


class ParetoRanking(Ranking):
    """The same under several goals: COMPLETE trials by front, an even sample along the first goal of one that does not fit;
    then the others, as under one goal."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        super().__init__()
        self._signs = [1.0 if direction is StudyDirection.MAXIMIZE else -1.0 for direction in directions]
        self._fronts = ParetoFronts()
        self._positions: defaultdict[Vector, list[int]] = defaultdict(list)
        """By vector."""

    def _insert(self, trial: FrozenTrial, position: int) -> None:
        if trial.state is not TrialState.COMPLETE or violation(trial) > 0:
            super()._insert(trial, position)
            return
        vector = tuple(sign * value for sign, value in zip(self._signs, trial.values, strict=True))
        if vector not in self._positions:
            self._fronts.add(vector)
        self._positions[vector].append(position)

    def _best(self, n: int) -> list[int]:
        best: list[int] = []
        for front in self._fronts:
            positions = [position for vector in sorted(front) for position in self._positions[vector]]
            best += evenly_spaced(positions, n - len(best))
            if len(best) == n:
                return best
        return best + super()._best(n - len(best))


def evenly_spaced(items: list[Item], n: int) -> list[Item]:
    """n of the items at even distances, or all."""
    return items if len(items) <= n else [items[index * len(items) // n] for index in range(n)]


def evenly_spaced_without(ordered: list[int], others: list[int], n: int) -> list[int]:
    """`evenly_spaced` of increasing numbers without some of them, at a cost that does not grow with their count."""
    gaps = sorted(bisect.bisect_left(ordered, other) for other in others)
    n_left = len(ordered) - len(gaps)
    chosen, n_passed = [], 0
    for index in range(min(n, n_left)):
        place = index * n_left // min(n, n_left)
        while n_passed < len(gaps) and gaps[n_passed] <= place + n_passed:
            n_passed += 1
        chosen.append(ordered[place + n_passed])
    return chosen


def rank(trial: FrozenTrial) -> tuple[float, ...]:
    """Sort key, smaller is better: complete trials by value, then pruned ones by their last step and its value, then those that
    break a constraint."""
    excess = violation(trial)
    if excess > 0:
        return (2.0, excess)
    if trial.state is TrialState.COMPLETE:
        assert trial.value is not None
        return (0.0, -trial.value)
    if not trial.intermediate_values:
        return (1.0, 1.0, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (1.0, -step, -value)


def violation(trial: FrozenTrial) -> float:
    """Sum of a trial's broken constraints."""
    return sum(value for value in trial.constraints.values() if value > 0)
