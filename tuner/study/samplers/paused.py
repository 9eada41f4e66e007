"""Shows samplers a paused trial as a pruned one with its score, for as long as it waits.

In Optuna it is RUNNING, and samplers keep away from what runs.
"""

from __future__ import annotations

import copy

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from tuner.config.objective import Objective
from tuner.study.evaluations import constraints, evaluations, pause_reason
from tuner.study.samplers.view import TrialView


def paused_as_pruned(objective: Objective) -> TrialView:
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
