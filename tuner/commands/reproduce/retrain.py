"""The training itself: one trial through the gang of a search, with nobody to prune it."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig
from model.engine.collective_error import TIMEOUT_S
from model.training.evaluation import Evaluation
from tuner.commands.reproduce.recorded import Data, Recorded
from tuner.config.objective import Objective
from tuner.execution.fixed_trials import FixedTrials
from tuner.execution.interruption import Interruption
from tuner.results.trial_record import TrialRecord
from tuner.study import Asked, Verdict
from tuner.tracking.events import Observer

NUMBER = 0


class Again(FixedTrials):
    """One trial, which ends after `n_evaluations`."""

    def __init__(self, config: TrialConfig, objective: Objective, n_evaluations: int) -> None:
        super().__init__(objective)
        self.config = config
        self.n_evaluations = n_evaluations

    def wanted(self) -> list[Asked]:
        return [Asked(NUMBER, self.config)]

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        verdict = super().report(number, evaluation)
        if verdict is Verdict.CONTINUE and evaluation.index == self.n_evaluations and not evaluation.is_last:
            self.prune(number, "the recorded trial ended here")
            return Verdict.PRUNE
        return verdict


@dataclass
class Told(Observer):
    """Tells each evaluation as it comes."""

    tell: Callable[[Evaluation, float], None]

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self.tell(evaluation, score)


def retrain(
    recorded: Recorded,
    objective: Objective,
    shape: GangShape,
    data: Data,
    folder: Path,
    tell: Callable[[Evaluation, float], None],
) -> TrialRecord:
    """Train it again, with work files in the run's folder that go again.

    Raises `ConfigError` where the machine cannot hold the gang or the folder cannot be written, and KeyboardInterrupt.
    """
    from cluster import connect
    from tuner.execution.waiting import slots

    try:
        work = Path(tempfile.mkdtemp(prefix=".reproduce-", dir=folder))
    except OSError as error:
        raise ConfigError(
            [f"cannot write to {folder}, where the training keeps its files: {error.strerror}; copy the run elsewhere"]
        ) from None
    interruption, joined = Interruption(), connect.is_connected()
    try:
        with interruption.listening():
            connect.connect(None, dashboard=False)
            return _run(recorded, objective, shape, data, work, tell, slots(shape, 1), interruption)
    finally:
        if not joined:
            connect.disconnect()
        shutil.rmtree(work, ignore_errors=True)


def _run(
    recorded: Recorded,
    objective: Objective,
    shape: GangShape,
    data: Data,
    work: Path,
    tell: Callable[[Evaluation, float], None],
    slots: Callable[[], int],
    interruption: Interruption,
) -> TrialRecord:
    from tuner.execution.runner import Runner
    from tuner.search.tokenise import DataRequest, put_into_object_store

    config = recorded.config
    rows = (data.source, config.mixture, config.arms, data.skip_bad_rows)
    tokens = put_into_object_store(DataRequest(*rows, config.backbone, config.max_length))
    trial = Again(config, objective, recorded.n_evaluations)
    Runner(shape, slots, interruption, tokens, math.inf, TIMEOUT_S).run(trial, work, Told(tell))
    if interruption.requested:
        raise KeyboardInterrupt
    return trial.record(NUMBER)
