"""What is kept of a confirmation in the run's folder, so that nothing of it is done twice: each file whole or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tuner.artifacts.atomic import write_whole
from tuner.artifacts.retry import on_disk
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.bootstrap import Dev

FOLDER = "confirmation"
"""In the run's folder."""
PLAN = "plan.json"
"""While trainings are missing: the numbers of all of them."""


class Kept:
    """`folder` holds `NUMBER.json` for every training that was begun, as far as it came, and
    `NUMBER.dev.json` with what its model says of dev."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, number: int) -> TrialRecord | None:
        """What is known of a training; None where it was never begun, or its file is no more what was written."""
        try:
            found = TrialRecord(**json.loads((self.folder / f"{number}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.number == number else None

    def put(self, record: TrialRecord) -> None:
        """Waits where the disk is full."""
        on_disk(lambda: self._write(f"{record.number}.json", asdict(record)))

    def drop(self, number: int) -> None:
        for kind in ("json", "dev.json"):
            (self.folder / f"{number}.{kind}").unlink(missing_ok=True)

    def dev(self, number: int) -> Dev | None:
        """A trained model on dev, or None where it was not scored yet, or its file is no more what was written."""
        try:
            found = json.loads((self.folder / f"{number}.dev.json").read_text(encoding="utf-8"))
            predictions, labels = ({task: np.array(v) for task, v in found[part].items()} for part in ("predictions", "labels"))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        return Dev(predictions, labels)

    def put_dev(self, number: int, dev: Dev) -> None:
        values = {
            part: {task: values.tolist() for task, values in arrays.items()}
            for part, arrays in (("predictions", dev.predictions), ("labels", dev.labels))
        }
        on_disk(lambda: self._write(f"{number}.dev.json", values))

    def begin(self, numbers: list[int]) -> None:
        """Note what is to be trained, for whoever asks how the search stands."""
        on_disk(lambda: self._write(PLAN, numbers))

    def end(self) -> None:
        (self.folder / PLAN).unlink(missing_ok=True)

    def progress(self) -> tuple[int, int] | None:
        """Trainings that have ended, and all of them, of a confirmation under way; None where none is."""
        try:
            numbers = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        records = [self.record(number) for number in numbers]
        return sum(record is not None and record.is_finished for record in records), len(numbers)

    def _write(self, name: str, values: object) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / name, json.dumps(values) + "\n")
