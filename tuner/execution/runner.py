"""Runs trainings through Ray Tune: the one place where trials, models, checkpoints, the bridge and Tune are wired.

The stages controls, trials and confirmation use it, and the command `reproduce`.
"""

from __future__ import annotations

import logging
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune

from cluster.shape import GangShape
from tuner.artifacts.checkpoints import Checkpoints, StoredCheckpoints
from tuner.artifacts.models import Models
from tuner.artifacts.retry import LIMIT_S
from tuner.artifacts.store import Store
from tuner.artifacts.watch import watching
from tuner.config.budget import Spending
from tuner.execution.bridge import Bridge, Trials, drop_beaten
from tuner.execution.feature_cache import open_shelf
from tuner.execution.interruption import Interruption
from tuner.execution.nodes import Waiting
from tuner.execution.trainable import GangTrial
from tuner.execution.tune import Events, Silent, StudyScheduler, StudySearcher
from tuner.study import Suggestion
from tuner.tracking.events import Observer

MAX_RETRIES = 2
"""Restarts, from its last checkpoint, of a trial whose processes die."""
TRIALS_WAIT_S = 2 * LIMIT_S
"""Seconds that a trial waits for an unreachable store: longer than the driver, which then ends in a state to resume."""
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and results.json are the record
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # each failure's reason is in the study, in one line
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `interruption` handles signals, and the stopper ends the search
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # gangs start in parallel; the bridge limits their number
    "RAY_AIR_NEW_OUTPUT": "0",  # its banner is printed even with verbose=0
}


@dataclass(frozen=True)
class RunResult:
    """The result of a run of trainings."""

    models: Models
    checkpoints: Checkpoints
    stopped_by: str | None
    """The budget or target that ended it early, in words; None where none did."""
    tune_states: dict[int, str]
    """Tune's final status of each training, by number."""


@dataclass(frozen=True)
class Runner:
    """How trainings run on the connected Ray."""

    shape: GangShape
    slots: Callable[[], int]
    """Trainings that run at once; the number changes as nodes come and go."""
    interruption: Interruption
    data: Any
    """A reference to the tokenised data in the object store."""
    checkpoint_every_s: float
    collective_timeout_s: float
    store: Store | None = None
    """Where checkpoints and models go; None for the run's folder."""

    def within(self, folder: str) -> Runner:
        """A copy that uses the subfolder `folder` of the store."""
        return replace(self, store=self.store and self.store.within(folder))

    def run(
        self,
        trials: Trials,
        folder: Path,
        observer: Observer,
        spending: Spending | None = None,
        unfinished: Sequence[Suggestion] = (),
        resumable: Collection[int] = (),
    ) -> RunResult:
        """Run `trials` until there are no more, a budget ends them or the user interrupts.

        `folder` keeps their models and checkpoints. `unfinished` are trainings of an earlier session, which come first.
        Checkpoints of trainings that are not `resumable` are deleted before the first one starts.
        """
        models = Models(folder / "models")
        where, n_workers, store = folder / "checkpoints", self.shape.n_workers, self.store
        stored = store and StoredCheckpoints(where, n_workers, store.waiting_quietly())
        checkpoints = stored or Checkpoints(where, n_workers)
        checkpoints.drop_others(resumable)
        bridge = Bridge(
            trials, observer, models, checkpoints, self.slots, self.interruption, unfinished, spending or Spending()
        )
        states = self._train(bridge, folder / "tune")
        drop_beaten(models, trials)
        return RunResult(models, checkpoints, bridge.stopped_by, states)

    def _train(self, bridge: Bridge, folder: Path) -> dict[int, str]:
        """Run the bridge's trials with Tune. `folder` is for Tune's files, deleted before and after.

        Returns Tune's final status of each trial, by number.
        """
        shutil.rmtree(folder, ignore_errors=True)  # left by a killed session
        os.environ.update(ENVIRONMENT)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        shelf = open_shelf()
        trainable = tune.with_parameters(
            GangTrial,
            shape=self.shape,
            data=[self.data],
            shelf=shelf,
            store=self.store and self.store.waiting_quietly(TRIALS_WAIT_S),
            checkpoint_every_s=self.checkpoint_every_s,
            collective_timeout_s=self.collective_timeout_s,
        )
        resources = tune.PlacementGroupFactory(self.shape.bundles(), strategy=self.shape.strategy)
        with watching(self.store) as watch:
            events = Events(bridge, Waiting(self.shape), watch)
            tuner = tune.Tuner(
                tune.with_resources(trainable, resources),
                tune_config=tune.TuneConfig(
                    search_alg=StudySearcher(bridge, watch),
                    scheduler=StudyScheduler(bridge),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=_name,
                    trial_dirname_creator=_name,
                ),
                run_config=tune.RunConfig(
                    name=f"trials-{uuid.uuid4().hex}",  # ranks of a killed driver may still write to that driver's folder
                    storage_path=str(folder),
                    callbacks=[events],
                    failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
                    # The last result asks for a checkpoint; checkpoint_at_end would also save pruned and failed trials.
                    # `StoredCheckpoints` deletes old checkpoints in a store.
                    checkpoint_config=tune.CheckpointConfig(
                        num_to_keep=2 if self.store is None else None, checkpoint_at_end=False
                    ),
                    stop=events,
                    progress_reporter=Silent(),
                    verbose=0,
                ),
            )
            try:
                trials = tuner.fit()._experiment_analysis.trials
            finally:
                ray.kill(shelf)  # Tune holds its handle until this process ends
        shutil.rmtree(folder, ignore_errors=True)
        return {trial.config["number"]: trial.status for trial in trials}


def _name(trial: Any) -> str:
    return f"trial_{trial.config['number']:05d}"
