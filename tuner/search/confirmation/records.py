"""The files of a confirmation in the run's folder, from which a later session continues; each is written atomically."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from model.config import ConfigError
from model.file_contents import read_json
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.retry import on_disk
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.bootstrap import Dev

FOLDER = "confirmation"
"""In the run's folder."""
PLAN = "plan.json"
"""The numbers of all trainings; there while some are missing."""


class ConfirmationRecords:
    """Reads and writes `NUMBER.json`, the record of a training, and `NUMBER.dev.json`, its model's predictions on dev.

    Writing waits while the disk is full. A file that cannot be parsed counts as missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, number: int) -> TrialRecord | None:
        """The record of a training; None for one that has not begun."""
        try:
            record = read_json(self.folder / f"{number}.json", TrialRecord)
        except (FileNotFoundError, ConfigError):
            return None
        return record if record.number == number else None

    def is_complete(self, number: int) -> bool:
        """Whether the training has ended with a score."""
        record = self.record(number)
        return record is not None and record.state == "COMPLETE"

    def put(self, record: TrialRecord) -> None:
        """Write the record of a training."""
        self._write(f"{record.number}.json", asdict(record))

    def drop(self, number: int) -> None:
        """Delete all files of a training."""
        for kind in ("json", "dev.json"):
            (self.folder / f"{number}.{kind}").unlink(missing_ok=True)

    def dev(self, number: int) -> Dev | None:
        """The predictions of a training's model on dev; None where there are none yet."""
        try:
            values = read_json(self.folder / f"{number}.dev.json", dict[str, dict[str, list[float]]])
            arrays = [{task: np.array(v) for task, v in values[part].items()} for part in ("predictions", "labels")]
        except (FileNotFoundError, ConfigError, KeyError):
            return None
        return Dev(*arrays)

    def put_dev(self, number: int, dev: Dev) -> None:
        """Write the predictions of a training's model on dev."""
        parts = {"predictions": dev.predictions, "labels": dev.labels}
        values = {part: {task: array.tolist() for task, array in arrays.items()} for part, arrays in parts.items()}
        self._write(f"{number}.dev.json", values)

    def begin(self, numbers: list[int]) -> None:
        """Write which trainings are planned, for `progress`."""
        self._write(PLAN, numbers)

    def end(self) -> None:
        """Delete the plan: the confirmation is over, or void."""
        (self.folder / PLAN).unlink(missing_ok=True)

    def progress(self) -> tuple[int, int] | None:
        """The numbers of ended and of planned trainings; None where no confirmation is under way."""
        try:
            numbers = read_json(self.folder / PLAN, list[int])
        except (FileNotFoundError, ConfigError):
            return None
        records = [self.record(number) for number in numbers]
        return sum(record is not None and record.is_finished for record in records), len(numbers)

    def _write(self, name: str, values: object) -> None:
        def write() -> None:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / name, json.dumps(values) + "\n")

        on_disk(write)
