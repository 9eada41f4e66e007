"""Ray Tune's plug-ins, which call the bridge, and the run of a `Tuner` with them.

Tune starts, feeds, retries and ends trials; every decision about them is the study's.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.result import HOSTNAME, SHOULD_CHECKPOINT
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from cluster.shape import GangShape
from tuner.artifacts import watch as store_watch
from tuner.artifacts.retry import LIMIT_S, StoreAwayError
from tuner.artifacts.store import Store
from tuner.artifacts.watch import Watch
from tuner.execution.bridge import Bridge
from tuner.execution.feature_cache import open_shelf
from tuner.execution.trainable import NOTE, REPORT, GangTrial
from tuner.execution.waiting import Waiting

_FAILURE = "Failure # "
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PLAIN = re.compile(r"^(?:CollectiveError|LeavingError): ")
"""This project's errors, whose names add nothing to their messages."""
_RAISED = re.compile(r"(?:\w+\.)*\w+: ")
MAX_RETRIES = 2
"""Restarts, from its last checkpoint, of a trial whose processes die."""
TRIALS_WAIT_S = 2 * LIMIT_S
"""Seconds that a trial waits for an unreachable store: longer than the driver, which then ends in a state to resume."""
PENDING, RUNNING = "PENDING", "RUNNING"
"""Tune's statuses of a trial that waits for its processes, and of one that has them."""
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and results.json are the record
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # each failure's reason is in the study, in one line
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `interruption` handles signals, and the stopper ends the search
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # gangs start in parallel; the bridge limits their number
    "RAY_AIR_NEW_OUTPUT": "0",  # its banner is printed even with verbose=0
}


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


class StopWhenInterrupted(tune.Stopper):  # type: ignore[misc]
    """Tune's stopper: ends all trials of an interrupted search."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.should_stop()


class Events(tune.Callback):  # type: ignore[misc]
    """Tune's callbacks: calls the bridge, watches for an unreachable store, and reports trials that wait for resources."""

    def __init__(self, bridge: Bridge, waiting: Waiting, watch: Watch) -> None:
        self._bridge = bridge
        self._waiting = waiting
        self._watch = watch

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.on_start(trial.config["number"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        if self._bridge.wants_checkpoint(trial.config["number"]):
            result[SHOULD_CHECKPOINT] = True  # callbacks may change a result

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        try:
            self._bridge.on_checkpoint(trial.config["number"], trial.last_result[REPORT], checkpoint)
        except StoreAwayError as error:  # Tune would log the error and continue
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


def run(
    bridge: Bridge,
    shape: GangShape,
    data: Any,
    storage: Path,
    store: Store | None,
    *,
    checkpoint_every_s: float,
    collective_timeout_s: float,
) -> dict[int, str]:
    """Run trials until the bridge has no more, or until the user interrupts.

    `data` is a reference to the tokenised data in the object store. `storage` is a folder for Tune's files, deleted before and
    after. Checkpoints and models go to `store`, if there is one. Returns Tune's final status of each trial, by number.
    """
    shutil.rmtree(storage, ignore_errors=True)  # left by a killed session
    os.environ.update(ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    shelf = open_shelf()
    trainable = tune.with_parameters(
        GangTrial,
        shape=shape,
        data=[data],
        shelf=shelf,
        store=store and store.waiting_quietly(TRIALS_WAIT_S),
        checkpoint_every_s=checkpoint_every_s,
        collective_timeout_s=collective_timeout_s,
    )
    resources = tune.PlacementGroupFactory(shape.bundles(), strategy=shape.strategy)
    with store_watch.watching(store) as watch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(bridge, watch),
                scheduler=StudyScheduler(bridge),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=lambda trial: f"trial_{trial.config['number']:05d}",
                trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:05d}",
            ),
            run_config=tune.RunConfig(
                name=f"trials-{uuid.uuid4().hex}",  # ranks of a killed driver may still write to that driver's folder
                storage_path=str(storage),
                callbacks=[Events(bridge, Waiting(shape), watch)],
                failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
                # The last result asks for a checkpoint; checkpoint_at_end would also save pruned and failed trials.
                # `StoredCheckpoints` deletes old checkpoints in a store.
                checkpoint_config=tune.CheckpointConfig(num_to_keep=2 if store is None else None, checkpoint_at_end=False),
                stop=StopWhenInterrupted(bridge),
                progress_reporter=Silent(),
                verbose=0,
            ),
        )
        try:
            trials = tuner.fit()._experiment_analysis.trials
        finally:
            ray.kill(shelf)  # Tune holds its handle until this process ends
    shutil.rmtree(storage, ignore_errors=True)
    return {trial.config["number"]: trial.status for trial in trials}
