"""What a search leaves of its budget for the confirmation, and how much of the confirmation a budget can pay."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cluster.shape import GangShape
from model.config import TrialConfig
from tuner.config.budget import Budget, Used
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer

if TYPE_CHECKING:
    from tuner.results.facts import SearchFacts

MOST = 0.5
"""Share of a budget that is reserved at most: below it the search would be too short to have anything to confirm."""


def cost(n_trainings: int, training_s: float, slots: int) -> Used:
    """What so many trainings take, `slots` at a time."""
    return Used(math.ceil(n_trainings / max(slots, 1)) * training_s, n_trainings * training_s)


def affordable(n_trainings: int, training_s: float, slots: int, left: Used) -> int:
    """How many of the trainings `left` can pay."""

    def fits(n: int) -> bool:
        needed = cost(n, training_s, slots)
        return needed.wall_s <= left.wall_s and needed.gang_s <= left.gang_s

    return max((n for n in range(n_trainings + 1) if fits(n)), default=0)


class Reserve(Observer):
    """Hears the trials of a search and says what its confirmation is expected to take: so often the longest complete trial.

    Nothing before the first complete trial: there is nothing to confirm then.
    """

    def __init__(
        self,
        n_trainings: int,
        slots: Callable[[], int],
        budget: Budget,
        shape: GangShape,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._n_trainings = n_trainings
        self._slots = slots
        self._whole = budget.left(Used(), shape)
        self._clock = clock
        self._began: dict[int, float] = {}
        self.training_s = 0.0
        """Seconds that the longest complete trial held its gang, set-up included; 0 before there is one."""

    def search_started(self, plan: SearchFacts) -> None:
        for record in plan.finished:
            self.trial_finished(record)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._began[number] = self._clock()

    def trial_finished(self, record: TrialRecord) -> None:
        now = self._clock()
        held_s = now - self._began.pop(record.number, now)
        if record.state == "COMPLETE" and record.same_as is None:
            self.training_s = max(self.training_s, record.seconds, held_s)

    def __call__(self) -> Used:
        """What is to be left of the budget."""
        if not self.training_s:
            return Used()
        expected = cost(self._n_trainings, self.training_s, self._slots())
        return Used(min(expected.wall_s, MOST * self._whole.wall_s), min(expected.gang_s, MOST * self._whole.gang_s))
