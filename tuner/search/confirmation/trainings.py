"""The trainings of a confirmation: their files, from which a later session continues, and their order for the bridge."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from model.config import ConfigError
from model.data.file_contents import read_json
from model.training.evaluation import Evaluation
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.retry import retry_on_full_disk
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.execution.fixed_trials import FixedTrials
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import Finalist, Training
from tuner.search.confirmation.statistics import Dev
from tuner.study import Suggestion, Verdict

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

        retry_on_full_disk(write)


class FinalistTrials(FixedTrials):
    """Gives out each training once, in order, without those that an earlier session completed.

    After a failed training, the finalist's other trainings do not start. The next session repeats trainings that failed or
    that a budget cut.
    """

    def __init__(
        self, trainings: Sequence[Training], records: ConfirmationRecords, objective: Objective, requirements: Requirements
    ) -> None:
        super().__init__(objective, requirements)
        self.trainings = trainings
        self._files = records
        self.by_number = {training.number: training for training in trainings}
        stored = [records.record(number) for number in self.by_number]
        self._records |= {record.number: record for record in stored if record and record.state in ("RUNNING", "COMPLETE")}

    @property
    def front(self) -> Sequence[TrialRecord]:
        """All complete trainings: every model is kept until it is evaluated on dev."""
        return [record for record in self._records.values() if record.state == "COMPLETE"]

    @property
    def begun(self) -> list[Suggestion]:
        """Trainings that an earlier session began, which continue from their last checkpoints."""
        begun = (training for training in self.trainings if training.number in self._records)
        return [Suggestion(one.number, one.config) for one in begun if not self.record(one.number).is_finished]

    @property
    def n_missing(self) -> int:
        """Trainings that are not COMPLETE yet."""
        return len(self.by_number) - len(self.front)

    def leave_out(self, numbers: Collection[int]) -> None:
        """Remove these trainings."""
        self.trainings = [training for training in self.trainings if training.number not in numbers]
        for number in numbers:
            self.by_number.pop(number)
            self._records.pop(number, None)

    def wanted(self) -> Iterator[Suggestion]:
        return (Suggestion(one.number, one.config) for one in self.trainings if not self._has_failed(one.finalist))

    def _has_failed(self, finalist: Finalist) -> bool:
        failed = (self.by_number[number] for number, record in self._records.items() if record.state == "FAIL")
        return any(training.finalist.identity == finalist.identity for training in failed)

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        verdict = super().report(number, evaluation)
        if verdict is Verdict.CONTINUE:
            self._files.put(self.record(number))
        return verdict

    def complete(self, number: int) -> None:
        super().complete(number)
        self._files.put(self.record(number))

    def prune(self, number: int, reason: str) -> None:
        super().prune(number, reason)
        self._files.drop(number)

    def fail(self, number: int, reason: str) -> None:
        super().fail(number, reason)
        self._files.drop(number)
