"""Trains one recorded trial again on a gang, without pruning."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig
from model.engine.config import TIMEOUT_S
from model.training.evaluation import Evaluation
from tuner.commands.reproduce.recorded import RecordedTraining
from tuner.config.objective import Objective
from tuner.execution.fixed_trials import FixedTrials
from tuner.execution.interruption import Interruption
from tuner.results.trial_record import TrialRecord
from tuner.search.tokenise import DataRequest
from tuner.study import Suggestion, Verdict
from tuner.tracking.events import Observer

NUMBER = 0


class RepeatedTrial(FixedTrials):
    """One trial, which ends after `n_evaluations`."""

    def __init__(self, config: TrialConfig, objective: Objective, n_evaluations: int) -> None:
        super().__init__(objective)
        self.config = config
        self.n_evaluations = n_evaluations

    def wanted(self) -> list[Suggestion]:
        return [Suggestion(NUMBER, self.config)]

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        verdict = super().report(number, evaluation)
        if verdict is Verdict.CONTINUE and evaluation.index == self.n_evaluations and not evaluation.is_last:
            self.prune(number, "the recorded trial ended here")
            return Verdict.PRUNE
        return verdict


def retrain(
    recorded: RecordedTraining, objective: Objective, shape: GangShape, data: DataRequest, folder: Path, observer: Observer
) -> TrialRecord:
    """Train again, with temporary files in the run's folder.

    Raises `ConfigError` when the machine cannot hold the gang or the folder cannot be written, and KeyboardInterrupt.
    """
    from cluster import connect
    from tuner.execution.nodes import slots
    from tuner.execution.runner import Runner
    from tuner.search.tokenise import put_into_object_store

    try:
        work = Path(tempfile.mkdtemp(prefix=".reproduce-", dir=folder))
    except OSError as error:
        raise ConfigError(
            [f"cannot write to {folder}, where the training keeps its files: {error.strerror}; copy the run elsewhere"]
        ) from None
    trial = RepeatedTrial(recorded.config, objective, recorded.n_evaluations)
    interruption, was_connected = Interruption(), connect.is_connected()
    try:
        with interruption.listening():
            connect.connect(None, dashboard=False)
            n_slots = slots(shape, 1)
            tokens = put_into_object_store(data)
            Runner(shape, n_slots, interruption, tokens, math.inf, TIMEOUT_S).run(trial, work, observer)
    finally:
        if not was_connected:
            connect.disconnect()
        shutil.rmtree(work, ignore_errors=True)
    if interruption.requested:
        raise KeyboardInterrupt
    return trial.record(NUMBER)
