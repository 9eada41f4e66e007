"""Samplers that take a paused trial for what it is as long as it waits: a pruned one with that score.

In Optuna it runs, and a running trial is bad news to a sampler that keeps away from what others are trying.
"""

from __future__ import annotations

import copy
from typing import Any, cast

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from tuner.config.objective import Objective
from tuner.study.pruners.vectors import constraints
from tuner.study.records import evaluations, pause_of
from tuner.study.samplers.tpe import Part


class PausedAsPruned(BaseSampler):
    """Another sampler, shown the study like this whenever it draws."""

    def __init__(self, sampler: BaseSampler, objective: Objective) -> None:
        self._sampler = sampler
        self._objective = objective
        self._shown: tuple[int, Study] | None = None

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
        """What is shown for the whole of an ask."""
        if self._shown is None or self._shown[0] != trial.number:
            trials = study._get_trials(deepcopy=False, use_cache=False)
            shown = [other if pause_of(other) is None else as_pruned(other, self._objective) for other in trials]
            self._shown = trial.number, cast(Study, Part(study, shown))
        return self._shown[1]


def as_pruned(frozen: FrozenTrial, objective: Objective) -> FrozenTrial:
    """A copy of a paused trial as it would be if it were pruned where it is."""
    seen = copy.copy(frozen)
    seen.state = TrialState.PRUNED
    seen.system_attrs = dict(frozen.system_attrs)
    for name, value in constraints(evaluations(frozen), objective).items():
        seen.set_constraint(name, value)
    return seen
