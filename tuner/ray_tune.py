"""The bridge between Ray Tune and the study: a searcher and a scheduler without a mind of their own.

Tune starts, feeds, retries and ends trials; every decision about them is the study's.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from cluster.shape import GangShape
from model.config import parse
from model.evaluation import Failure
from tuner.gang import reason_of
from tuner.observer import Observer
from tuner.study import Study, Verdict
from tuner.trial import REPORT, GangTrial

TICK_S = 1.0
MAX_RETRIES = 2
"""How often a trial whose process died is started again from its last checkpoint."""


class Bridge:
    """What searcher, scheduler and callbacks share: the study, who listens, and the models worth keeping.

    Tune copies and pickles its plug-ins into its own snapshot; the bridge is never copied and pickles to nothing, because
    the study's storage is the record.
    """

    def __init__(self, study: Study, observers: Sequence[Observer], models: Path, max_concurrent: Callable[[], int]) -> None:
        self.study = study
        self.observers = observers
        self.models = models
        self.max_concurrent = max_concurrent
        self.running: dict[str, int] = {}
        self.interrupted = False
        """Set to end the search: what runs is stopped, and its trials stay unfinished."""
        self._last_tick = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Bridge:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def ask(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration; None when no slot is free, FINISHED when the search is."""
        if len(self.running) >= self.max_concurrent():
            return None
        asked = self.study.ask()
        if asked is None:
            return str(Searcher.FINISHED)
        self.running[trial_id] = asked.number
        return {"number": asked.number, "config": asked.config.to_dict()}

    def started(self, number: int) -> None:
        config = parse(self.study.record(number).config)
        for observer in self.observers:
            observer.trial_started(number, config)

    def reported(self, number: int, report: Any) -> str:
        """Pass an evaluation on and return Tune's word for the study's verdict."""
        if isinstance(report, Failure):
            self.study.fail(number, report.reason)
            self._finish(number)
            return str(TrialScheduler.STOP)
        verdict = self.study.report(number, report)
        for observer in self.observers:
            observer.evaluated(number, report, self.study.objective.score(report.metrics))
        if verdict is not Verdict.CONTINUE:
            self._finish(number)
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.STOP if report.is_last else TrialScheduler.CONTINUE)

    def saved(self, number: int, checkpoint: Any) -> None:
        """Keep the model of a trial that trained to its end, until a better one is kept."""
        record = self.study.record(number)
        if record.state != "RUNNING" or len(record.evaluations) < self.study.n_evaluations:
            return
        target = self.models / str(number)
        partial = self.models / f".{number}"
        shutil.rmtree(partial, ignore_errors=True)
        checkpoint.to_directory(str(partial))
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)

    def ended(self, trial_id: str) -> None:
        """Tune has let go of a trial: what is not told yet has trained to its end, and its model is kept."""
        number = self.running.pop(trial_id, None)
        if number is None or self.study.record(number).is_finished:
            return
        if self.interrupted:
            return
        if (self.models / str(number)).is_dir():
            self.study.complete(number)
        else:
            self.study.fail(number, "the trained model could not be saved")
        self._finish(number)

    def broke(self, trial_id: str, reason: str) -> None:
        """Tune has given a trial up."""
        number = self.running.pop(trial_id, None)
        if number is not None and not self.study.record(number).is_finished:
            self.study.fail(number, reason)
            self._finish(number)

    def tick(self) -> None:
        if time.monotonic() - self._last_tick >= TICK_S:
            self._last_tick = time.monotonic()
            for observer in self.observers:
                observer.tick()

    def _finish(self, number: int) -> None:
        keep_best(self.models, self.study)
        record = self.study.record(number)
        for observer in self.observers:
            observer.trial_finished(record)


def keep_best(models: Path, study: Study) -> None:
    """Drop the models of finished trials other than the best."""
    best = study.best
    for folder in models.iterdir() if models.is_dir() else ():
        number = folder.name
        is_best = best is not None and number == str(best.number)
        if number.isdigit() and not is_best and study.record(int(number)).is_finished:
            shutil.rmtree(folder)


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
        return self._bridge.reported(trial.config["number"], result[REPORT])


class StopWhenInterrupted(tune.Stopper):  # type: ignore[misc]
    """Tune's stopper: ends everything once the bridge is interrupted."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.interrupted


class Events(tune.Callback):  # type: ignore[misc]
    """Tune's callbacks, passed on."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.started(trial.config["number"])

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        self._bridge.saved(trial.config["number"], checkpoint)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        shutil.rmtree(trial.local_path, ignore_errors=True)
        shutil.rmtree(trial.path, ignore_errors=True)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.broke(trial.trial_id, reason_of(trial.get_pickled_error() or RuntimeError("its processes died")))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._bridge.tick()


def run(bridge: Bridge, shape: GangShape, data: Any, storage: Path) -> None:
    """Run the study's trials until it has no more, or until the process is interrupted.

    `data` is a reference to the tokenised data in the object store.
    """
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # MLflow and results.json are the record
    os.environ["TUNE_PRINT_ALL_TRIAL_ERRORS"] = "0"  # each failure's reason is in the study, in one line
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # its banner is printed however quiet Tune is told to be
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # the bridge is told of signals, and ends the search by the stopper
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "60"
    trainable = tune.with_resources(
        tune.with_parameters(GangTrial, shape=shape, data=[data]),
        tune.PlacementGroupFactory(shape.bundles(), strategy="PACK"),
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
            name="trials",
            storage_path=str(storage),
            callbacks=[Events(bridge)],
            failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
            # At its end a trial asks for its own checkpoint; Tune's would save pruned and failed trials too.
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_at_end=False),
            stop=StopWhenInterrupted(bridge),
            verbose=0,
        ),
    )
    tuner.fit()
