"""Measures configurations in gangs like a trial's: in one, then in as many as will train at once on its node."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError
from ray.util.placement_group import placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster import connect
from cluster.shape import PACK, GangShape
from model.config import TrialConfig
from model.engine.config import micro_batch, with_smaller_micro_batch
from tuner.execution.gang import Gang, RankOutOfMemoryError, reason_of
from tuner.search.preflight.forecast import Crowd, Measured, Timed

BOUND_S = 60.0
"""Seconds of measuring after the gang has started; no configuration begins after that."""
MOST_UPDATES = 5
CROWD_LEAST_S = 10.0
"""Smallest bound on the time with which more gangs are started; starting them takes about as long."""
CROWD_SHARE = 0.05
"""Share of the bound that a gang's updates may take in the comparison of one gang with several."""
MOST_AT_ONCE = 8
"""Largest number of gangs that are measured together."""
PLACE_S, PLACE_MORE_S = 60.0, 10.0
POLL_S = 0.5
T = TypeVar("T")


class CannotFitError(Exception):
    """A configuration does not fit the memory with a micro-batch of 1. Its text is the allocator's."""


@dataclass(frozen=True)
class Assignment:
    """The configurations to measure."""

    largest: TrialConfig
    others: tuple[TrialConfig, ...]
    bound_s: float = BOUND_S
    at_once: int = 1
    """Number of gangs to measure at once."""


class Probe:
    """An actor that supervises a gang from within its placement group, as `GangTrial` does."""

    def __init__(self, shape: GangShape, data: list[Any]) -> None:
        self._shape = shape
        self._gang = Gang(shape, data[0])
        self._begins_s: list[float] = []

    def measure(self, assignment: Assignment) -> Measured:
        """Measure configurations in this gang. Raises `CannotFitError` and `RankError`."""
        began = time.monotonic()
        fitting, _ = self._fitting(assignment.largest, self._gang.heaviest_update)
        end = time.monotonic() + assignment.bound_s
        timed: list[Timed] = []
        for config in assignment.others:
            if timed and time.monotonic() > end:
                break
            timed.append(self._time(config, assignment.bound_s / 20))
        self._gang.kill()  # frees the memory of the largest configuration
        size, asked = (micro_batch(config, self._shape.n_workers) for config in (fitting, assignment.largest))
        note = f"the largest configuration needs micro-batches of {size} instead of {asked}: such trials start again with them"
        return Measured(
            timed=tuple(timed),
            left_out=len(assignment.others) - len(timed),
            start_s=self._begins_s[0],
            note=note if size < asked else None,
            took_s=time.monotonic() - began,
            crowd=None,
        )

    def begin(self, config: Mapping[str, Any]) -> None:
        """Set up a trial and run its first update."""
        self._gang.begin(dict(config))
        self._gang.rehearse(1)

    def update_s(self, n_updates: int) -> float:
        """Median seconds of the next `n_updates` updates of the current trial."""
        return self._gang.rehearse(n_updates).update_s

    def _time(self, config: TrialConfig, share_s: float) -> Timed:
        """Time a configuration, with smaller micro-batches where a trial would need them."""
        before = len(self._begins_s)
        fitting, first = self._fitting(config, lambda: self._gang.rehearse(1))
        n_updates = max(2, min(MOST_UPDATES, int(share_s / first.update_s)))
        times = self._gang.rehearse(n_updates)
        begin_s = sum(self._begins_s[before:])
        return Timed(fitting.to_dict(), begin_s, times.update_s, times.example_s, times.health_s)

    def _fitting(self, config: TrialConfig, work: Callable[[], T]) -> tuple[TrialConfig, T]:
        """Halve the micro-batch until `work` fits the memory; returns that configuration and the result of `work`."""
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


def in_gangs(shape: GangShape, data: Any, assignment: Assignment, wanted: Callable[[], bool]) -> Measured:
    """Measure in a gang on the cluster, and then in as many as will train at once on its node.

    Raises what `Probe.measure` raises, TimeoutError when the cluster has no room for a gang, and KeyboardInterrupt as soon as
    `wanted()` is false.
    """

    def answers(calls: Sequence[Any]) -> list[Any]:
        while len(ray.wait(calls, num_returns=len(calls), timeout=POLL_S)[0]) < len(calls):
            if not wanted():
                raise KeyboardInterrupt
        results: list[Any] = ray.get(list(calls))
        return results

    with ExitStack() as held:
        placed = _supervisors(held, shape, data, 1)
        if not placed:
            raise TimeoutError(f"the cluster had no room for {shape.describe()} within {PLACE_S:g} s")
        first, place = placed[0]
        measured: Measured = answers([first.measure.remote(assignment)])[0]
        most = min(assignment.at_once, shape.slots_of(node for node in connect.nodes() if node.identifier == place))
        if most < 2 or shape.placement != PACK or assignment.bound_s < CROWD_LEAST_S:
            return measured
        began = time.monotonic()
        try:
            placed += _supervisors(held, shape, data, most - 1, near=place)
            crowd = _crowd([probe for probe, _ in placed], measured.timed[0], assignment.bound_s, answers)
        except RayError as error:
            reason = f"{most} trials at once were not measured ({reason_of(getattr(error, 'cause', None) or error)})"
            return replace(measured, note="; ".join(filter(None, (measured.note, reason))))
        return replace(measured, crowd=crowd, took_s=measured.took_s + time.monotonic() - began)


def _crowd(probes: Sequence[Any], timed: Timed, bound_s: float, answers: Callable[[Sequence[Any]], list[Any]]) -> Crowd | None:
    """Compare the same updates in the first gang alone and in all gangs at once; None for a single gang."""
    if len(probes) < 2:
        return None
    n_updates = max(2, min(MOST_UPDATES, int(CROWD_SHARE * bound_s / timed.update_s)))
    answers([probe.begin.remote(timed.config) for probe in probes])
    (alone_s,) = answers([probes[0].update_s.remote(n_updates)])
    _, *beside_s = answers([probe.update_s.remote(n_updates) for probe in probes])
    return Crowd(len(probes), slowdown(alone_s, beside_s))


def slowdown(alone_s: float, beside_s: Sequence[float]) -> float:
    """Mean time of an update beside others over that alone; at least 1, because less is noise."""
    return max(1.0, statistics.fmean(beside_s) / alone_s)


def _supervisors(held: ExitStack, shape: GangShape, data: Any, count: int, near: str | None = None) -> list[tuple[Any, str]]:
    """Start up to `count` probes, each in its own placement group, on the node `near` if given, as far as there is room.

    Returns Ray's handle and the node of each.
    """
    groups = [placement_group(shape.bundles()[1:], strategy="STRICT_PACK", _soft_target_node_id=near) for _ in range(count)]
    for group in groups:
        held.callback(remove_placement_group, group)  # which also ends the ranks
    end = time.monotonic() + (PLACE_S if near is None else PLACE_MORE_S)
    placed = []
    for group in groups:
        if group.wait(max(0.0, end - time.monotonic())):
            strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
            probe = ray.remote(Probe).options(num_cpus=0, scheduling_strategy=strategy).remote(shape, [data])
            held.callback(ray.kill, probe)
            placed.append((probe, placement_group_table(group)["bundles_to_node_id"][0]))
    return placed
