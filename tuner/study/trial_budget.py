"""Counts what trials have used of `--trials`, in full trials: a trial that ends after 3 of its 10 evaluations has used 0.3.

So what pruning saves is spent on more trials. Without pruning and failures, a budget of N is exactly N trials.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tuner.results.trial_record import TrialRecord

PRIOR = 4
"""Full trials with which the expected share of a trial is averaged, so that the first early ends do not determine it alone."""


@dataclass
class TrialBudget:
    """The budget of one study. Repeats are not counted: they were not trained."""

    total: int
    """Full trials, as in `--trials`."""
    max_trials: int | None
    """Trials at most, however early they end."""
    n_evaluations: int
    """Evaluations of a full trial."""
    shares: dict[int, float] = field(default_factory=dict)
    """By trial: the share of its schedule that it was trained for, 0 to 1."""
    running: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, records: Iterable[TrialRecord], total: int, max_trials: int | None, n_evaluations: int) -> TrialBudget:
        """The budget after these trials of a study, repeats included."""
        budget = cls(total, max_trials, n_evaluations)
        for record in records:
            if record.same_as is None:
                budget.shares[record.number] = record.share if record.evaluations else record.is_finished / n_evaluations
                if record.state == "FAIL":
                    budget.failed.add(record.number)
            if record.state == "RUNNING":
                budget.running.add(record.number)
        return budget

    @property
    def used(self) -> float:
        return sum(self.shares.values())

    @property
    def is_spent(self) -> bool:
        """Whether no trial may begin or go on from a pause, however the running ones end."""
        return round(self.used, 6) >= self.total

    @property
    def has_room(self) -> bool:
        """Whether a trial may begin, or go on from a pause, beside those that run, if each uses the share of an average one."""
        ended = [share for number, share in self.shares.items() if number not in self.running]
        expected = (PRIOR + sum(ended)) / (PRIOR + len(ended))
        outstanding = sum(max(expected - self.shares[number], 0.0) for number in self.running)
        return round(self.used + outstanding, 6) < self.total

    @property
    def is_full(self) -> bool:
        """Whether there are as many trials as there may be."""
        return self.max_trials is not None and len(self.shares) >= self.max_trials

    @property
    def is_failing(self) -> bool:
        """Whether as many trials have failed as `total`: early failures use little, so the budget alone would not end them."""
        return len(self.failed) >= self.total

    def begin(self, number: int) -> None:
        """Count a trial as running, whether it is new or was paused."""
        self.shares.setdefault(number, 0.0)
        self.running.add(number)

    def reported(self, number: int, index: int) -> None:
        """Count a trial up to its evaluation `index`."""
        self.shares[number] = index / self.n_evaluations

    def end(self, number: int, *, failed: bool = False) -> None:
        """Count a trial as no longer running. It counts for one evaluation at least."""
        if failed:
            self.failed.add(number)
        self.shares[number] = max(self.shares.get(number, 0.0), 1 / self.n_evaluations)
        self.running.discard(number)

    def drop(self, number: int) -> None:
        """Do not count a trial, which is a repeat."""
        self.shares.pop(number, None)
        self.running.discard(number)
