"""Runs trainings through Ray Tune: the one place where trials, models, checkpoints, the bridge and Tune are wired.

The stages controls, trials and confirmation use it, and the command `reproduce`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.shape import GangShape
from tuner.artifacts.checkpoints import Checkpoints, StoredCheckpoints
from tuner.artifacts.models import Models
from tuner.artifacts.store import Store
from tuner.config.budget import Spending
from tuner.execution import tune
from tuner.execution.bridge import Bridge, Trials, drop_beaten
from tuner.execution.interruption import Interruption
from tuner.study import Suggestion
from tuner.tracking.events import Observer


@dataclass(frozen=True)
class RunResult:
    """The result of a run of trainings."""

    models: Models
    checkpoints: Checkpoints
    stopped_by: str | None
    """The budget or target that ended it early, in words; None where none did."""
    tune_states: dict[int, str]
    """Tune's final status of each training, by number."""


@dataclass(frozen=True)
class Runner:
    """How trainings run on the connected Ray."""

    shape: GangShape
    slots: Callable[[], int]
    """Trainings that run at once; the number changes as nodes come and go."""
    interruption: Interruption
    data: Any
    """A reference to the tokenised data in the object store."""
    checkpoint_every_s: float
    collective_timeout_s: float
    store: Store | None = None
    """Where checkpoints and models go; None for the run's folder."""

    def within(self, folder: str) -> Runner:
        """A copy that uses the subfolder `folder` of the store."""
        return replace(self, store=self.store and self.store.within(folder))

    def run(
        self,
        trials: Trials,
        folder: Path,
        observer: Observer,
        spending: Spending | None = None,
        unfinished: Sequence[Suggestion] = (),
        resumable: Collection[int] = (),
    ) -> RunResult:
        """Run `trials` until there are no more, a budget ends them or the user interrupts.

        `folder` keeps their models and checkpoints. `unfinished` are trainings of an earlier session, which come first.
        Checkpoints of trainings that are not `resumable` are deleted before the first one starts.
        """
        models, checkpoints = Models(folder / "models"), self._checkpoints(folder / "checkpoints")
        checkpoints.drop_others(resumable)
        bridge = Bridge(trials, observer, models, checkpoints, self.slots, self.interruption, unfinished, spending)
        states = tune.run(
            bridge,
            self.shape,
            self.data,
            folder / "tune",
            self.store,
            checkpoint_every_s=self.checkpoint_every_s,
            collective_timeout_s=self.collective_timeout_s,
        )
        drop_beaten(models, trials)
        return RunResult(models, checkpoints, bridge.stopped_by, states)

    def _checkpoints(self, folder: Path) -> Checkpoints:
        if self.store is None:
            return Checkpoints(folder, self.shape.n_workers)
        return StoredCheckpoints(folder, self.shape.n_workers, self.store.waiting_quietly())
