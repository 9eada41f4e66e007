"""Ray Tune's plug-ins, which call the bridge: Tune starts, feeds, retries and ends trials; every decision is the study's."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import HOSTNAME, SHOULD_CHECKPOINT
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tuner.artifacts.retry import StoreUnreachableError
from tuner.artifacts.watch import Watch
from tuner.execution.bridge import Bridge
from tuner.execution.nodes import Waiting
from tuner.execution.trainable import NOTE, REPORT

_FAILURE = "Failure # "
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLAIN = re.compile(r"^(?:CollectiveError|LeavingError): ")
"""This project's errors, whose names add nothing to their messages."""
_RAISED = re.compile(r"(?:\w+\.)*\w+: ")
PENDING, RUNNING = "PENDING", "RUNNING"
"""Tune's statuses of a trial that waits for its processes, and of one that has them."""


class StudySearcher(Searcher):  # type: ignore[misc]
    """Tune's searcher: takes trials from the bridge."""

    def __init__(self, bridge: Bridge, watch: Watch) -> None:
        super().__init__(metric=None, mode=None)
        self._bridge = bridge
        self._watch = watch

    def suggest(self, trial_id: str) -> Any:
        return self._bridge.ask(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._watch.check()
        if not error:
            self._bridge.on_end(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Write an empty file, which Tune expects: the study is on disk already."""
        Path(checkpoint_path).write_text("{}", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the study is on disk already."""


class StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Tune's scheduler: ends a trial where the bridge does."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        ends = self._bridge.on_evaluation(trial.config["number"], result[REPORT], result[NOTE], result.get(HOSTNAME))
        return str(TrialScheduler.STOP if ends else TrialScheduler.CONTINUE)


class Silent(tune.ProgressReporter):  # type: ignore[misc]
    """Tune's reporter: prints nothing. Tune's own would clear the output of a notebook's cell."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: Any) -> None:
        return


class Events(tune.Callback, tune.Stopper):  # type: ignore[misc]
    """Tune's callbacks: calls the bridge, watches for an unreachable store, and reports trials that wait for resources.

    Also Tune's stopper, which ends all trials of an interrupted search.
    """

    def __init__(self, bridge: Bridge, waiting: Waiting, watch: Watch) -> None:
        self._bridge = bridge
        self._waiting = waiting
        self._watch = watch

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.should_stop()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.on_start(trial.config["number"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        if self._bridge.wants_checkpoint(trial.config["number"]):
            result[SHOULD_CHECKPOINT] = True  # callbacks may change a result

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        try:
            self._bridge.on_checkpoint(trial.config["number"], trial.last_result[REPORT], checkpoint)
        except StoreUnreachableError as error:  # Tune would log the error and continue
            self._watch.gone(error)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _delete_files_of(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.on_error(trial.trial_id, _reason_of_trial(trial))
        _delete_files_of(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.on_recover(trial.config["number"], _reason_of_trial(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._watch.check()
        self._bridge.tick()
        if self._waiting.is_due():
            pending, running = ([t.config["number"] for t in trials if t.status == state] for state in (PENDING, RUNNING))
            self._waiting.look(pending, running)


def _delete_files_of(trial: Any) -> None:
    """Delete Tune's checkpoints of a trial that has ended; `Models` keeps its model elsewhere."""
    for folder in (trial.local_path, trial.path):
        shutil.rmtree(folder, ignore_errors=True)


def _reason_of_trial(trial: Any) -> str:
    """Why a trial failed, in one line, from Tune's text file of errors: loading the pickle beside it could run code."""
    path = trial.error_file
    if path is None or not Path(path).is_file():
        return "its processes died"
    return last_error(Path(path).read_text(encoding="utf-8", errors="replace")) or "its processes died"


def last_error(text: str) -> str | None:
    """The last failure in the text of Tune's error file: its last line with an exception, else its first line."""
    lines = [line.rstrip() for line in _COLOUR.sub("", text).rpartition(_FAILURE)[2].splitlines()[1:]]
    raised = [line for line in lines if _RAISED.match(line)]
    failure = raised[-1] if raised else next((line.strip() for line in lines if line.strip()), None)
    return failure and _PLAIN.sub("", re.sub(r"^(?:\w+\.)+(?=\w+: )", "", failure))
