"""Stores the budget that a search has used in its folder, because budgets are totals over all sessions."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tuner.config import run_folder
from tuner.config.budget import Meter
from tuner.tracking.events import Observer

EVERY_S = 10.0
"""Seconds between two writes: the most that a kill leaves uncounted."""


class BudgetLog(Observer):
    """Writes the meter's readings into the run's state."""

    def __init__(self, folder: Path, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._meter = meter
        self._clock = clock
        self._written_s = clock()

    def tick(self) -> None:
        if self._clock() - self._written_s >= EVERY_S:
            self._write()

    def search_finished(self, results: dict[str, Any]) -> None:
        self._write()

    def _write(self) -> None:
        self._written_s = self._clock()
        used = self._meter.used
        with suppress(OSError):  # a full disk: the next write will do
            run_folder.update_state(self._folder, wall_s=used.wall_s, gang_s=used.gang_s)
