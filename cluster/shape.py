"""What a trial asks of the cluster, and how many trials fit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from cluster.node import Node

PACK, SPREAD = "pack", "spread"
PLACEMENTS = {PACK: "STRICT_PACK", SPREAD: "SPREAD"}
"""Where the ranks of a trial may lie, as the command line and as Ray call it."""
ROUNDING = 1e-6
"""Shares of a GPU are counted by Ray to a ten-thousandth, and 1 / 0.1 is not quite 10."""


@dataclass(frozen=True)
class GangShape:
    """The ranks of a trial and what each of them needs."""

    n_workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    """A fraction lets trials share a GPU."""
    placement: str = PACK
    """`pack`: all ranks on one node. `spread`: on different nodes, as far as there are such."""

    def bundles(self) -> list[dict[str, float]]:
        """Placement-group bundles: an empty one for the supervisor, which only waits, and one for each rank."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        return [{}, *({"CPU": float(self.cpus_per_worker), **gpus} for _ in range(self.n_workers))]

    @property
    def strategy(self) -> str:
        """Ray's name of the placement."""
        return PLACEMENTS[self.placement]

    def slots(self, sizes: Iterable[tuple[float, float]]) -> int:
        """Trials that fit at once on nodes of these CPUs and GPUs."""
        ranks = [self._ranks(cpus, gpus) for cpus, gpus in sizes]
        if self.placement == SPREAD:
            return sum(ranks) // self.n_workers
        return sum(fitting // self.n_workers for fitting in ranks)

    def slots_of(self, nodes: Iterable[Node]) -> int:
        """Trials that fit at once on these nodes, if nobody else used them."""
        return self.slots((node.cpus, node.gpus) for node in nodes)

    def has_room_on(self, node: Node) -> bool:
        """Whether a rank fits on a node that nobody else uses."""
        return self._ranks(node.cpus, node.gpus) > 0

    def _ranks(self, cpus: float, gpus: float) -> int:
        """Ranks that fit on a node. A share of a GPU is of one GPU: 0.4 fits twice on each, not five times on two."""
        fitting = math.floor(cpus / self.cpus_per_worker + ROUNDING)
        if self.gpus_per_worker <= 0:
            return fitting
        if self.gpus_per_worker >= 1:
            return min(fitting, math.floor(gpus / self.gpus_per_worker + ROUNDING))
        whole = math.floor(gpus + ROUNDING)
        shares = (1.0, gpus - whole)
        on_each, on_rest = (math.floor(share / self.gpus_per_worker + ROUNDING) for share in shares)
        return min(fitting, whole * on_each + on_rest)

    def describe(self) -> str:
        """Such as `2 × (1 CPU, 0.5 GPU) on one node`."""
        gpus = f", {self.gpus_per_worker:g} GPU" if self.gpus_per_worker else ""
        where = " on one node" if self.placement == PACK else ""
        return f"{self.n_workers} × ({self.cpus_per_worker} CPU{gpus}){where}"
