"""Reads and writes the trials of a study as Optuna stores them, and makes records of them for the rest of the search."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from model.config import ConfigError, TrialConfig
from tuner.artifacts.addresses import file_of, mask_credentials
from tuner.config.objective import Objective
from tuner.results.pareto import Leaders
from tuner.results.trial_record import TrialRecord
from tuner.study.evaluations import EVALUATION, constraints, evaluations, pause_reason
from tuner.study.storage import PatientDatabase, open_storage

SAME_AS = "same_as"
"""User attribute of a repeat: the number of the trial that has its configuration."""


class Verdict(Enum):
    """What becomes of a trial after an evaluation."""

    CONTINUE = "continue"
    PRUNE = "prune"
    PAUSE = "pause"
    """It gives its processes back, and may be promoted later."""
    STOP = "stop"
    """It is over for another reason: its score is not finite, or it had ended before."""


@dataclass(frozen=True)
class Suggestion:
    """A trial to run."""

    number: int
    config: TrialConfig


def is_suggested(trial: FrozenTrial) -> bool:
    """Whether a trial was handed out, as far as can be seen: of trials that wait between two sessions only paused ones show."""
    return trial.state is not TrialState.WAITING or pause_reason(trial) is not None


def record_of(trial: FrozenTrial) -> TrialRecord:
    reported = evaluations(trial)
    last = reported[-1] if reported else {"score": None, "scores": {}, "metrics": {}, "seconds": 0.0}
    same_as = trial.user_attrs.get(SAME_AS)
    pause = pause_reason(trial)
    return TrialRecord(
        number=trial.number,
        # Optuna's names are ours; WAITING has no record
        state=trial.state.name if pause is None else "PAUSED",  # type: ignore[arg-type]
        score=None if trial.state is TrialState.FAIL else last["score"],
        metrics=last["metrics"],
        evaluations=reported,
        config=trial.user_attrs.get("config", {}),
        seconds=last["seconds"] if same_as is None else 0.0,
        reason=pause or trial.user_attrs.get("reason"),
        scores={} if trial.state is TrialState.FAIL else last.get("scores", {}),  # older studies have none
        requirements={} if trial.state is TrialState.FAIL else last.get("requirements", {}),
        same_as=same_as,
        note=trial.user_attrs.get("note"),
        params=trial.params,
    )


def trial_of(study: optuna.Study, number: int) -> FrozenTrial:
    """A trial as it is now; the cost does not depend on how many there are."""
    storage = study._storage
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study._study_id, number))


def load_study(storage: str, name: str) -> tuple[list[StudyDirection], list[FrozenTrial]]:
    """Directions and trials of a study, read once. Raises `ConfigError` when there is no such study; creates nothing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    missing = ConfigError([f"there is no study {name} in {mask_credentials(storage)}"])
    path = file_of(storage)
    if path is not None and not path.is_file():
        raise missing
    opened = open_storage(storage)
    try:
        study = optuna.load_study(storage=opened, study_name=name)
        return study.directions, study.get_trials(deepcopy=False)
    except KeyError:
        raise missing from None
    finally:
        if isinstance(opened, PatientDatabase):
            opened.close()


def read_records(storage: str, name: str) -> list[TrialRecord]:
    """Every suggested trial of the study `name`, with the first goal's value as Optuna has it: to check other stores against.

    Raises `ConfigError` when there is no such study; creates nothing.
    """
    trials = [trial for trial in load_study(storage, name)[1] if is_suggested(trial)]
    try:
        return [replace(record_of(trial), score=trial.values[0]) if trial.values else record_of(trial) for trial in trials]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        problem = f"the study {name} in {mask_credentials(storage)} is damaged ({type(error).__name__}: {error})"
        raise ConfigError([f"{problem}; restore it from a copy"]) from error


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

    def suspend(self) -> None:
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
