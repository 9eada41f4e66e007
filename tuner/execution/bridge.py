"""What happens to trials, apart from how Ray Tune runs them.

The study decides, the observer hears, and the models and checkpoints worth it are kept.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from model.config import parse
from model.training.evaluation import Evaluation, Failure
from tuner.artifacts.checkpoints import Checkpoints
from tuner.artifacts.models import Models
from tuner.artifacts.write_queue import tell_stderr
from tuner.config.budget import Spending
from tuner.config.objective import Objective
from tuner.execution.interruption import Interruption
from tuner.results.trial_record import INTERRUPTED, TrialRecord
from tuner.study import Suggestion, Verdict
from tuner.tracking.events import Observer

FINISHED = "FINISHED"
"""Tune's word for a searcher that has no more trials."""
TICK_S = 1.0
GRACE_S = 30.0
"""How long the running trials of an interrupted search may train on to their next evaluation, to be saved there."""


class Bridge:
    """What searcher, scheduler and callbacks share: the study, who listens, and the models and checkpoints worth keeping.

    `unfinished` are trials of an earlier session, which come first. Tune copies and pickles its plug-ins into its own
    snapshot; the bridge is never copied and pickles to nothing, because the study's storage is the record.
    """

    def __init__(
        self,
        study: Trials,
        observer: Observer,
        models: Models,
        checkpoints: Checkpoints,
        max_concurrent: Callable[[], int],
        interruption: Interruption,
        unfinished: Sequence[Suggestion] = (),
        spending: Spending | None = None,
    ) -> None:
        self._study = study
        self._observer = observer
        self._models = models
        self._checkpoints = checkpoints
        self._unfinished = deque(unfinished)
        self._spending = spending or Spending()
        best = study.best
        self._best_score = best.score if best is not None and not best.shortfall else None
        """Of the COMPLETE trials that meet the requirements: a budget's target is reached by no other."""
        self.stopped_by: str | None = None
        """Which budget ended the search, once one has."""
        self._max_concurrent = max_concurrent
        self._interruption = interruption
        self._running: dict[str, int] = {}
        """Trials that Tune has, by its own identifiers."""
        self._started: set[int] = set()
        """Those of them that train."""
        self._leaving: set[int] = set()
        """Those of them that end in Tune at their next checkpoint, to go on later: paused, or saved by an interruption."""
        self._nodes: dict[int, str] = {}
        """Where they run."""
        self._give_up_at = math.inf
        self._last_tick = 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Bridge:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def should_end(self) -> bool:
        """Whether all trials are to be ended: the user asked for it, and what trains is saved, or took too long."""
        if not self._interruption.requested:
            return False
        if self._give_up_at == math.inf:
            self._give_up_at = time.monotonic() + GRACE_S
            tell_stderr(f"ending: running trials are saved at their next evaluation, for {GRACE_S:g} s; again to end at once")
        return not self._started or time.monotonic() > self._give_up_at

    def ask(self, trial_id: str) -> dict[str, Any] | str | None:
        """What Tune hands to the next trial; None when there is nothing to do now, `FINISHED` when the search is."""
        if self._is_over():
            self._settle()
            return FINISHED
        if self._interruption.requested or len(self._running) >= self._max_concurrent():
            return None
        asked = self._next()
        self._tell_ended()
        if asked is None:
            return None if self._study.waits and self._running else FINISHED
        self._running[trial_id] = asked.number
        self._observer.trial_asked(asked.number)
        checkpoint = self._checkpoints.last(asked.number)
        return {
            "number": asked.number,
            "config": asked.config.to_dict(),
            "checkpoint": str(checkpoint) if checkpoint is not None else None,
        }

    def _next(self) -> Suggestion | None:
        """What an earlier session left, then what the study asks for."""
        while self._unfinished:
            asked = self._unfinished.popleft()
            if not self._models.has(asked.number):
                return asked
            self._complete(asked.number)  # it had trained to its end, and only that was not told
        return self._study.ask()

    def _tell_ended(self) -> None:
        """Pass on what the study ended by itself; Tune never hears of it."""
        while self._study.ended:
            self._finished(self._study.ended.pop(0))

    def _settle(self) -> None:
        """What is paused when a budget ends the search stays where it is."""
        self._study.settle(self.stopped_by)
        self._tell_ended()

    def started(self, number: int) -> None:
        self._started.add(number)
        self._spending.meter.hold(number)
        self._observer.trial_started(number, parse(self._study.record(number).config))

    def reported(self, number: int, report: Evaluation | Failure, note: str | None = None, node: str | None = None) -> bool:
        """Pass an evaluation on, made on the node of this name. Returns whether the trial ends in Tune."""
        record = self._study.record(number)
        if record.is_finished:
            return True
        if node is not None and self._nodes.get(number) != node:
            self._nodes[number] = node
            self._observer.trial_placed(number, node)
        if note is not None and note != record.note:
            self._study.note(number, note)
            self._observer.trial_noted(number, note)
        if isinstance(report, Failure):
            self._fail(number, report.reason)
            return True
        if report.index > len(record.evaluations):  # else a retried trial repeats what is known
            verdict = self._study.report(number, report)
            self._observer.evaluated(number, report, self._study.objective.score(report.metrics))
            if verdict is Verdict.PAUSE:
                self._leaving.add(number)
                self._observer.trial_paused(self._study.record(number))
                return True
            if verdict is not Verdict.CONTINUE:
                self._finished(number)
                return True
        if self._is_cut(number, report):
            return True
        if not report.is_last and self._interruption.requested:
            self._leaving.add(number)
        return report.is_last or number in self._leaving

    def _is_over(self) -> bool:
        """Whether a budget has ended the search: nothing starts any more."""
        self.stopped_by = self.stopped_by or self._spending.reached(self._best_score)
        return self.stopped_by is not None

    def _is_cut(self, number: int, report: Evaluation) -> bool:
        """End a trial at this evaluation once a budget has ended the search. What is trained to its end is kept."""
        if report.is_last or not self._is_over():
            return False
        self._study.prune(number, f"cut at evaluation {report.index} of {report.n_evaluations}: {self.stopped_by}")
        self._finished(number)
        return True

    def wants_checkpoint(self, number: int) -> bool:
        """Whether the evaluation that was just reported must be saved."""
        return number in self._leaving

    def saved(self, number: int, report: Evaluation | Failure, checkpoint: Any) -> None:
        """Keep a trial's checkpoint, or the model of one that trained to its end; it is told COMPLETE only then."""
        if self._study.record(number).is_finished:  # Tune saves a trial that is due even when it has just been pruned
            self._checkpoints.drop(number)
            return
        if not isinstance(report, Evaluation):
            return
        if not report.is_last:
            reason = self._checkpoints.keep(number, report.index, checkpoint)
            if reason is not None:
                tell_stderr(f"trial {number}: its checkpoint of evaluation {report.index} cannot be kept: {reason}")
            return
        reason = self._models.keep(number, checkpoint)
        if reason is not None:
            self._fail(number, reason)

    def ended(self, trial_id: str) -> None:
        """Tune has let go of a trial: what is not told yet has trained to its end."""
        number = self._let_go(trial_id)
        if number is None or self._study.record(number).is_finished:
            return
        if number in self._leaving:
            self._leaving.remove(number)
            is_paused = self._study.record(number).state == "PAUSED"
            self._observer.trial_left(number, "paused" if is_paused else INTERRUPTED)
            self._released(number)
            return
        if not self._models.has(number):
            self._fail(number, "the trained model was not saved")
            return
        self._complete(number)

    def _released(self, number: int) -> None:
        """A trial has left Tune to go on later."""
        if self._study.record(number).state == "PAUSED":
            self._study.release(number)
            if self._is_over():
                self._settle()

    def _complete(self, number: int) -> None:
        self._study.complete(number)
        record = self._study.record(number)
        if record.score is not None and not record.shortfall and (self._best_score is None or record.score > self._best_score):
            self._best_score = record.score
        self._finished(number)

    def lost(self, number: int, reason: str) -> None:
        """A trial's process has died or hangs, and Tune starts it again from its last checkpoint."""
        tell_stderr(f"trial {number} lost its processes and goes on from its last checkpoint: {reason}")
        self._nodes.pop(number, None)
        self._observer.trial_left(number, "died")

    def broke(self, trial_id: str, reason: str) -> None:
        """Tune has given a trial up."""
        number = self._let_go(trial_id)
        if number is not None and not self._study.record(number).is_finished:
            self._fail(number, reason)

    def tick(self) -> None:
        if time.monotonic() - self._last_tick >= TICK_S:
            self._last_tick = time.monotonic()
            self._observer.tick()

    def _let_go(self, trial_id: str) -> int | None:
        number = self._running.pop(trial_id, None)
        if number is not None:
            self._started.discard(number)
            self._nodes.pop(number, None)
            self._spending.meter.release(number)
        return number

    def _fail(self, number: int, reason: str) -> None:
        self._study.fail(number, reason)
        self._finished(number)

    def _finished(self, number: int) -> None:
        self._checkpoints.drop(number)
        drop_beaten(self._models, self._study)
        self._observer.trial_finished(self._study.record(number))


def drop_beaten(models: Models, study: Trials) -> None:
    """Keep the best trial's model, those on the front of several goals, and those of trials that are not told yet."""
    best = study.best
    kept = {record.number for record in (*study.front, *([best] if best is not None else []))}
    models.drop_others(kept.union(study.unfinished))


class Trials(Protocol):
    """Gives trials out and judges them; `tuner.study.Study` says what each method does."""

    @property
    def objective(self) -> Objective: ...

    @property
    def ended(self) -> list[int]: ...

    @property
    def best(self) -> TrialRecord | None: ...

    @property
    def front(self) -> Sequence[TrialRecord]: ...

    @property
    def unfinished(self) -> Collection[int]: ...

    @property
    def waits(self) -> bool: ...

    def ask(self) -> Suggestion | None: ...

    def report(self, number: int, evaluation: Evaluation) -> Verdict: ...

    def release(self, number: int) -> None: ...

    def settle(self, why: str | None = None) -> None: ...

    def complete(self, number: int) -> None: ...

    def prune(self, number: int, reason: str) -> None: ...

    def fail(self, number: int, reason: str) -> None: ...

    def note(self, number: int, note: str) -> None: ...

    def record(self, number: int) -> TrialRecord: ...
