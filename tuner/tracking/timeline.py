"""Appends every event of a trial, with its time, to `timeline.jsonl` in the run's folder.

Lines that cannot be written are dropped: the search never fails because of its timeline.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.shape import GangShape
from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.results import environment
from tuner.results import results_json as results
from tuner.results.facts import SearchFacts
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer

FILE_NAME = "timeline.jsonl"


class Timeline(Observer):
    """Writes a line for each event of a session. The first one, `began`, holds all facts known before the first trial.

    `clock` gives seconds since 1970; `known` holds further arguments of `results.build`: seed, rows and optuna.
    """

    def __init__(
        self, folder: Path, shape: GangShape, known: Mapping[str, Any], clock: Callable[[], float] = time.time
    ) -> None:
        self._path = folder / FILE_NAME
        self._shape = shape
        self._known = known
        self._clock = clock

    def search_started(self, plan: SearchFacts) -> None:
        facts = results.build(
            plan,
            (),
            started=plan.started,
            finished=None,
            environment=environment.describe(),
            mlflow={"tracking_uri": plan.tracking_uri, "experiment_id": None, "run_id": None},
            **self._known,
        )
        planned = {"n_trials": plan.n_trials, "n_slots": plan.max_concurrent, "shape": asdict(self._shape)}
        self._write("began", **planned, results=facts)

    def trial_asked(self, number: int) -> None:
        self._write("asked", trial=number)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._write("started", trial=number)

    def trial_placed(self, number: int, node: str) -> None:
        self._write("placed", trial=number, node=node)

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        names = ("index", "step", "seconds", "evaluation_s", "trained_at")
        self._write("evaluated", trial=number, **{name: getattr(evaluation, name) for name in names})

    def trial_left(self, number: int, why: str) -> None:
        self._write("left", trial=number, why=why)

    def trial_finished(self, record: TrialRecord) -> None:
        if record.same_as is None:
            self._write("finished", trial=record.number, state=record.state)

    def search_finished(self, results: dict[str, Any]) -> None:
        self._write("ended")

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps(results.finite({"event": event, "at": round(self._clock(), 3)} | values), ensure_ascii=False)
        with suppress(OSError):
            append_line(self._path, line)


def append_line(path: Path, line: str) -> None:
    """Append a line, after a line break where a kill has torn the previous line. Raises OSError."""
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        is_torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
        file.write(b"\n" * is_torn + line.encode("utf-8", "backslashreplace") + b"\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """The events in order; empty when none were recorded. Torn lines are skipped."""
    try:
        lines = (folder / FILE_NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            event = json.loads(line)
            if isinstance(event, dict) and isinstance(event.get("at"), int | float) and "event" in event:
                events.append(event)
    return events
