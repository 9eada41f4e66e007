"""Trials that wait for the cluster: who waits, for what, and what is missing, said once; and again when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from cluster import connect
from cluster.node import Node
from cluster.shape import GangShape
from model.config import ConfigError
from tuner.artifacts.write_queue import tell_stderr

LOOK_S = 2.0
"""Between two looks at the cluster."""
PATIENCE_S = 10.0
"""How long a trial may wait unmentioned: one that has just ended gives its place back within that."""


class Cluster(Protocol):
    """What `cluster.connect` tells of the cluster."""

    def nodes(self) -> list[Node]: ...

    def other_drivers(self) -> list[str]: ...

    def is_placed(self) -> bool: ...


class Waiting:
    """Told now and then which trials wait for their processes and which have them."""

    def __init__(
        self,
        shape: GangShape,
        cluster: Cluster = connect,
        *,
        warn: Callable[[str], None] = tell_stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shape = shape
        self._cluster = cluster
        self._warn = warn
        self._clock = clock
        self._looked_at = 0.0
        self._since: dict[int | None, float] = {}
        """When each was first seen to wait; None stands for a search that cannot even begin a trial."""
        self._told: set[int | None] = set()

    def __deepcopy__(self, memo: dict[int, object]) -> Waiting:
        return self

    def __getstate__(self) -> dict[str, object]:
        """Nothing: Tune pickles its plug-ins into its own snapshot, which nobody reads."""
        return {}

    def is_due(self) -> bool:
        """Whether it is time for another look."""
        return self._clock() - self._looked_at >= LOOK_S

    def look(self, pending: Sequence[int], running: Sequence[int]) -> None:
        """Tell of the trials `pending` that wait for long, and of those told of that are now `running`."""
        now = self._looked_at = self._clock()
        waiting: list[int | None] = list(pending)
        if not pending and not running and self._shape.slots_of(self._cluster.nodes()) < 1:
            waiting = [None]
        for number in sorted(self._told.difference(waiting), key=str):
            self._told.remove(number)
            if number is None:
                self._warn("the search goes on: the cluster has room for a trial again")
            elif number in running:
                self._warn(f"trial {number} has started")
        self._since = {number: self._since.get(number, now) for number in waiting}
        for number, since in self._since.items():
            if number not in self._told and now - since >= PATIENCE_S and (number is None or not self._cluster.is_placed()):
                self._told.add(number)
                self._warn(self._sentence(number, len(running)))

    def _sentence(self, number: int | None, n_running: int) -> str:
        who = "the search" if number is None else f"trial {number}"
        nodes = self._cluster.nodes()
        asked = self._shape.describe()
        if self._shape.slots_of(nodes) < 1:
            there = ", ".join(node.describe() for node in nodes) or "no node"
            return (
                f"{who} waits: a trial asks for {asked}, and what is left of the cluster can never give it: {there}; "
                "it goes on when nodes come back"
            )
        free = ", ".join(node.describe_free() for node in nodes)
        return f"{who} waits: a trial asks for {asked}; free now: {free}; {self._held(nodes, n_running)}"

    def _held(self, nodes: Sequence[Node], n_running: int) -> str:
        """What is not free, by whom."""
        ours = n_running * self._shape.n_workers
        cpus = sum(node.cpus - node.free_cpus for node in nodes) - ours * self._shape.cpus_per_worker
        gpus = sum(node.gpus - node.free_gpus for node in nodes) - ours * self._shape.gpus_per_worker
        held = " and ".join(
            f"{amount:g} {what}" for amount, what in ((round(cpus, 4), "CPU"), (round(gpus, 4), "GPU")) if amount > 0
        )
        others = self._cluster.other_drivers()
        if not held:
            return f"the {n_running} running trial(s) of this search hold the rest"
        return f"others hold {held}" + (f": {', '.join(others)}" if others else "")


def slots(shape: GangShape, most: int | None) -> Callable[[], int]:
    """Counts the trials that fit, at most `most`, anew each time: the cluster may have grown.

    Raises `ConfigError` when not even one fits.
    """
    from cluster import connect

    def count() -> int:
        fitting = shape.slots_of(connect.nodes())
        return fitting if most is None else min(fitting, most)

    if count() < 1:
        there = ", ".join(node.describe() for node in connect.nodes())
        raise ConfigError(
            [
                f"a trial asks for {shape.describe()}, which the cluster can never give: {there}; "
                "lower --workers-per-trial, --cpus-per-worker or --gpus-per-worker"
            ]
        )
    return count
