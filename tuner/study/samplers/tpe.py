"""TPE at a cost that hardly grows with the study.

Optuna's sampler reads, sorts and models all trials for every group of parameters of every ask. This one shows it a part: all
trials while there are at most `LIMIT`, so that small searches are Optuna's own; then the best ones, the latest of those that
run, and an even sample of the rest. The good model l(x) is built from at most 25 trials (Optuna's `default_gamma`), which are
among the best; only the bad model g(x), a density of everything else, is built from a sample instead of all. Under several
goals Optuna's good model has a tenth of all trials; here it has a tenth of those that are shown, from the best fronts.
"""

from __future__ import annotations

import bisect
from collections import defaultdict
from collections.abc import Container, Sequence
from typing import Any, TypeVar, cast

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.study.pruners.non_dominated_sort import Fronts, Vector

Item = TypeVar("Item")
LIMIT = 600
"""Trials that the sampler is shown."""
N_BEST = 100
N_RUNNING = 200


class BoundedTPESampler(TPESampler):
    """`TPESampler` over at most `LIMIT` trials of a study."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._ranking: Ranking | None = None
        self._shown: tuple[int, Study] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._part(study, trial), trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return super().sample_relative(self._part(study, trial), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return super().sample_independent(self._part(study, trial), trial, param_name, param_distribution)

    def _get_params(self, trial: FrozenTrial, study: Study) -> dict[str, Any]:
        """Those of the trial itself. Optuna adds, for other processes, what was drawn but not used, at the price of JSON."""
        return trial.params

    def _part(self, study: Study, trial: FrozenTrial) -> Study:
        """What is shown for the whole of an ask."""
        if self._ranking is None:
            self._ranking = ParetoRanking(study.directions) if len(study.directions) > 1 else Ranking()
        if self._shown is None or self._shown[0] != trial.number:
            trials = study._get_trials(deepcopy=False, use_cache=False)
            self._shown = trial.number, cast(Study, Part(study, self._ranking.choose(trials)))
        return self._shown[1]


class Part:
    """A study as far as a sampler looks at it, with some of its trials."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self._study = study
        self._trials = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


class Ranking:
    """The finished trials of a maximisation in the order that TPE splits them by, kept from ask to ask.

    It is always shown the trials of one study, by number, and looks only at those that it has not seen finished: trials are
    known by their position.
    """

    def __init__(self) -> None:
        self._order: list[tuple[tuple[float, ...], int]] = []
        """(key, position), best first."""
        self._finished: list[int] = []
        """Those that a model can be built from, in order."""
        self._open: list[int] = []
        """What was not finished when it was last looked at, in order."""
        self._n_seen = 0

    def choose(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """At most `LIMIT` of the trials that a model can be built from, by number."""
        self._read(trials)
        running = [position for position in self._open if trials[position].state is TrialState.RUNNING]
        paused = [position for position in self._open if trials[position].state is TrialState.PRUNED]  # it is shown as that
        finished = sorted((*self._finished, *paused)) if paused else self._finished
        if len(finished) + len(running) > LIMIT:
            running, best = running[-N_RUNNING:], self._best_with(paused, trials)
            finished = [*best, *even_without(finished, best, LIMIT - N_BEST - len(running))]
        return [trials[position] for position in sorted((*finished, *running))]

    def _read(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in what has ended; a paused trial may go on."""
        looked_at = [*self._open, *range(self._n_seen, len(trials))]
        self._n_seen = len(trials)
        self._open = []
        for position in looked_at:
            trial = trials[position]
            if not trial.state.is_finished() or trial.datetime_complete is None:
                self._open.append(position)
            elif trial.state is not TrialState.FAIL:
                bisect.insort(self._finished, position)
                self._put(trial, position)

    def _best_with(self, paused: list[int], trials: Sequence[FrozenTrial]) -> list[int]:
        """The positions of the best, paused trials among those that were pruned."""
        best = self._best(N_BEST)
        if not paused:
            return best
        complete = [position for position in best if trials[position].state is TrialState.COMPLETE]
        others = [position for position in best if trials[position].state is not TrialState.COMPLETE]
        return [*complete, *sorted((*others, *paused), key=lambda position: rank(trials[position]))][:N_BEST]

    def _put(self, trial: FrozenTrial, position: int) -> None:
        bisect.insort(self._order, (rank(trial), position))

    def _best(self, n: int) -> list[int]:
        """The positions of the best n that have ended."""
        return [position for _, position in self._order[:n]]


class ParetoRanking(Ranking):
    """The same under several goals: COMPLETE trials by front, of one that does not fit an even part along its first goal; then
    the others, as under one goal."""

    def __init__(self, directions: Sequence[StudyDirection]) -> None:
        super().__init__()
        self._signs = [1.0 if direction is StudyDirection.MAXIMIZE else -1.0 for direction in directions]
        self._fronts = Fronts()
        self._at: defaultdict[Vector, list[int]] = defaultdict(list)
        """The trials of each vector."""

    def _put(self, trial: FrozenTrial, position: int) -> None:
        if trial.state is not TrialState.COMPLETE or violation(trial) > 0:
            super()._put(trial, position)
            return
        vector = tuple(sign * value for sign, value in zip(self._signs, trial.values, strict=True))
        if vector not in self._at:
            self._fronts.add(vector)
        self._at[vector].append(position)

    def _best(self, n: int) -> list[int]:
        best: list[int] = []
        for front in self._fronts:
            best += even([position for vector in sorted(front) for position in self._at[vector]], n - len(best))
            if len(best) == n:
                return best
        return best + super()._best(n - len(best))


def even(items: list[Item], n: int) -> list[Item]:
    """n of the items at even distances, or all."""
    return items if len(items) <= n else [items[index * len(items) // n] for index in range(n)]


def even_without(ordered: list[int], others: list[int], n: int) -> list[int]:
    """`even` of what is left of increasing numbers without some of them, at a cost that does not grow with their count."""
    gaps = sorted(bisect.bisect_left(ordered, other) for other in others)
    n_left = len(ordered) - len(gaps)
    found, n_passed = [], 0
    for index in range(min(n, n_left)):
        place = index * n_left // min(n, n_left)
        while n_passed < len(gaps) and gaps[n_passed] <= place + n_passed:
            n_passed += 1
        found.append(ordered[place + n_passed])
    return found


def rank(trial: FrozenTrial) -> tuple[float, ...]:
    """Smaller is better: complete trials by value, then pruned ones by how far they came and their last value there, then those
    that break a constraint."""
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
    """By how much a trial breaks its constraints, in all."""
    return sum(value for value in trial.constraints.values() if value > 0)
