"""TPE at a cost that hardly grows with the study.

Optuna's sampler reads, sorts and models all trials for every group of parameters of every ask. This one shows it a part: all
trials while there are at most `LIMIT`, so that small searches are Optuna's own; then the best ones, the latest of those that
run, and an even sample of the rest. The good model l(x) is built from at most 25 trials (Optuna's `default_gamma`), which are
among the best; only the bad model g(x), a density of everything else, is built from a sample instead of all.
"""

from __future__ import annotations

import bisect
from collections.abc import Container
from typing import Any, cast

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

LIMIT = 600
"""Trials that the sampler is shown."""
N_BEST = 100
N_RUNNING = 200


class BoundedTPESampler(TPESampler):
    """`TPESampler` over at most `LIMIT` trials of a study with one objective; with several it sees all of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._ranking = Ranking()
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
        if len(study.directions) > 1:
            return study
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
    """The finished trials of a maximisation in the order that TPE splits them by, kept from ask to ask."""

    def __init__(self) -> None:
        self._order: list[tuple[tuple[float, ...], int]] = []
        """(key, number), best first."""
        self._ranked: set[int] = set()

    def choose(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """At most `LIMIT` of the trials that a model can be built from, by number."""
        usable = [trial for trial in trials if trial.state in USABLE]
        finished = [trial for trial in usable if trial.state is not TrialState.RUNNING]
        for trial in finished:
            if trial.number not in self._ranked:
                self._ranked.add(trial.number)
                bisect.insort(self._order, (rank(trial), trial.number))
        if len(usable) <= LIMIT:
            return usable
        running = [trial for trial in usable if trial.state is TrialState.RUNNING][-N_RUNNING:]
        best = {number for _, number in self._order[:N_BEST]}
        rest = even([trial for trial in finished if trial.number not in best], LIMIT - N_BEST - len(running))
        chosen = best | {trial.number for trial in (*running, *rest)}
        return [trial for trial in usable if trial.number in chosen]


USABLE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def even(trials: list[FrozenTrial], n: int) -> list[FrozenTrial]:
    """n of the trials at even distances, or all."""
    return trials if len(trials) <= n else [trials[index * len(trials) // n] for index in range(n)]


def rank(trial: FrozenTrial) -> tuple[float, ...]:
    """Smaller is better: complete trials by value, then pruned ones by how far they came and their last value there, then those
    that break a constraint."""
    violation = sum(value for value in trial.constraints.values() if value > 0)
    if violation > 0:
        return (2.0, violation)
    if trial.state is TrialState.COMPLETE:
        assert trial.value is not None
        return (0.0, -trial.value)
    if not trial.intermediate_values:
        return (1.0, 1.0, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (1.0, -step, -value)
