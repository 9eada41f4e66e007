"""Reads and writes the trials of an Optuna study."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tuner.config.objective import Objective
from tuner.results.pareto import Leaders
from tuner.results.trial_record import TrialRecord
from tuner.study.evaluations import EVALUATION, constraints, evaluations
from tuner.study.records import is_suggested, record_of, trial_of


class TrialStore:
    """The trials of one study. The records of finished ones, which do not change any more, are cached."""

    def __init__(self, study: optuna.Study, objective: Objective) -> None:
        self._study = study
        self._objective = objective
        self._finished: dict[int, TrialRecord] = {}
        self._leaders: Leaders | None = None
        """Computed from all trials when first needed."""

    def trial(self, number: int) -> FrozenTrial:
        return trial_of(self._study, number)

    def writable(self, frozen: FrozenTrial) -> Trial:
        return Trial(self._study, frozen._trial_id)

    def note(self, number: int, note: str) -> None:
        """Store a line on how a running trial runs. That of a trial that has ended stays."""
        frozen = self.trial(number)
        if not frozen.state.is_finished():
            self.writable(frozen).set_user_attr("note", note)

    def park(self) -> None:
        """Let running trials wait for `resume`, so that none is RUNNING between two sessions."""
        self._change(TrialState.RUNNING, TrialState.WAITING)

    def resume(self) -> list[FrozenTrial]:
        """Set the waiting trials that were drawn RUNNING. Returns all that are."""
        self._change(TrialState.WAITING, TrialState.RUNNING)
        return self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _change(self, before: TrialState, after: TrialState) -> None:
        for trial in self._study.get_trials(deepcopy=False, states=(before,)):
            if before is TrialState.RUNNING or "config" in trial.user_attrs:
                self._study._storage.set_trial_state_values(trial._trial_id, state=after)

    def with_entry(self, number: int, entry: dict[str, Any]) -> FrozenTrial:
        """A trial with an evaluation that is not stored yet."""
        trial = copy.copy(self.trial(number))
        trial.user_attrs = {**trial.user_attrs, f"{EVALUATION}{entry['index']}": entry}
        return trial

    def end(self, number: int, state: TrialState, values: list[float] | None = None) -> None:
        """Give a trial its final state, with `values` when it is COMPLETE."""
        if state is not TrialState.FAIL:
            self.constrain(number)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Constraints have been set", UserWarning)  # CMA-ES: the plan says so
            self._study.tell(number, values, state=state)

    def constrain(self, number: int) -> None:
        """Store, for Optuna, by how much a trial that is about to end exceeds the requirements."""
        frozen = self.trial(number)
        for name, value in constraints(evaluations(frozen), self._objective).items():
            if name not in frozen.constraints:  # else a kill came before the trial's end
                self.writable(frozen).set_constraint(name, value)

    def records(self) -> list[TrialRecord]:
        """Every trial that was suggested, by number."""
        return [self.record_of(trial) for trial in self._study.get_trials(deepcopy=False) if is_suggested(trial)]

    def record_of(self, trial: FrozenTrial) -> TrialRecord:
        if not trial.state.is_finished():
            return record_of(trial)
        if trial.number not in self._finished:
            self._finished[trial.number] = record_of(trial)
        return self._finished[trial.number]

    @property
    def leaders(self) -> Leaders:
        if self._leaders is None:
            self._leaders = Leaders(record for record in self.records() if record.state == "COMPLETE")
        return self._leaders

    def completed(self, trial: FrozenTrial) -> None:
        """Add a trial that has become COMPLETE to the leaders."""
        if self._leaders is not None:  # else it is read with all others
            self._leaders.add(self.record_of(trial))
