"""Which trials are best: those that meet the requirements come first; under several goals those that no other dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tuner.objective import is_minimised
from tuner.record import TrialRecord


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


def best_of(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """The COMPLETE trial with the highest score; of equals the better in the next goals, then the earlier. None of none.

    Trials that meet the requirements come before all others, which are ordered by their shortfall. Under several goals it is on
    the front: what dominated it would have at least its score and win the tie.
    """
    complete = [record for record in records if record.state == "COMPLETE" and record.score is not None]
    return max(
        complete,
        key=lambda record: (-record.shortfall, record.score, upwards(record.scores)[1:], -record.number),
        default=None,
    )
