"""The bridge between Ray Tune's events and the study: it asks the study for decisions, informs the observer and keeps files."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.config import parse
from model.training.evaluation import Evaluation, Failure
from tuner.artifacts.checkpoints import Checkpoints
from tuner.artifacts.models import Models
from tuner.artifacts.write_queue import write_stderr
from tuner.config.budget import Spending
from tuner.execution.fixed_trials import FixedTrials
from tuner.execution.interruption import Interruption
from tuner.results.trial_record import INTERRUPTED
from tuner.study import Study, Suggestion, Verdict
from tuner.tracking.events import Observer

Trials = Study | FixedTrials
"""What supplies trials and judges them."""
FINISHED = "FINISHED"
"""Tune's value for a searcher that has no more trials."""
TICK_S = 1.0
GRACE_S = 30.0
"""Seconds after an interruption in which a running trial may reach its next evaluation, to be saved there."""


@dataclass(eq=False)
class Bridge:
    """The state that Tune's searcher, scheduler and callbacks share; the `on_` methods handle Tune's events.

    `unfinished` are trials of an earlier session, which come first. Tune copies and pickles its plug-ins into its own
    snapshot; the bridge is never copied and pickles to nothing, because the study's storage is the record.
    """

    study: Trials
    observer: Observer
    models: Models
    checkpoints: Checkpoints
    max_concurrent: Callable[[], int]
    interruption: Interruption
    unfinished: Sequence[Suggestion] = ()
    spending: Spending = field(default_factory=Spending)
    stopped_by: str | None = field(default=None, init=False)
    """The budget that ended the search, in words."""

    def __post_init__(self) -> None:
        self._unfinished = deque(self.unfinished)
        best = self.study.best
        self._best_score = best.score if best is not None and not best.shortfall else None
        """Of the COMPLETE trials that meet the requirements; the budget's target is compared with it."""
        self._running: dict[str, int] = {}
        """Numbers of the trials that Tune has, by Tune's identifiers."""
        self._training: set[int] = set()
        """Running trials whose processes have started."""
        self._leaving: set[int] = set()
        """Running trials that end in Tune at their next checkpoint and continue later: paused or interrupted ones."""
        self._nodes: dict[int, str] = {}
        """Host name of each running trial."""
        self._deadline = math.inf
        self._last_tick = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Bridge:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def should_stop(self) -> bool:
        """Whether Tune must end all trials now: interrupted, and the running trials are saved or the grace time is over."""
        if not self.interruption.requested:
            return False
        if self._deadline == math.inf:
            self._deadline = time.monotonic() + GRACE_S
            write_stderr(
                f"stopping: saving running trials at their next evaluation (up to {GRACE_S:g} s); "
                "press Ctrl-C again to stop now"
            )
        return not self._training or time.monotonic() > self._deadline

    def ask(self, trial_id: str) -> dict[str, Any] | str | None:
        """Tune's `config` of the next trial; None when there is none at the moment, `FINISHED` when the search is over."""
        if self._is_over():
            self._settle()
            return FINISHED
        if self.interruption.requested or len(self._running) >= self.max_concurrent():
            return None
        asked = self._next()
        self._report_ended()
        if asked is None:
            return None if self.study.waits and self._running else FINISHED
        self._running[trial_id] = asked.number
        self.observer.trial_asked(asked.number)
        checkpoint = self.checkpoints.last(asked.number)
        return {
            "number": asked.number,
            "config": asked.config.to_dict(),
            "checkpoint": str(checkpoint) if checkpoint is not None else None,
        }

    def _next(self) -> Suggestion | None:
        """The next unfinished trial of an earlier session, then a new one of the study."""
        while self._unfinished:
            asked = self._unfinished.popleft()
            if not self.models.has(asked.number):
                return asked
            self._complete(asked.number)  # trained to its end; only the study's record was missing
        return self.study.ask()

    def on_start(self, number: int) -> None:
        """A trial's processes have started."""
        self._training.add(number)
        self.spending.meter.hold(number)
        self.observer.trial_started(number, parse(self.study.record(number).config))

    def on_evaluation(
        self, number: int, report: Evaluation | Failure, note: str | None = None, node: str | None = None
    ) -> bool:
        """Handle a trial's report from host `node`, and return whether Tune must end the trial."""
        record = self.study.record(number)
        if record.is_finished:
            return True
        if node is not None and self._nodes.get(number) != node:
            self._nodes[number] = node
            self.observer.trial_placed(number, node)
        if note is not None and note != record.note:
            self.study.note(number, note)
            self.observer.trial_noted(number, note)
        if isinstance(report, Failure):
            self._fail(number, report.reason)
            return True
        if report.index > len(record.evaluations):  # a retried trial repeats earlier evaluations
            verdict = self.study.report(number, report)
            self.observer.evaluated(number, report, self.study.objective.score(report.metrics))
            if verdict is Verdict.PAUSE:
                self._leaving.add(number)
                self.observer.trial_paused(self.study.record(number))
                return True
            if verdict is not Verdict.CONTINUE:
                self._finish(number)
                return True
        if not report.is_last and self._is_over():
            self.study.prune(number, f"cut at evaluation {report.index} of {report.n_evaluations}: {self.stopped_by}")
            self._finish(number)
            return True
        if not report.is_last and self.interruption.requested:
            self._leaving.add(number)
        return report.is_last or number in self._leaving

    def wants_checkpoint(self, number: int) -> bool:
        """Whether the evaluation that was just reported must be saved."""
        return number in self._leaving

    def on_checkpoint(self, number: int, report: Evaluation | Failure, checkpoint: Any) -> None:
        """Keep a trial's checkpoint; the one of its last evaluation is the trained model."""
        if self.study.record(number).is_finished:  # Tune also saves a trial that was pruned at this evaluation
            self.checkpoints.drop(number)
        elif isinstance(report, Evaluation) and report.is_last:
            reason = self.models.keep(number, checkpoint)
            if reason is not None:
                self._fail(number, reason)
        elif isinstance(report, Evaluation):
            reason = self.checkpoints.keep(number, report.index, checkpoint)
            if reason is not None:
                write_stderr(f"trial {number}: cannot keep the checkpoint of evaluation {report.index}: {reason}")

    def on_end(self, trial_id: str) -> None:
        """Tune has ended a trial without an error: it is paused, interrupted, or trained to its end if it is not finished."""
        number = self._release(trial_id)
        if number is None or self.study.record(number).is_finished:
            return
        if number in self._leaving:
            self._leaving.remove(number)
            is_paused = self.study.record(number).state == "PAUSED"
            self.observer.trial_left(number, "paused" if is_paused else INTERRUPTED)
            if is_paused:
                self.study.release(number)
                if self._is_over():
                    self._settle()
        elif self.models.has(number):
            self._complete(number)
        else:
            self._fail(number, "the trained model was not saved")

    def on_recover(self, number: int, reason: str) -> None:
        """A trial's process has died or hangs; Tune restarts the trial from its last checkpoint."""
        write_stderr(f"trial {number}: restarting from its last checkpoint: {reason}")
        self._nodes.pop(number, None)
        self.observer.trial_left(number, "died")

    def on_error(self, trial_id: str, reason: str) -> None:
        """Tune has given up a trial after its retries."""
        number = self._release(trial_id)
        if number is not None and not self.study.record(number).is_finished:
            self._fail(number, reason)

    def tick(self) -> None:
        """Call the observer's `tick`, at most once in `TICK_S` seconds."""
        if time.monotonic() - self._last_tick >= TICK_S:
            self._last_tick = time.monotonic()
            self.observer.tick()

    def _is_over(self) -> bool:
        """Whether a budget has ended the search, so that no trial may start."""
        self.stopped_by = self.stopped_by or self.spending.reached(self._best_score)
        return self.stopped_by is not None

    def _settle(self) -> None:
        """End the paused trials: a budget is used up, so none of them is promoted."""
        self.study.prune_paused(self.stopped_by)
        self._report_ended()

    def _report_ended(self) -> None:
        """Finish the trials that the study ended by itself, of which Tune has no event."""
        while self.study.ended:
            self._finish(self.study.ended.pop(0))

    def _release(self, trial_id: str) -> int | None:
        """Forget a trial that Tune has ended, and return its number; None for one that was never started."""
        number = self._running.pop(trial_id, None)
        if number is not None:
            self._training.discard(number)
            self._nodes.pop(number, None)
            self.spending.meter.release(number)
        return number

    def _complete(self, number: int) -> None:
        self.study.complete(number)
        record = self.study.record(number)
        if record.score is not None and not record.shortfall and (self._best_score is None or record.score > self._best_score):
            self._best_score = record.score
        self._finish(number)

    def _fail(self, number: int, reason: str) -> None:
        self.study.fail(number, reason)
        self._finish(number)

    def _finish(self, number: int) -> None:
        self.checkpoints.drop(number)
        drop_beaten(self.models, self.study)
        self.observer.trial_finished(self.study.record(number))


def drop_beaten(models: Models, study: Trials) -> None:
    """Delete all models but those of the best trial, of the Pareto front, and of trials that are not finished."""
    best = study.best
    kept = {record.number for record in (*study.front, *([best] if best is not None else []))}
    models.drop_others(kept.union(study.unfinished))
