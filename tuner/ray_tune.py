"""The bridge between Ray Tune and the study: a searcher and a scheduler without a mind of their own.

Tune starts, feeds, retries and ends trials; every decision about them is the study's.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from cluster.shape import GangShape
from tuner.bridge import Bridge
from tuner.gang import reason_of
from tuner.trial import REPORT, GangTrial

MAX_RETRIES = 2
"""How often a trial whose process died is started again from its last checkpoint."""
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and results.json are the record
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # each failure's reason is in the study, in one line
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `interruption` hears signals, and the stopper ends the search
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",  # its banner is printed however quiet Tune is told to be
}


class StudySearcher(Searcher):  # type: ignore[misc]
    """Tune's searcher: asks the study."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(metric=None, mode=None)
        self._bridge = bridge

    def suggest(self, trial_id: str) -> Any:
        return self._bridge.ask(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:
            self._bridge.ended(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the study is on disk already."""
        Path(checkpoint_path).write_text("{}", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class StudyScheduler(FIFOScheduler):  # type: ignore[misc]
    """Tune's scheduler: puts each evaluation to the study."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        ends = self._bridge.reported(trial.config["number"], result[REPORT])
        return str(TrialScheduler.STOP if ends else TrialScheduler.CONTINUE)


class StopWhenInterrupted(tune.Stopper):  # type: ignore[misc]
    """Tune's stopper: ends everything once the user asks."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.should_end()


class Events(tune.Callback):  # type: ignore[misc]
    """Tune's callbacks, passed on."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.started(trial.config["number"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        if self._bridge.wants_checkpoint(trial.config["number"]):
            result[SHOULD_CHECKPOINT] = True  # Tune lets callbacks change a result

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        self._bridge.saved(trial.config["number"], trial.last_result[REPORT], checkpoint)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        _delete_files_of(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.broke(trial.trial_id, _reason_of_trial(trial))
        _delete_files_of(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._bridge.tick()


def _delete_files_of(trial: Any) -> None:
    """Checkpoints of a trial that has ended: its model is kept elsewhere, if at all."""
    for folder in (trial.local_path, trial.path):
        shutil.rmtree(folder, ignore_errors=True)


def _reason_of_trial(trial: Any) -> str:
    """Why Tune gave a trial up, in one line: its last error, which lies where the driver keeps its own files."""
    path = trial.pickled_error_file
    if path is None or not Path(path).is_file():
        return "its processes died"
    error = cloudpickle.loads(Path(path).read_bytes())  # written by this process
    return reason_of(getattr(error, "cause", None) or error)


def run(bridge: Bridge, shape: GangShape, data: Any, storage: Path, checkpoint_every_s: float) -> dict[int, str]:
    """Run the study's trials until it has no more, or until the user asks to end.

    `data` is a reference to the tokenised data in the object store; `storage` is for Tune's own files, and is deleted.
    Returns Tune's own last word on each trial, by number: nothing of it is kept on disk.
    """
    shutil.rmtree(storage, ignore_errors=True)  # a killed session's
    os.environ.update(ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trainable = tune.with_resources(
        tune.with_parameters(GangTrial, shape=shape, data=[data], checkpoint_every_s=checkpoint_every_s),
        # On one node: checkpoints of its ranks meet in one folder.
        tune.PlacementGroupFactory(shape.bundles(), strategy="STRICT_PACK"),
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(bridge),
            scheduler=StudyScheduler(bridge),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial_{trial.config['number']:05d}",
            trial_dirname_creator=lambda trial: f"trial_{trial.config['number']:05d}",
        ),
        run_config=tune.RunConfig(
            name=f"trials-{uuid.uuid4().hex}",  # ranks of a killed driver may still write to its folder
            storage_path=str(storage),
            callbacks=[Events(bridge)],
            failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
            # At its end a trial asks for its own checkpoint; Tune's would save pruned and failed trials too.
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_at_end=False),
            stop=StopWhenInterrupted(bridge),
            verbose=0,
        ),
    )
    trials = tuner.fit()._experiment_analysis.trials
    shutil.rmtree(storage, ignore_errors=True)
    return {trial.config["number"]: trial.status for trial in trials}
