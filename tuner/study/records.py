"""The trials of a study as Optuna stores them, and as records for the rest of the search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from model.config import ConfigError, TrialConfig
from tuner.artifacts.addresses import file_of, mask_credentials
from tuner.results.trial_record import TrialRecord
from tuner.study.evaluations import evaluations, pause_reason
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


@dataclass(frozen=True)
class StoredStudy:
    """A study as its storage has it."""

    directions: list[StudyDirection]
    trials: list[FrozenTrial]


def load_study(storage: str, name: str) -> StoredStudy:
    """Read the study `name` once. Raises `ConfigError` when there is no such study; creates nothing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    missing = ConfigError([f"there is no study {name} in {mask_credentials(storage)}"])
    path = file_of(storage)
    if path is not None and not path.is_file():
        raise missing
    opened = open_storage(storage)
    try:
        study = optuna.load_study(storage=opened, study_name=name)
        return StoredStudy(study.directions, study.get_trials(deepcopy=False))
    except KeyError:
        raise missing from None
    finally:
        if isinstance(opened, PatientDatabase):
            opened.close()


def read_records(storage: str, name: str) -> list[TrialRecord]:
    """Every suggested trial of the study `name`, with the first goal's value as Optuna has it: to check other stores against.

    Raises `ConfigError` when there is no such study; creates nothing.
    """
    trials = [trial for trial in load_study(storage, name).trials if is_suggested(trial)]
    return [
        replace(record_of(trial), score=trial.values[0]) if trial.values else record_of(trial) for trial in trials
    ]  # fmt: skip
