"""Shows a sampler other trials than its study has."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container
from typing import Any, cast

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tuner.config.objective import Objective
from tuner.study.evaluations import constraints, evaluations, pause_reason

TrialView = Callable[[Study, FrozenTrial, list[FrozenTrial]], list[FrozenTrial]]
"""(study, trial that is suggested, trials) -> the trials that are shown in the place of those given."""


class ViewSampler(BaseSampler):
    """Another sampler that sees its study through views, each applied to what the one before it shows."""

    def __init__(self, sampler: BaseSampler, *views: TrialView) -> None:
        self._sampler = sampler
        self._views = views
        self._shown: tuple[int, Study] | None = None
        """Number of the trial being suggested, and what is shown meanwhile."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(self._view(study, trial), trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return dict(self._sampler.sample_relative(self._view(study, trial), trial, search_space))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(self._view(study, trial), trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()

    def _view(self, study: Study, trial: FrozenTrial) -> Study:
        if self._shown is None or self._shown[0] != trial.number:
            trials = study._get_trials(deepcopy=False, use_cache=False)
            for view in self._views:
                trials = view(study, trial, trials)
            self._shown = trial.number, cast(Study, StudyView(study, trials))
        return self._shown[1]


class StudyView:
    """A study with other trials, some of them possibly the same, as far as samplers and importance evaluators use it."""

    def __init__(self, study: Study, trials: list[FrozenTrial]) -> None:
        self._study = study
        self._trials = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    get_trials = _get_trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


def paused_as_pruned(objective: Objective) -> TrialView:
    """Shows a paused trial as a pruned one with its score. In Optuna it is RUNNING, and samplers avoid what runs."""

    def view(study: Study, trial: FrozenTrial, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [other if pause_reason(other) is None else as_pruned(other, objective) for other in trials]

    return view


def as_pruned(paused: FrozenTrial, objective: Objective) -> FrozenTrial:
    """A copy of a paused trial as it would be if it were pruned now."""
    pruned = copy.copy(paused)
    pruned.state = TrialState.PRUNED
    pruned.system_attrs = dict(paused.system_attrs)
    for name, value in constraints(evaluations(paused), objective).items():
        pruned.set_constraint(name, value)
    return pruned
