"""Gangs that are measured instead of trained, in placement groups like a trial's: one, then as many as will train at once."""

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
from model.engine.out_of_memory import micro_batch, with_smaller_micro_batch
from tuner.execution.gang import Gang, RankOutOfMemoryError, reason_of
from tuner.search.preflight.forecast import Crowd, Measured, Timed

BOUND_S = 60.0
"""How long configurations are measured, after the gang has started; one that was begun is finished."""
MOST_UPDATES = 5
CROWD_LEAST_S = 10.0
"""Gangs beside the first are started for measurements that are bounded by this much, or more: they take as long to start."""
CROWD_SHARE = 0.05
"""Of that bound, what the updates of one of several gangs may take where it is alone."""
MOST_AT_ONCE = 8
"""Gangs that are measured together, at most."""
PLACE_S, PLACE_MORE_S = 60.0, 10.0
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
    at_once: int = 1
    """Trials that will train at once, as far as they are measured."""


class Probe:
    """Supervises a gang, from within its placement group. Holds no tensor."""

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
        self._gang.kill()  # with the memory that the largest had
        size, asked = (micro_batch(config, self._shape.n_workers) for config in (fitting, assignment.largest))
        note = f"the largest configuration needs micro-batches of {size} instead of {asked}: such trials begin anew with them"
        return Measured(
            timed=tuple(timed),
            left_out=len(assignment.others) - len(timed),
            start_s=self._begins_s[0],
            note=note if size < asked else None,
            took_s=time.monotonic() - began,
            crowd=None,
        )

    def begin(self, config: Mapping[str, Any]) -> None:
        """Set a trial up, and make its first update."""
        self._gang.begin(dict(config))
        self._gang.rehearse(1)

    def update_s(self, n_updates: int) -> float:
        """Seconds of an update of the trial that was begun: the median of its next."""
        return self._gang.rehearse(n_updates).update_s

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


@dataclass(frozen=True)
class _Placed:
    probe: Any
    """Ray's handle of a `Probe`."""
    node: str


def in_gangs(shape: GangShape, data: Any, assignment: Assignment, wanted: Callable[[], bool]) -> Measured:
    """Measure in a gang on the cluster, and then in as many as will train at once on its node. `wanted` is asked now and then
    whether to go on.

    Raises what `Probe.measure` does, TimeoutError when the cluster has no room for a gang now, and KeyboardInterrupt when
    it is no longer wanted.
    """

    def answers(calls: Sequence[Any]) -> list[Any]:
        while len(ray.wait(calls, num_returns=len(calls), timeout=POLL_S)[0]) < len(calls):
            if not wanted():
                raise KeyboardInterrupt
        found: list[Any] = ray.get(list(calls))
        return found

    with ExitStack() as held:
        placed = _supervisors(held, shape, data, 1)
        if not placed:
            raise TimeoutError(f"the cluster had no room for {shape.describe()} within {PLACE_S:g} s")
        first = placed[0]
        measured: Measured = answers([first.probe.measure.remote(assignment)])[0]
        most = min(assignment.at_once, shape.slots_of(node for node in connect.nodes() if node.identifier == first.node))
        if most < 2 or shape.placement != PACK or assignment.bound_s < CROWD_LEAST_S:
            return measured
        began = time.monotonic()
        try:
            placed += _supervisors(held, shape, data, most - 1, near=first.node)
            crowd = _crowd([one.probe for one in placed], measured.timed[0], assignment.bound_s, answers)
        except RayError as error:
            reason = f"{most} trials at once were not measured ({reason_of(getattr(error, 'cause', None) or error)})"
            return replace(measured, note="; ".join(filter(None, (measured.note, reason))))
        return replace(measured, crowd=crowd, took_s=measured.took_s + time.monotonic() - began)


def _crowd(probes: Sequence[Any], timed: Timed, bound_s: float, answers: Callable[[Sequence[Any]], list[Any]]) -> Crowd | None:
    """The same updates of the same trial, in the first gang alone, then in the others beside it; None where there are none."""
    if len(probes) < 2:
        return None
    n_updates = max(2, min(MOST_UPDATES, int(CROWD_SHARE * bound_s / timed.update_s)))
    answers([probe.begin.remote(timed.config) for probe in probes])
    (alone_s,) = answers([probes[0].update_s.remote(n_updates)])
    _, *beside_s = answers([probe.update_s.remote(n_updates) for probe in probes])
    return Crowd(len(probes), slowdown(alone_s, beside_s))


def slowdown(alone_s: float, beside_s: Sequence[float]) -> float:
    """How many times as long an update takes beside others, the mean over gangs; 1 where it seems quicker, which is noise."""
    return max(1.0, statistics.fmean(beside_s) / alone_s)


def _supervisors(held: ExitStack, shape: GangShape, data: Any, count: int, near: str | None = None) -> list[_Placed]:
    """As many as there is room for of `count`, in placement groups of their own, on the node `near` if one is named."""
    groups = [placement_group(shape.bundles()[1:], strategy="STRICT_PACK", _soft_target_node_id=near) for _ in range(count)]
    for group in groups:
        held.callback(remove_placement_group, group)  # and the ranks go with it
    end = time.monotonic() + (PLACE_S if near is None else PLACE_MORE_S)
    found = []
    for group in groups:
        if group.wait(max(0.0, end - time.monotonic())):
            strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
            probe = ray.remote(Probe).options(num_cpus=0, scheduling_strategy=strategy).remote(shape, [data])
            held.callback(ray.kill, probe)
            found.append(_Placed(probe, placement_group_table(group)["bundles_to_node_id"][0]))
    return found
