"""The share of a search's budget that is reserved for the confirmation, and the trainings that a budget can pay."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.shape import GangShape
from model.config import TrialConfig
from tuner.config.budget import Budget, Used
from tuner.results.facts import SearchFacts
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer

MOST = 0.5
"""Largest reserved share of a budget: the search needs the rest to have something to confirm."""


def cost(n_trainings: int, training_s: float, slots: int) -> Used:
    """The time of `n_trainings`, `slots` at once."""
    return Used(math.ceil(n_trainings / max(slots, 1)) * training_s, n_trainings * training_s)


def affordable(n_trainings: int, training_s: float, slots: int, left: Used) -> int:
    """The number of trainings that the budget `left` can pay, at most `n_trainings`."""

    def fits(n: int) -> bool:
        needed = cost(n, training_s, slots)
        return needed.wall_s <= left.wall_s and needed.gang_s <= left.gang_s

    return max((n for n in range(n_trainings + 1) if fits(n)), default=0)


@dataclass(eq=False)
class Reserve(Observer):
    """Computes the expected cost of the confirmation: each training as long as the longest complete trial so far.

    It is 0 before the first complete trial, when there is nothing to confirm.
    """

    n_trainings: int
    slots: Callable[[], int]
    budget: Budget
    shape: GangShape
    clock: Callable[[], float] = time.monotonic
    training_s: float = 0.0
    """Seconds that the longest complete trial held its gang, with set-up; 0 before there is one."""
    began: dict[int, float] = field(default_factory=dict)
    """When each running trial started, by `clock`."""

    def search_started(self, plan: SearchFacts) -> None:
        for record in plan.finished:
            self.trial_finished(record)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self.began[number] = self.clock()

    def trial_finished(self, record: TrialRecord) -> None:
        now = self.clock()
        held_s = now - self.began.pop(record.number, now)
        if record.state == "COMPLETE" and record.same_as is None:
            self.training_s = max(self.training_s, record.seconds, held_s)

    def __call__(self) -> Used:
        """The reserved part of the budget."""
        if not self.training_s:
            return Used()
        expected, whole = cost(self.n_trainings, self.training_s, self.slots()), self.budget.left(Used(), self.shape)
        return Used(min(expected.wall_s, MOST * whole.wall_s), min(expected.gang_s, MOST * whole.gang_s))
