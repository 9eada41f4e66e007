"""The events of a search: one base class for everything that shows, counts or writes them, and its small subclasses."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.artifacts.write_queue import write_stderr
from tuner.config import run_folder
from tuner.config.budget import Meter
from tuner.results.facts import SearchFacts
from tuner.results.trial_record import TrialRecord

EVERY_S = 10.0
"""Seconds between two writes of the budget: the most that a kill leaves uncounted."""


class Observer:
    """Receives the events of a search in order, from the driver's one thread; each method does nothing unless overridden.

    Methods must return soon, because the driver waits for them.
    """

    def search_started(self, plan: SearchFacts) -> None:
        pass

    def trial_asked(self, number: int) -> None:
        """The trial has a slot; its gang is set up until `trial_started`."""

    def trial_started(self, number: int, config: TrialConfig) -> None:
        """Also called when an unfinished trial resumes from its checkpoint."""

    def trial_placed(self, number: int, node: str) -> None:
        """The name of the trial's node, known just before its first evaluation there."""

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        pass

    def trial_left(self, number: int, why: str) -> None:
        """The trial has lost its gang without a result and resumes later; `why` is such as `died` or `interrupted`."""

    def trial_noted(self, number: int, note: str) -> None:
        """The trial deviates from its configuration: with smaller micro-batches after running out of memory."""

    def trial_paused(self, record: TrialRecord) -> None:
        """The trial has released its processes at a rung; it resumes when promoted and finishes when it never is."""

    def trial_finished(self, record: TrialRecord) -> None:
        pass

    def search_finished(self, results: dict[str, Any]) -> None:
        """`results` as in results.json; its `finished` is None when the search was interrupted."""

    def tick(self) -> None:
        """Called about once a second."""

    def close(self) -> None:
        """Restore the terminal, however the search ended; may be called twice."""

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        """The observer of trainings that are not trials: controls or finalists (`kind`), with a name for each number."""
        return Observer()


class Broadcast(Observer):
    """Forwards every event to several observers, in the order given."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        return Broadcast(*(observer.aside(kind, names) for observer in self._observers))


def _forward(event: str) -> Callable[..., None]:
    """The method of `Broadcast` for an event."""

    def forward(self: Broadcast, *arguments: Any) -> None:
        for observer in self._observers:
            getattr(observer, event)(*arguments)

    return forward


for _event in vars(Observer):
    if not _event.startswith("_") and _event not in vars(Broadcast):
        setattr(Broadcast, _event, _forward(_event))


@dataclass
class SideTrainingReporter(Observer):
    """Prints the start, notes and end of each control or finalist training on stderr, whatever stdout shows."""

    kind: str
    """`control` or `finalist`."""
    names: Mapping[int, str]

    def trial_started(self, number: int, config: TrialConfig) -> None:
        write_stderr(f"{self.kind} {self.names[number]}  started")

    def trial_noted(self, number: int, note: str) -> None:
        write_stderr(f"{self.kind} {self.names[number]}  note  {note}")

    def trial_finished(self, record: TrialRecord) -> None:
        score = "" if record.score is None else f"  score {record.score:.4f} after {record.seconds:.1f} s"
        reason = f"  {record.reason}" if record.reason else ""
        write_stderr(f"{self.kind} {self.names[record.number]}  {record.state}{score}{reason}")


class BudgetLog(Observer):
    """Writes the meter's readings into the run's state, because budgets are totals over all sessions."""

    def __init__(self, folder: Path, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._meter = meter
        self._clock = clock
        self._written_s = clock()

    def tick(self) -> None:
        if self._clock() - self._written_s >= EVERY_S:
            self._write()

    def search_finished(self, results: dict[str, Any]) -> None:
        self._write()

    def _write(self) -> None:
        self._written_s = self._clock()
        used = self._meter.used
        with suppress(OSError):  # a full disk: the next write will do
            run_folder.update_state(self._folder, wall_s=used.wall_s, gang_s=used.gang_s)
