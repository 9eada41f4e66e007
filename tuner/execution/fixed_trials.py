"""Trainings of known configurations, without sampler and pruner: controls, finalists, a trial that is reproduced."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace

from model.training.evaluation import Evaluation
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.results.trial_record import TrialRecord, TrialState
from tuner.study import Suggestion, Verdict


class FixedTrials(ABC):
    """Has the methods of `Study` that the bridge calls, and gives out known configurations, each once and in order.

    Only a score that is not finite ends a training early; `prune` is called where a budget is used up.
    """

    best: TrialRecord | None = None
    """Always None: models are kept by `front` instead."""
    waits = False

    def __init__(self, objective: Objective, requirements: Requirements | None = None) -> None:
        self.objective = objective
        self.requirements = requirements or Requirements()
        self.ended: list[int] = []
        self._records: dict[int, TrialRecord] = {}

    @abstractmethod
    def wanted(self) -> Iterable[Suggestion]:
        """All trainings in order, including those that have begun."""

    @property
    def front(self) -> Sequence[TrialRecord]:
        """The trainings whose models are kept after the last one."""
        return ()

    @property
    def unfinished(self) -> list[int]:
        return [number for number, record in self._records.items() if not record.is_finished]

    def ask(self) -> Suggestion | None:
        for asked in self.wanted():
            if asked.number not in self._records:
                config = asked.config.to_dict()
                self._records[asked.number] = TrialRecord(asked.number, "RUNNING", None, {}, [], config, 0.0, None)
                return asked
        return None

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        before, score = self.record(number), self.objective.score(evaluation.metrics)
        if before.is_finished:
            return Verdict.STOP
        if not math.isfinite(score):
            self.fail(number, f"its score became {score} at step {evaluation.step}")
            return Verdict.STOP
        self._records[number] = replace(
            before,
            score=score,
            scores=self.objective.scores(evaluation.metrics),
            requirements=self.requirements.excess(evaluation.metrics),
            metrics=evaluation.metrics,
            evaluations=[*before.evaluations, evaluation.to_dict() | {"score": score}],
            seconds=evaluation.seconds,
        )
        return Verdict.CONTINUE

    def complete(self, number: int) -> None:
        assert self.record(number).score is not None, "a training is completed before its last evaluation is reported"
        self._end(number, "COMPLETE", None)

    def prune(self, number: int, reason: str) -> None:
        self._end(number, "PRUNED", reason)

    def fail(self, number: int, reason: str) -> None:
        self._end(number, "FAIL", reason)

    def _end(self, number: int, state: TrialState, reason: str | None) -> None:
        score = None if state == "FAIL" else self.record(number).score
        self._records[number] = replace(self.record(number), state=state, score=score, reason=reason)

    def note(self, number: int, note: str) -> None:
        self._records[number] = replace(self.record(number), note=note)

    def release(self, number: int) -> None:
        raise AssertionError("nothing pauses a training")

    def prune_paused(self, why: str | None = None) -> None:
        return

    def records(self) -> list[TrialRecord]:
        return list(self._records.values())

    def record(self, number: int) -> TrialRecord:
        return self._records[number]
