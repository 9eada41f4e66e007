"""Checkpoints of unfinished trials in a store that all nodes reach; the run's folder holds their keys.

A key is written to the run's folder once all files are in the store, and contains their digest (`artifacts.folder`). A
checkpoint is deleted only after its successor is stored; one that cannot be deleted while the store is unreachable is deleted
later.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from model.config import ConfigError
from model.file_contents import read_json
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.checkpoints import Checkpoints, trial_of
from tuner.artifacts.folder import StoredFolder
from tuner.artifacts.store import Store

N_KEPT = 2
"""Checkpoints per running trial: when the last one is missing, the previous one is used."""
FOLDER = "trial_{:05d}"
"""A trial's folder in the store."""


class StoredCheckpoints(Checkpoints):
    """`Checkpoints` for nodes without a shared disk: `folder` holds the keys, `store` the files."""

    def __init__(self, folder: Path, n_workers: int, store: Store) -> None:
        super().__init__(folder, n_workers)
        self._store = store

    def keep(self, number: int, index: int, checkpoint: Any) -> str | None:
        if checkpoint.failed is not None:
            return str(checkpoint.failed)
        older = self._of_trial(number)
        previous = _key_of(older[index]) if index in older else None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / self._name_of(number, index), json.dumps({"key": checkpoint.key}) + "\n")
        except OSError as error:
            return error.strerror or " ".join(str(error).split())
        if previous not in (None, checkpoint.key):  # a repeated evaluation, which took other seconds
            self._store.delete(str(previous))
        for i in sorted({*older, index}, reverse=True)[N_KEPT:]:
            key = _key_of(older[i])
            older[i].unlink(missing_ok=True)
            if key is not None:
                self._store.delete(key)
        return None

    def last(self, number: int) -> PurePosixPath | None:
        """The key of the trial's latest checkpoint that is complete in the store."""
        paths = self._of_trial(number)
        for index in sorted(paths, reverse=True):
            key = _key_of(paths[index])
            if key is not None and StoredFolder(self._store, key).is_there():
                return PurePosixPath(key)
        return None

    def drop(self, number: int) -> None:
        """Delete a trial's files in the store, its model included."""
        for path in self._paths():
            if trial_of(path) == number:
                path.unlink(missing_ok=True)
        self._store.delete(FOLDER.format(number))

    def drop_others(self, wanted: Collection[int]) -> None:
        """Delete the files of all trials but `wanted`, and incomplete checkpoints of `wanted`."""
        for path in self._paths():
            if trial_of(path) not in wanted:
                path.unlink(missing_ok=True)
        if not wanted:
            self._store.delete()
            return
        kept = {_key_of(path) for path in self._paths()}
        for folder in self._store.folders():
            if folder not in {FOLDER.format(number) for number in wanted}:
                self._store.delete(folder)
                continue
            for name in self._store.folders(folder):
                if f"{folder}/{name}" not in kept:
                    self._store.delete(f"{folder}/{name}")


def _key_of(path: Path) -> str | None:
    """The key in a file of the run's folder; None for any other file."""
    try:
        return read_json(path, dict[str, str])["key"]
    except (FileNotFoundError, ConfigError, KeyError):
        return None
