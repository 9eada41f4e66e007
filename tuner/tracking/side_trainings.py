"""Reports control and finalist trainings on stderr, whatever stdout shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.config import TrialConfig
from tuner.artifacts.write_queue import tell_stderr
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer


@dataclass
class SideTrainingReporter(Observer):
    """Prints the start, notes and end of each training."""

    kind: str
    """`control` or `finalist`."""
    names: Mapping[int, str]

    def trial_started(self, number: int, config: TrialConfig) -> None:
        tell_stderr(f"{self.kind} {self.names[number]}  started")

    def trial_noted(self, number: int, note: str) -> None:
        tell_stderr(f"{self.kind} {self.names[number]}  note  {note}")

    def trial_finished(self, record: TrialRecord) -> None:
        score = "" if record.score is None else f"  score {record.score:.4f} after {record.seconds:.1f} s"
        reason = f"  {record.reason}" if record.reason else ""
        tell_stderr(f"{self.kind} {self.names[record.number]}  {record.state}{score}{reason}")
