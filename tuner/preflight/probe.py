"""A gang that is measured instead of trained, in a placement group like a trial's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.shape import GangShape
from model.config import TrialConfig
from model.out_of_memory import micro_batch, with_smaller_micro_batch
from tuner.gang import Gang, RankOutOfMemoryError
from tuner.preflight.forecast import Measured, Timed

BOUND_S = 60.0
"""How long configurations are measured, after the gang has started; one that was begun is finished."""
MOST_UPDATES = 5
PLACE_S = 60.0
POLL_S = 0.5
T = TypeVar("T")


class CannotFitError(Exception):
    """The largest configuration does not fit the memory with a micro-batch of 1. Its text is the allocator's."""


@dataclass(frozen=True)
class Assignment:
    """What to measure."""

    largest: TrialConfig
    others: tuple[TrialConfig, ...]
    bound_s: float = BOUND_S


class Probe:
    """Supervises the gang, from within its placement group. Holds no tensor."""

    def __init__(self, shape: GangShape, data: list[Any]) -> None:
        self._shape = shape
        self._gang = Gang(shape, data[0])
        self._begins_s: list[float] = []

    def measure(self, assignment: Assignment) -> Measured:
        """Raises `CannotFitError` and `RankError`."""
        began = time.monotonic()
        fitting, _ = self._fitting(assignment.largest, self._gang.heaviest_update)
        end = time.monotonic() + assignment.bound_s
        timed: list[Timed] = []
        for config in assignment.others:
            if timed and time.monotonic() > end:
                break
            timed.append(self._time(config, assignment.bound_s / 20))
        self._gang.kill()
        size, asked = (micro_batch(config, self._shape.n_workers) for config in (fitting, assignment.largest))
        note = f"the largest configuration needs micro-batches of {size} instead of {asked}: such trials begin anew with them"
        return Measured(
            timed=tuple(timed),
            left_out=len(assignment.others) - len(timed),
            start_s=self._begins_s[0],
            note=note if size < asked else None,
            took_s=time.monotonic() - began,
        )

    def _time(self, config: TrialConfig, share_s: float) -> Timed:
        """A configuration's times; with smaller micro-batches where it needs them, as its trial would have them."""
        before = len(self._begins_s)
        fitting, first = self._fitting(config, lambda: self._gang.rehearse(1))
        n_updates = max(2, min(MOST_UPDATES, int(share_s / first.update_s)))
        found = self._gang.rehearse(n_updates)
        begin_s = sum(self._begins_s[before:])
        return Timed(fitting.to_dict(), begin_s, found.update_s, found.example_s, found.health_s)

    def _fitting(self, config: TrialConfig, work: Callable[[], T]) -> tuple[TrialConfig, T]:
        """The configuration with the largest micro-batch, halving by halving, that has memory for `work`; and its result."""
        while True:
            began = time.monotonic()
            try:
                self._gang.begin(config.to_dict())
                self._begins_s.append(time.monotonic() - began)
                return config, work()
            except RankOutOfMemoryError as error:
                smaller = with_smaller_micro_batch(config, self._shape.n_workers)
                if smaller is None:
                    raise CannotFitError(str(error)) from None
                config = smaller


def in_a_gang(shape: GangShape, data: Any, assignment: Assignment, wanted: Callable[[], bool]) -> Measured:
    """Measure in a gang on the cluster. `wanted` is asked now and then whether to go on.

    Raises what `Probe.measure` does, TimeoutError when the cluster has no room for a gang now, and KeyboardInterrupt when
    it is no longer wanted.
    """
    group = placement_group(shape.bundles()[1:], strategy="STRICT_PACK")
    probe = None
    try:
        if not group.wait(PLACE_S):
            raise TimeoutError(f"the cluster had no room for {shape.describe()} within {PLACE_S:g} s")
        strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
        probe = ray.remote(Probe).options(num_cpus=0, scheduling_strategy=strategy).remote(shape, [data])
        call = probe.measure.remote(assignment)
        while not ray.wait([call], timeout=POLL_S)[0]:
            if not wanted():
                raise KeyboardInterrupt
        measured: Measured = ray.get(call)
        return measured
    finally:
        if probe is not None:
            ray.kill(probe)
        remove_placement_group(group)  # and the ranks go with it
