"""Measures the processor and memory use of a rank, under MLflow's names of system metrics."""

from __future__ import annotations

import resource
import time


class Usage:
    """Measures the use between two calls of `lap`."""

    def __init__(self) -> None:
        self._at_s, self._busy_s = time.monotonic(), time.process_time()

    def lap(self) -> dict[str, float]:
        """Processor time since the last lap in percent of one core, the process's peak memory so far in MB, and on a GPU the
        peak of its memory since the last lap in MB."""
        now_s, busy_s = time.monotonic(), time.process_time()
        share = (busy_s - self._busy_s) / max(now_s - self._at_s, 1e-9)
        self._at_s, self._busy_s = now_s, busy_s
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        usage = {"system/cpu_utilization_percentage": 100.0 * share, "system/process_memory_megabytes": peak_kib / 1024}
        return usage | _gpu()


def _gpu() -> dict[str, float]:
    import torch

    if not torch.cuda.is_available():
        return {}
    peak = torch.cuda.max_memory_allocated() / 2**20
    torch.cuda.reset_peak_memory_stats()
    return {"system/gpu_0_memory_usage_megabytes": peak}
