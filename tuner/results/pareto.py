"""Ranks trials: the best one, and the Pareto front under several goals. Trials that meet the requirements come first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from tuner.config.objective import is_minimised
from tuner.results.trial_record import TrialRecord


def upwards(scores: Mapping[str, float]) -> tuple[float, ...]:
    """The goals' values, negated where less is better."""
    return tuple(-value if is_minimised(goal) else value for goal, value in scores.items())


def dominates(left: Sequence[float], right: Sequence[float]) -> bool:
    """Whether `left` is nowhere worse than `right` and somewhere better; more is better."""
    return all(a >= b for a, b in zip(left, right, strict=True)) and any(a > b for a, b in zip(left, right, strict=True))


def front_of(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The non-dominated COMPLETE trials, by number.

    Only those with the least shortfall count: all that meet the requirements, or if none does, the nearest.
    """
    complete = [record for record in records if record.state == "COMPLETE" and record.scores]
    least = min((record.shortfall for record in complete), default=0.0)
    complete = [record for record in complete if record.shortfall == least]
    values = {record.number: upwards(record.scores) for record in complete}
    return [record for record in complete if not any(dominates(other, values[record.number]) for other in values.values())]


class Leaders:
    """`best_of` and `front_of` of the trials added so far, updated at a cost independent of their number."""

    def __init__(self, records: Iterable[TrialRecord] = ()) -> None:
        self.best: TrialRecord | None = None
        self._front: list[TrialRecord] = []
        for record in records:
            self.add(record)

    @property
    def front(self) -> list[TrialRecord]:
        return sorted(self._front, key=lambda record: record.number)

    def add(self, record: TrialRecord) -> None:
        """Add a trial in its final state; each trial only once."""
        self.best = best_of([record] if self.best is None else [self.best, record])
        if record.state != "COMPLETE" or not record.scores:
            return
        least = min((other.shortfall for other in self._front), default=math.inf)
        if record.shortfall < least:
            self._front = []
        scores, others = upwards(record.scores), [(upwards(other.scores), other) for other in self._front]
        if record.shortfall <= least and not any(dominates(values, scores) for values, _ in others):
            self._front = [*(other for values, other in others if not dominates(scores, values)), record]


def best_of(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The COMPLETE trial with the highest score; ties go to the next goals, then to the earlier trial. None of none.

    Trials that meet the requirements come before all others, which are ordered by their shortfall. Under several goals the
    result is on the front: a dominating trial would have at least the same score and win the tie.
    """
    complete = [record for record in records if record.state == "COMPLETE" and record.score is not None]
    return max(complete, key=merit, default=None)


def merit(record: TrialRecord) -> tuple[float, float, tuple[float, ...], int]:
    """Sort key of trials with a score: more is better, and no two are equal."""
    assert record.score is not None
    return -record.shortfall, record.score, upwards(record.scores)[1:], -record.number
