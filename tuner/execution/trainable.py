"""Tune's trainable: supervises one trial's gang. One `step` is one evaluation."""

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
from model.engine.config import with_smaller_micro_batch
from model.training.evaluation import Evaluation, Failure
from tuner.artifacts.checkpoints import FOLDER
from tuner.artifacts.folder import StoredFolder
from tuner.artifacts.models import FAILED
from tuner.artifacts.retry import StoreUnreachableError
from tuner.artifacts.store import Store
from tuner.execution.gang import Gang, RankError, RankOutOfMemoryError

REPORT, NOTE = "report", "note"
"""Keys of a Tune result: the `Evaluation` or `Failure`, and a note about the trial or None."""


class Stored(tune.Checkpoint):  # type: ignore[misc]
    """Tune's handle of a checkpoint in the store, which Tune itself, made for folders, cannot read: its key, or the error."""

    def __init__(self, stored: StoredFolder | None, failed: str | None = None) -> None:
        self.stored = stored
        self.key = stored.key if stored is not None else ""
        self.failed = failed
        super().__init__(self.key, LocalFileSystem())

    def to_directory(self, path: str | os.PathLike[str] | None = None) -> str:
        """Download the checkpoint to `path`, or write the error there. Raises OSError and `StoreUnreachableError`."""
        assert path is not None
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        if self.stored is None:
            (folder / FAILED).write_text(self.failed or "", encoding="utf-8")
        else:
            self.stored.fetch(folder)
        return str(folder)


class GangTrial(tune.Trainable):  # type: ignore[misc]
    """Trains one trial after another on one gang, in an actor that loads no tensor.

    `config` holds the trial's `number`, its `config` and the `checkpoint` to load: a folder, a key in the `store`, or None.
    With a store, the ranks upload and download checkpoints themselves: Tune can neither wait for an unreachable store nor
    gather the files of several nodes.

    `data` is a one-element list with an object reference, so that Ray does not fetch the object into this actor; `shelf` is
    the actor of `feature_cache`. A checkpoint is due `checkpoint_every_s` seconds after the last one; a shorter trial makes
    none, because saving would cost more than training it again.
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
        """Begin the next trial in the same processes."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._last: Evaluation | None = None
        self._failure: Failure | None = None
        self._note: str | None = None
        self._leaves = False
        self._config = parse(config["config"])
        self._number = config["number"]
        self._saved_at = time.monotonic()
        try:
            self._gang.begin(config["config"])
            checkpoint = config["checkpoint"]
            if checkpoint is not None and self._store is not None:
                self._load(StoredFolder(self._store, checkpoint))
            elif checkpoint is not None and Path(checkpoint).is_dir():
                self._load(checkpoint)
        except RankError as error:
            self._failure = Failure(str(error), step=0)

    def _load(self, checkpoint: str | StoredFolder) -> None:
        """Load a checkpoint; one that cannot be read costs only time, because training from step 0 gives the same result."""
        try:
            self._gang.load(checkpoint)
        except RankError:
            self._gang.begin(self._config.to_dict())

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation. The checkpoint of the last one is the trained model."""
        if self._leaves and self._failure is None:  # the last step was saved
            self._gang.leave()
        report = self._failure or self._advance()
        if isinstance(report, Failure):
            return {REPORT: report, NOTE: self._note}
        self._last = report
        self._leaves = self._gang.must_leave()
        is_due = self._leaves or time.monotonic() - self._saved_at > self._checkpoint_every_s
        return {REPORT: report, NOTE: self._note, SHOULD_CHECKPOINT: report.is_last or is_due}

    def _advance(self) -> Evaluation | Failure:
        """The gang's next report. Out of memory, the trial starts again with smaller micro-batches, down to 1."""
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
        """Called by Tune to save: to the store where there is one, else into Tune's folder."""
        if self._store is None:
            return super().save(checkpoint_dir)
        last, metrics = self._to_save()
        try:
            stored = Stored(self._gang.store(self._store, f"{FOLDER.format(self._number)}/evaluation_{last.index}", metrics))
        except (RankError, OSError, StoreUnreachableError) as error:
            self._failure = Failure(str(error), last.step)
            stored = Stored(None, str(error))
        self._saved_at = time.monotonic()
        return _TrainingResult(checkpoint=stored, metrics=dict(self._last_result or {}))

    def restore(self, checkpoint_path: Any) -> None:
        """Called by Tune after a process died.

        Tune's own method would also load a pickle in the checkpoint's folder; this project writes none, so that it could only
        be an attacker's.
        """
        if self._store is None:
            with checkpoint_path.checkpoint.as_directory() as folder:
                Path(folder, _DICT_CHECKPOINT_FILE_NAME).unlink(missing_ok=True)
            super().restore(checkpoint_path)
        elif checkpoint_path.checkpoint.stored is not None:
            self._load(checkpoint_path.checkpoint.stored)

    def _to_save(self) -> tuple[Evaluation, dict[str, float] | None]:
        """The last evaluation, and its metrics where it was the trial's last, so that the model is saved; else None."""
        assert self._last is not None, "Tune saves only after an evaluation"
        return self._last, self._last.metrics if self._last.is_last else None

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the model after the last evaluation, else a checkpoint.

        A failed write ends the trial with the reason, because training it again would fail again.
        """
        last, metrics = self._to_save()
        try:
            self._gang.save(checkpoint_dir, metrics)
        except RankError as error:
            self._failure = Failure(str(error), last.step)
            with suppress(OSError):  # a full disk; an incomplete model is recognised by its missing files
                Path(checkpoint_dir, FAILED).write_text(str(error), encoding="utf-8")
        self._saved_at = time.monotonic()

    def load_checkpoint(self, checkpoint: str) -> None:
        self._load(checkpoint)

    def cleanup(self) -> None:
        self._gang.kill()
