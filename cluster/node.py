"""A node of the cluster, as Ray sees it now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """CPUs and GPUs of a node that is alive: all of them, and those that nobody holds."""

    identifier: str
    """Ray's."""
    address: str
    cpus: float
    gpus: float
    free_cpus: float
    free_gpus: float

    def describe(self) -> str:
        """All it has: `10.0.0.5 has 8 CPU and 1 GPU`."""
        return f"{self.address} has {self.cpus:g} CPU and {self.gpus:g} GPU"

    def describe_free(self) -> str:
        """What is free of it: `10.0.0.5 has 2 of 8 CPU and 0 of 1 GPU`."""
        return f"{self.address} has {self.free_cpus:g} of {self.cpus:g} CPU and {self.free_gpus:g} of {self.gpus:g} GPU"
