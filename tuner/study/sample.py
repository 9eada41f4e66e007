"""Who stands for all trials of a study where one is judged at equal compute: a sample, bounded, uniform and always the same.

At equal compute each judged trial stands elsewhere, so no statistic can be kept for it: it has to meet the others one by one.
It meets the `LIMIT` of them whose numbers hash lowest (a bottom-k sample, Cohen and Kaplan 2007), whose curves are kept here as
they grow. The hash has nothing to do with how a trial fares, so the sample is uniform; it needs no random state, so it is the
same after a restart and in whatever order trials come; and a study within the limit is judged by all of its trials.
"""

from __future__ import annotations

import heapq
from hashlib import sha256
from typing import Generic

from tuner.study.rungs import Curve, Score, score_within

LIMIT = 600
"""Trials that a judged one meets. The share of all trials that are better is then known within ± 4 points, 95 times in 100."""


class Sample(Generic[Score]):
    """The curves of those of the trials put into it that stand for all of them."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = LIMIT if limit is None else limit
        self._curves: dict[int, tuple[Curve[Score], bool]] = {}
        """By number: the curve, and whether the trial is COMPLETE."""
        self._places: list[tuple[int, int]] = []
        """A heap of (−place, number): the first is the one that would leave next."""

    def __len__(self) -> int:
        return len(self._curves)

    def __contains__(self, number: int) -> bool:
        return number in self._curves

    def put(self, number: int, curve: Curve[Score], *, is_complete: bool) -> None:
        """Take a trial in as it is now, in place of how it was. One that the sample has no room for never comes back."""
        if not curve:
            return
        if number not in self._curves:
            heapq.heappush(self._places, (-place(number), number))
        self._curves[number] = curve, is_complete
        if len(self._curves) > self._limit:
            _, last = heapq.heappop(self._places)
            del self._curves[last]

    def within(self, compute: float, but: int | None = None) -> list[Score]:
        """The last score of each trial within `compute`, of those that have one there (rungs.py), without the trial `but`."""
        found = (
            score_within(curve, compute, is_complete=is_complete)
            for number, (curve, is_complete) in self._curves.items()
            if number != but
        )
        return [score for score in found if score is not None]


def place(number: int) -> int:
    """Where a trial stands in the order by which the sample takes them: a hash of its number."""
    return int.from_bytes(sha256(str(number).encode()).digest()[:8])
