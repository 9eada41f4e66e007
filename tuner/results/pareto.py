"""Which trials are best: those that meet the requirements come first; under several goals those that no other dominates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from tuner.config.objective import is_minimised
from tuner.results.trial_record import TrialRecord


def upwards(scores: Mapping[str, float]) -> tuple[float, ...]:
    """The goals' values, turned so that more is better."""
    return tuple(-value if is_minimised(goal) else value for goal, value in scores.items())


def dominates(left: Sequence[float], right: Sequence[float]) -> bool:
    """Whether `left` is nowhere worse than `right` and somewhere better; more is better."""
    return all(a >= b for a, b in zip(left, right, strict=True)) and any(a > b for a, b in zip(left, right, strict=True))


def front_of(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The COMPLETE trials that no other COMPLETE one dominates, by number.

    Only those with the least shortfall count: all that meet the requirements, and where none does, the nearest.
    """
    complete = [record for record in records if record.state == "COMPLETE" and record.scores]
    least = min((record.shortfall for record in complete), default=0.0)
    complete = [record for record in complete if record.shortfall == least]
    values = {record.number: upwards(record.scores) for record in complete}
    return [record for record in complete if not any(dominates(other, values[record.number]) for other in values.values())]


class Leaders:
    """The best trial and the front of the trials that were added: `best_of` and `front_of` at a cost that does not grow with
    their number."""

    def __init__(self, records: Iterable[TrialRecord] = ()) -> None:
        self.best: TrialRecord | None = None
        self._front: list[TrialRecord] = []
        for record in records:
            self.add(record)

    @property
    def front(self) -> list[TrialRecord]:
        return sorted(self._front, key=lambda record: record.number)

    def add(self, record: TrialRecord) -> None:
        """Take a trial in, once, in its final state."""
        self.best = best_of([record] if self.best is None else [self.best, record])
        if record.state != "COMPLETE" or not record.scores:
            return
        least = min((other.shortfall for other in self._front), default=math.inf)
        if record.shortfall < least:
            self._front = []
        own, others = upwards(record.scores), [(upwards(other.scores), other) for other in self._front]
        if record.shortfall <= least and not any(dominates(values, own) for values, _ in others):
            self._front = [*(other for values, other in others if not dominates(own, values)), record]


def best_of(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The COMPLETE trial with the highest score; of equals the better in the next goals, then the earlier. None of none.

    Trials that meet the requirements come before all others, which are ordered by their shortfall. Under several goals it is on
    the front: what dominated it would have at least its score and win the tie.
    """
    complete = [record for record in records if record.state == "COMPLETE" and record.score is not None]
    return max(complete, key=merit, default=None)


def merit(record: TrialRecord) -> tuple[float, float, tuple[float, ...], int]:
    """What orders trials that have a score: more is better, and no two are equal."""
    assert record.score is not None
    return -record.shortfall, record.score, upwards(record.scores)[1:], -record.number
