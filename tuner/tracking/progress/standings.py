"""Where the trials of a search stand: the state behind every view of it, without any drawing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from model.training.evaluation import Evaluation
from tuner.results.facts import SearchFacts
from tuner.results.pareto import best_of
from tuner.results.trial_record import TrialRecord


@dataclass
class Row:
    """One trial as it is shown."""

    number: int
    state: str = "RUNNING"
    index: int = 0
    """The last evaluation; 0 before the first."""
    n_evaluations: int = 0
    step: int = 0
    n_steps: int = 0
    score: float | None = None
    """Score of the last evaluation."""
    best_score: float | None = None
    """Best score that this trial had so far."""
    seconds: float = 0.0
    """Seconds of training and evaluation up to the last evaluation."""
    reason: str | None = None
    is_repeat: bool = False
    """Told from another trial's record: it is shown, and does not count."""
    share: float = 0.0
    """The share of its schedule that the trial was trained for, 0 to 1."""

    @property
    def remaining_s(self) -> float | None:
        """Seconds that a running trial still needs at its own pace; None before its first evaluation."""
        return eta_s(self.seconds, self.step / self.n_steps if self.n_steps else 0.0)


def eta_s(elapsed_s: float, share: float) -> float | None:
    """Seconds that remain when `share` (0 to 1) of the work took `elapsed_s`; None while nothing is done."""
    if share <= 0.0:
        return None
    return elapsed_s * (1.0 - min(share, 1.0)) / share


class Standings:
    """Follows the events of a search and counts what its trials have used, in full trials, as `--trials` does."""

    def __init__(self) -> None:
        self.n_trials = 0
        self.best: TrialRecord | None = None
        """The complete trial of the highest score; of equals the earliest."""
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
        row.index, row.n_evaluations = evaluation.index, evaluation.n_evaluations
        row.step, row.n_steps, row.seconds = evaluation.step, evaluation.n_steps, evaluation.seconds
        row.share = evaluation.index / evaluation.n_evaluations
        row.score = score
        row.best_score = score if row.best_score is None else max(row.best_score, score)

    def trial_paused(self, record: TrialRecord) -> None:
        row = self._rows.setdefault(record.number, Row(record.number))
        row.state, row.score, row.reason, row.seconds = record.state, record.score, record.reason, record.seconds
        row.share = record.share
        if record.evaluations:  # of an earlier session, perhaps
            last = record.evaluations[-1]
            row.index, row.n_evaluations, row.step, row.n_steps = (
                last[name] for name in ("index", "n_evaluations", "step", "n_steps")
            )

    def trial_finished(self, record: TrialRecord) -> None:
        row = self._rows.setdefault(record.number, Row(record.number))
        row.state, row.score, row.reason, row.seconds = record.state, record.score, record.reason, record.seconds
        row.is_repeat = record.same_as is not None
        row.share = record.share
        self._finished.append(record.number)
        self.best = best_of([record] if self.best is None else [self.best, record])

    def counts(self) -> Counter[str]:
        """Trials by state, without repeats."""
        return Counter(row.state for row in self._rows.values() if not row.is_repeat)

    @property
    def n_repeats(self) -> int:
        return sum(row.is_repeat for row in self._rows.values())

    @property
    def used(self) -> float:
        """Full trials that the trials of all sessions have used."""
        return sum(row.share for row in self._rows.values())

    def visible(self, n: int) -> list[Row]:
        """At most `n` rows: running trials by number, then paused ones, then finished ones, the last first."""
        running, paused = (
            sorted(number for number, row in self._rows.items() if row.state == state) for state in ("RUNNING", "PAUSED")
        )
        return [self._rows[number] for number in [*running, *paused, *reversed(self._finished)][:n]]

    def elapsed_s(self, now_s: float) -> float:
        return now_s - self._started_s

    def eta_s(self, now_s: float) -> float | None:
        """Seconds until the budget of trials is used, at the pace of this session; None while nothing is done."""
        planned = self.n_trials - self._used_earlier
        return eta_s(self.elapsed_s(now_s), (self.used - self._used_earlier) / planned) if planned > 0 else 0.0
