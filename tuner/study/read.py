"""What a study's storage says of its trials, read anew and in Optuna's own words: what other stores are checked against."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from model.config import ConfigError
from tuner.artifacts.addresses import mask_credentials
from tuner.results.trial_record import TrialRecord
from tuner.study.records import is_asked, record_of
from tuner.study.storage import JOURNAL, PatientDatabase, open_storage

SQLITE = "sqlite:///"


def read_records(storage: str, name: str) -> list[TrialRecord]:
    """Every trial of the study `name` that was asked for. Raises `ConfigError` when there is no such study; creates nothing."""
    trials = load_study(storage, name).trials
    return [_in_optuna(frozen) for frozen in trials if is_asked(frozen)]


@dataclass(frozen=True)
class StudyFound:
    """A study as its storage has it."""

    directions: list[StudyDirection]
    trials: list[FrozenTrial]


def load_study(storage: str, name: str) -> StudyFound:
    """Read the study `name` once. Raises `ConfigError` when there is no such study; creates nothing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    missing = ConfigError([f"there is no study {name} in {mask_credentials(storage)}"])
    for kind in (JOURNAL, SQLITE):
        if storage.startswith(kind) and not Path(storage.removeprefix(kind)).is_file():
            raise missing
    opened = open_storage(storage)
    try:
        study = optuna.load_study(storage=opened, study_name=name)
        return StudyFound(study.directions, study.get_trials(deepcopy=False))
    except KeyError:
        raise missing from None
    finally:
        if isinstance(opened, PatientDatabase):
            opened.close()


def _in_optuna(frozen: FrozenTrial) -> TrialRecord:
    """The trial's record with the value that Optuna itself holds of the first goal; a failed trial has none."""
    record = record_of(frozen)
    return replace(record, score=frozen.values[0]) if frozen.values else record
