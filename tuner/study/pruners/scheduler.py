"""Decides after each evaluation whether a trial goes on."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.study.pruners.base import ParetoPruner
from tuner.study.records import Verdict


class TrialScheduler:
    """Stops trials by the pruner of their study; a subclass may pause and promote them instead.

    It must be called for every change of a trial.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    @property
    def paused(self) -> list[int]:
        """Trials that are paused and hold no processes, by number."""
        return []

    def verdict(self, trial: FrozenTrial, *, is_last: bool) -> Verdict:
        """What becomes of a trial after its last evaluation so far. The last of its schedule never stops it."""
        return Verdict.CONTINUE if is_last or not self._study.pruner.prune(self._study, trial) else Verdict.PRUNE

    def completed(self, trial: FrozenTrial) -> None:
        """A trial, or a repeat of one, has become COMPLETE."""
        if isinstance(self._study.pruner, ParetoPruner):
            self._study.pruner.completed(trial)

    def end(self, number: int, state: TrialState) -> None:
        """A trial has ended without becoming COMPLETE."""
        return

    def promote(self) -> int | None:
        """Let the most promising paused trial run that may go on; None where there is none."""
        return None

    def release(self, number: int) -> None:
        """A trial that pauses has given its processes back."""
        raise AssertionError("only a pruner that promotes pauses a trial")
