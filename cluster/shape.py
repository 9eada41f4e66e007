"""What a trial asks of the cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GangShape:
    """The ranks of a trial and what each of them needs."""

    n_workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0.0
    """A fraction lets trials share a GPU."""

    def bundles(self) -> list[dict[str, float]]:
        """Placement-group bundles: an empty one for the supervisor, which only waits, and one for each rank."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        return [{}, *({"CPU": float(self.cpus_per_worker), **gpus} for _ in range(self.n_workers))]

    def slots(self, cpus: float, gpus: float) -> int:
        """Trials that fit at once on a node of this size."""
        fitting = cpus // (self.n_workers * self.cpus_per_worker)
        if self.gpus_per_worker > 0:
            fitting = min(fitting, gpus // (self.n_workers * self.gpus_per_worker))
        return int(fitting)

    def describe(self) -> str:
        """Such as `2 × (1 CPU, 0.5 GPU)`."""
        gpus = f", {self.gpus_per_worker:g} GPU" if self.gpus_per_worker else ""
        return f"{self.n_workers} × ({self.cpus_per_worker} CPU{gpus})"
