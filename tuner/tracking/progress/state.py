"""The state that progress displays show: a row for each trial and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.training.evaluation import Evaluation
from tuner.results.facts import SearchFacts
from tuner.results.pareto import best_of
from tuner.results.trial_record import TrialRecord


@dataclass
class Row:
    """One displayed trial."""

    number: int
    state: str = "RUNNING"
    last: Mapping[str, Any] = field(default_factory=dict)
    """`index`, `n_evaluations`, `step` and `n_steps` of the last evaluation; empty before the first."""
    score: float | None = None
    """Score of the last evaluation."""
    best_score: float | None = None
    """Best score of this trial so far."""
    seconds: float = 0.0
    """Seconds of training and evaluation up to the last evaluation."""
    reason: str | None = None
    is_repeat: bool = False
    """Copied from the record of an equal trial: shown, but not counted."""
    share: float = 0.0
    """The share of its schedule that the trial was trained for, 0 to 1."""


def eta_s(elapsed_s: float, share: float) -> float | None:
    """Remaining seconds when `share` (0 to 1) of the work took `elapsed_s`; None for a share of 0."""
    if share <= 0.0:
        return None
    return elapsed_s * (1.0 - min(share, 1.0)) / share


class ProgressState:
    """Collects the events of a search; usage is counted in full trials, as by `--trials`."""

    def __init__(self) -> None:
        self.n_trials = 0
        self.best: TrialRecord | None = None
        """The complete trial with the highest score; the earliest of equal ones."""
        self._rows: dict[int, Row] = {}
        self._finished: list[int] = []
        self._used_earlier = 0.0
        self._started_s = 0.0

    def start(self, plan: SearchFacts, at_s: float) -> None:
        self.n_trials = plan.n_trials
        self._started_s = at_s
        for record in plan.finished:
            self.trial_finished(record)
        for record in plan.unfinished:
            if record.state == "PAUSED":
                self.trial_paused(record)
        self._used_earlier = self.used

    def trial_started(self, number: int) -> None:
        before = self._rows.get(number)
        self._rows[number] = Row(number, share=before.share if before else 0.0)

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        row = self._rows.setdefault(number, Row(number))
        row.last, row.score, row.seconds = evaluation.to_dict(), score, evaluation.seconds
        row.share = evaluation.index / evaluation.n_evaluations
        row.best_score = score if row.best_score is None else max(row.best_score, score)

    def trial_paused(self, record: TrialRecord) -> None:
        row = self._row_of(record)
        if record.evaluations:  # an earlier session's are unknown to this display
            row.last = record.evaluations[-1]

    def trial_finished(self, record: TrialRecord) -> None:
        self._row_of(record).is_repeat = record.same_as is not None
        self._finished.append(record.number)
        self.best = best_of([record] if self.best is None else [self.best, record])

    def _row_of(self, record: TrialRecord) -> Row:
        """The trial's row with the values of its record."""
        row = self._rows.setdefault(record.number, Row(record.number))
        row.state, row.score, row.reason = record.state, record.score, record.reason
        row.seconds, row.share = record.seconds, record.share
        return row

    def counts(self) -> Counter[str]:
        """Trials by state, without repeats."""
        return Counter(row.state for row in self._rows.values() if not row.is_repeat)

    @property
    def n_repeats(self) -> int:
        return sum(row.is_repeat for row in self._rows.values())

    @property
    def used(self) -> float:
        """Full trials used by all sessions."""
        return sum(row.share for row in self._rows.values())

    def visible(self, n: int) -> list[Row]:
        """At most `n` rows: running trials by number, then paused ones, then finished ones, latest first."""
        running, paused = (
            sorted(number for number, row in self._rows.items() if row.state == state) for state in ("RUNNING", "PAUSED")
        )
        return [self._rows[number] for number in [*running, *paused, *reversed(self._finished)][:n]]

    def elapsed_s(self, now_s: float) -> float:
        return now_s - self._started_s

    def eta_s(self, now_s: float) -> float | None:
        """Seconds until the trial budget is used, at this session's pace; None before any progress."""
        planned = self.n_trials - self._used_earlier
        return eta_s(self.elapsed_s(now_s), (self.used - self._used_earlier) / planned) if planned > 0 else 0.0
