"""What a study's storage says of its trials, read anew and in Optuna's own words: what other stores are checked against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from model.config import ConfigError
from tuner.addresses import mask_credentials
from tuner.record import TrialRecord
from tuner.study.storage import JOURNAL, PatientDatabase, open_storage
from tuner.study.study import _record

SQLITE = "sqlite:///"


def read_records(storage: str, name: str) -> list[TrialRecord]:
    """Every trial of the study `name` that was asked for. Raises `ConfigError` when there is no such study; creates nothing."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    missing = ConfigError([f"there is no study {name} in {mask_credentials(storage)}"])
    for kind in (JOURNAL, SQLITE):
        if storage.startswith(kind) and not Path(storage.removeprefix(kind)).is_file():
            raise missing
    opened = open_storage(storage)
    try:
        trials = optuna.load_study(storage=opened, study_name=name).get_trials(deepcopy=False)
    except KeyError:
        raise missing from None
    finally:
        if isinstance(opened, PatientDatabase):
            opened.close()
    return [_in_optuna(frozen) for frozen in trials if frozen.state is not TrialState.WAITING]


def _in_optuna(frozen: FrozenTrial) -> TrialRecord:
    """The trial's record with the value that Optuna itself holds of the first goal; a failed trial has none."""
    record = _record(frozen)
    return replace(record, score=frozen.values[0]) if frozen.values else record
