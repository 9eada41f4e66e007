"""The values that every stage of a search needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tuner.config.budget import Spending
    from tuner.execution.interruption import Interruption
    from tuner.execution.runner import Runner


@dataclass(frozen=True)
class Context:
    """The run that the stages of a session belong to."""

    run_dir: Path
    """Absolute; its last part is the search's name."""
    seed: int
    runner: Runner
    spending: Spending
    """The search's budget and its use by all stages."""

    @property
    def interruption(self) -> Interruption:
        return self.runner.interruption
