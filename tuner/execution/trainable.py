"""One Tune trial: supervises its gang, holds no tensor. One `step` is one evaluation."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem
from ray import tune
from ray.train._internal.session import _TrainingResult
from ray.tune.result import SHOULD_CHECKPOINT
from ray.tune.trainable.trainable import _DICT_CHECKPOINT_FILE_NAME

from cluster.shape import GangShape
from model.config import parse
from model.engine.out_of_memory import with_smaller_micro_batch
from model.training.evaluation import Evaluation, Failure
from tuner.artifacts.folder import StoredFolder
from tuner.artifacts.models import FAILED
from tuner.artifacts.remote_checkpoints import FOLDER
from tuner.artifacts.retry import StoreAwayError
from tuner.artifacts.store import Store
from tuner.execution.gang import Gang, RankError, RankOutOfMemoryError

REPORT, NOTE = "report", "note"
"""Keys of a result under which the `Evaluation` or `Failure` travels up, and a line on how the trial runs, or None."""


class Stored(tune.Checkpoint):  # type: ignore[misc]
    """What Tune, which knows folders only, has of a checkpoint in the store: its key there, or why there is none."""

    def __init__(self, stored: StoredFolder | None, failed: str | None = None) -> None:
        self.stored = stored
        self.key = stored.key if stored is not None else ""
        self.failed = failed
        super().__init__(self.key, LocalFileSystem())

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """Fetch it, or the reason why there is none. Raises OSError, and `StoreAwayError`."""
        assert path is not None
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        if self.stored is None:
            (folder / FAILED).write_text(self.failed or "", encoding="utf-8")
        else:
            self.stored.fetch(folder)
        return str(folder)


class GangTrial(tune.Trainable):  # type: ignore[misc]
    """Tune's view of a trial. `config` holds `number`, the trial's `config`, and the `checkpoint` to go on from or None: its
    folder, or its key in the `store` where there is one; the rest is the search's own.

    With a store, checkpoints go from the ranks' nodes to it and back, past Tune, which can neither wait for one that is away
    nor gather the files of several nodes.

    `data` is a one-element list with an object reference, so that the supervisor never fetches what it points to; `shelf` is
    the actor of `feature_cache`. An evaluation makes a checkpoint after `checkpoint_every_s` seconds of work: those of a
    short trial would cost more than it.
    """

    def setup(
        self,
        config: dict[str, Any],
        shape: GangShape,
        data: list[Any],
        shelf: Any,
        checkpoint_every_s: float,
        collective_timeout_s: float,
        store: Store | None,
    ) -> None:
        self._store = store
        self._gang = Gang(shape, data[0], shelf, collective_timeout_s)
        self._checkpoint_every_s = checkpoint_every_s
        self._n_workers = shape.n_workers
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial with the same processes."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._last: Evaluation | None = None
        self._failure: Failure | None = None
        self._note: str | None = None
        self._moves = False
        self._config = parse(config["config"])
        self._number = config["number"]
        self._saved_at = time.monotonic()
        try:
            self._gang.begin(config["config"])
            self._go_on(config)
        except RankError as error:
            self._failure = Failure(str(error), step=0)

    def _go_on(self, config: dict[str, Any]) -> None:
        """Load the checkpoint, if there is one. One that cannot be read costs time only: the beginning leads to the same."""
        checkpoint = config["checkpoint"]
        if checkpoint is None or (self._store is None and not Path(checkpoint).is_dir()):
            return
        try:
            if self._store is not None:
                self._gang.load_stored(StoredFolder(self._store, checkpoint))
            else:
                self._gang.load(checkpoint)
        except RankError:
            self._gang.begin(config["config"])

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation. The last result asks for a checkpoint, which is the trained model itself."""
        if self._moves and self._failure is None:  # what it has done is saved
            self._gang.leave()
        reported = self._failure or self._advance()
        if isinstance(reported, Failure):
            return {REPORT: reported, NOTE: self._note}
        self._last = reported
        self._moves = self._gang.must_leave()
        due = self._moves or time.monotonic() - self._saved_at > self._checkpoint_every_s
        return {REPORT: reported, NOTE: self._note, SHOULD_CHECKPOINT: reported.is_last or due}

    def _advance(self) -> Evaluation | Failure:
        """The gang's next report. Out of memory, it begins anew with smaller micro-batches, as long as there are any."""
        while True:
            try:
                return self._gang.advance()
            except RankOutOfMemoryError as error:
                smaller = with_smaller_micro_batch(self._config, self._n_workers)
                if smaller is None:
                    return self._failed(f"out of memory with a micro-batch of 1: {error}")
            except RankError as error:
                return self._failed(str(error))
            self._config = smaller
            self._note = f"accumulation {smaller.optim.accumulation} after out of memory"
            try:
                self._gang.begin(smaller.to_dict())
            except RankError as error:
                return self._failed(str(error))

    def _failed(self, reason: str) -> Failure:
        return Failure(reason, step=self._last.step if self._last else 0)

    def save(self, checkpoint_dir: str | None = None) -> Any:
        """Tune's order to save: to the store where there is one, else into its folder."""
        if self._store is None:
            return super().save(checkpoint_dir)
        return _TrainingResult(checkpoint=self._put(self._store), metrics=dict(self._last_result or {}))

    def restore(self, checkpoint_path: Any) -> None:
        """Tune's order to go on after a process died. One that cannot be had costs time only.

        Tune's own would load a pickle that lies in a checkpoint: here only somebody else can have laid it there.
        """
        if self._store is None:
            with checkpoint_path.checkpoint.as_directory() as folder:
                Path(folder, _DICT_CHECKPOINT_FILE_NAME).unlink(missing_ok=True)
            super().restore(checkpoint_path)
            return
        stored = checkpoint_path.checkpoint.stored
        if stored is None:
            return
        try:
            self._gang.load_stored(stored)
        except RankError:
            self._gang.begin(self._config.to_dict())

    def _put(self, store: Store) -> Stored:
        assert self._last is not None
        prefix = f"{FOLDER.format(self._number)}/evaluation_{self._last.index}"
        try:
            stored = self._gang.store(store, prefix, self._last.metrics if self._last.is_last else None)
        except (RankError, OSError, StoreAwayError) as error:
            self._failure = Failure(str(error), self._last.step)
            return Stored(None, str(error))
        finally:
            self._saved_at = time.monotonic()
        return Stored(stored)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The model for use when training is over; before, all that is needed to go on.

        What cannot be written ends the trial with the reason: trying again would train it again to no avail.
        """
        assert self._last is not None
        try:
            if self._last.is_last:
                self._gang.export(checkpoint_dir, self._last.metrics)
            else:
                self._gang.save(checkpoint_dir)
        except RankError as error:
            self._failure = Failure(str(error), self._last.step)
            with suppress(OSError):  # on a full disk not even this: a model that is not whole is known by what it lacks
                Path(checkpoint_dir, FAILED).write_text(str(error), encoding="utf-8")
        self._saved_at = time.monotonic()

    def load_checkpoint(self, checkpoint: str) -> None:
        try:
            self._gang.load(checkpoint)
        except RankError:  # it cannot be read: the beginning leads to the same
            self._gang.begin(self._config.to_dict())

    def cleanup(self) -> None:
        self._gang.kill()
