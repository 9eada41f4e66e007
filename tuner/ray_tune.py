"""The bridge between Ray Tune and the study: a searcher and a scheduler without a mind of their own.

Tune starts, feeds, retries and ends trials; every decision about them is the study's.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from cluster.shape import GangShape
from model.config import parse
from model.evaluation import Evaluation, Failure
from tuner.budget import CUT, Spending
from tuner.gang import reason_of
from tuner.interruption import Interruption
from tuner.models import Models
from tuner.observer import Observer
from tuner.study import Study, Verdict
from tuner.trial import NOTE, REPORT, GangTrial

TICK_S = 1.0
MAX_RETRIES = 2
"""How often a trial whose process died is started again from its last checkpoint."""
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and results.json are the record
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # each failure's reason is in the study, in one line
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `interruption` hears signals, and the stopper ends the search
    "TUNE_GLOBAL_CHECKPOINT_S": "60",
    "RAY_AIR_NEW_OUTPUT": "0",  # its banner is printed however quiet Tune is told to be
}


class Bridge:
    """What searcher, scheduler and callbacks share: the study, who listens, and the models worth keeping.

    Tune copies and pickles its plug-ins into its own snapshot; the bridge is never copied and pickles to nothing, because
    the study's storage is the record.
    """

    def __init__(
        self,
        study: Study,
        observer: Observer,
        models: Models,
        max_concurrent: Callable[[], int],
        interruption: Interruption,
        spending: Spending | None = None,
    ) -> None:
        self._study = study
        self._observer = observer
        self._models = models
        self._max_concurrent = max_concurrent
        self._interruption = interruption
        self._spending = spending or Spending()
        self._best_score = study.best.score if study.best is not None else None
        self.stopped_by: str | None = None
        """Which budget ended the search, once one has."""
        self._running: dict[str, int] = {}
        self._last_tick = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Bridge:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}

    @property
    def is_interrupted(self) -> bool:
        return self._interruption.requested

    def ask(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration; None when no slot is free, FINISHED when the search is."""
        if self._is_over():
            return str(Searcher.FINISHED)
        if len(self._running) >= self._max_concurrent():
            return None
        asked = self._study.ask()
        while self._study.refused:
            self._finished(self._study.refused.pop(0))
        if asked is None:
            return str(Searcher.FINISHED)
        self._running[trial_id] = asked.number
        return {"number": asked.number, "config": asked.config.to_dict()}

    def started(self, number: int) -> None:
        self._spending.meter.hold(number)
        self._observer.trial_started(number, parse(self._study.record(number).config))

    def reported(self, number: int, report: Evaluation | Failure, note: str | None = None) -> str:
        """Pass an evaluation on and return Tune's word for the study's verdict."""
        record = self._study.record(number)
        if record.is_finished:
            return str(TrialScheduler.STOP)
        if note is not None and note != record.note:
            self._study.note(number, note)
            self._observer.trial_noted(number, note)
        if isinstance(report, Failure):
            self._fail(number, report.reason)
            return str(TrialScheduler.STOP)
        if report.index > len(record.evaluations):  # else a retried trial repeats what is known
            verdict = self._study.report(number, report)
            self._observer.evaluated(number, report, self._study.objective.score(report.metrics))
            if verdict is not Verdict.CONTINUE:
                self._finished(number)
                return str(TrialScheduler.STOP)
        if self._is_cut(number, report):
            return str(TrialScheduler.STOP)
        return str(TrialScheduler.STOP if report.is_last else TrialScheduler.CONTINUE)

    def _is_over(self) -> bool:
        """Whether a budget has ended the search: nothing starts any more."""
        self.stopped_by = self.stopped_by or self._spending.reached(self._best_score)
        return self.stopped_by is not None

    def _is_cut(self, number: int, report: Evaluation) -> bool:
        """End a trial at this evaluation where the budget's end is to cut it. What is trained to its end is kept."""
        if report.is_last or self._spending.budget.on_end != CUT or not self._is_over():
            return False
        self._study.prune(number, f"cut at evaluation {report.index} of {report.n_evaluations}: {self.stopped_by}")
        self._finished(number)
        return True

    def saved(self, number: int, report: Evaluation | Failure, checkpoint: Any) -> None:
        """Keep the model of a trial that trained to its end; it is told COMPLETE only then."""
        if not isinstance(report, Evaluation) or not report.is_last or self._study.record(number).is_finished:
            return
        reason = self._models.keep(number, checkpoint)
        if reason is not None:
            self._fail(number, reason)

    def ended(self, trial_id: str) -> None:
        """Tune has let go of a trial: what is not told yet has trained to its end."""
        number = self._let_go(trial_id)
        if number is None or self._study.record(number).is_finished:
            return
        if not self._models.has(number):
            self._fail(number, "the trained model was not saved")
            return
        self._study.complete(number)
        score = self._study.record(number).score
        if score is not None and (self._best_score is None or score > self._best_score):
            self._best_score = score
        self._finished(number)

    def broke(self, trial_id: str, reason: str) -> None:
        """Tune has given a trial up."""
        number = self._let_go(trial_id)
        if number is not None and not self._study.record(number).is_finished:
            self._fail(number, reason)

    def _let_go(self, trial_id: str) -> int | None:
        number = self._running.pop(trial_id, None)
        if number is not None:
            self._spending.meter.release(number)
        return number

    def tick(self) -> None:
        if time.monotonic() - self._last_tick >= TICK_S:
            self._last_tick = time.monotonic()
            self._observer.tick()

    def _fail(self, number: int, reason: str) -> None:
        self._study.fail(number, reason)
        self._finished(number)

    def _finished(self, number: int) -> None:
        drop_beaten(self._models, self._study)
        self._observer.trial_finished(self._study.record(number))


def drop_beaten(models: Models, study: Study) -> None:
    """Keep the best trial's model, and those of trials that are not told yet."""
    best = study.best
    untold = {record.number for record in study.records() if not record.is_finished}
    models.drop_others(untold | ({best.number} if best is not None else set()))


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
        return self._bridge.reported(trial.config["number"], result[REPORT], result[NOTE])


class StopWhenInterrupted(tune.Stopper):  # type: ignore[misc]
    """Tune's stopper: ends everything once the user asks."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._bridge.is_interrupted


class Events(tune.Callback):  # type: ignore[misc]
    """Tune's callbacks, passed on."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.started(trial.config["number"])

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


def run(bridge: Bridge, shape: GangShape, data: Any, storage: Path) -> dict[int, str]:
    """Run the study's trials until it has no more, or until the user asks to end.

    `data` is a reference to the tokenised data in the object store. Returns Tune's own last word on each trial, by number:
    nothing of it is kept on disk.
    """
    os.environ.update(ENVIRONMENT)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trainable = tune.with_resources(
        tune.with_parameters(GangTrial, shape=shape, data=[data]),
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
    trials = tuner.fit()._experiment_analysis.trials
    shutil.rmtree(storage, ignore_errors=True)
    return {trial.config["number"]: trial.status for trial in trials}
