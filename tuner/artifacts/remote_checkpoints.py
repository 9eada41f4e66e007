"""Checkpoints of unfinished trials in a store that all nodes reach; the run's folder has their names.

A name is written to the run's folder once all of its files are in the store, and says what they must be (`artifacts.folder`).
Nothing is deleted before what takes its place is there, and what cannot be deleted while the store is away is swept away later.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tuner.artifacts.atomic import write_whole
from tuner.artifacts.checkpoints import NAME, Checkpoints
from tuner.artifacts.folder import StoredFolder
from tuner.artifacts.store import Store

N_KEPT = 2
"""Of a running trial: where the last one turns out to be missing, the one before it serves."""
FOLDER = "trial_{:05d}"
"""Of a trial in the store."""


class StoredCheckpoints(Checkpoints):
    """The same as `Checkpoints`, for nodes that share no disk. `folder` holds the names, `store` the files."""

    def __init__(self, folder: Path, n_workers: int, store: Store) -> None:
        super().__init__(folder, n_workers)
        self._store = store

    def keep(self, number: int, index: int, checkpoint: Any) -> str | None:
        if checkpoint.failed is not None:
            return str(checkpoint.failed)
        name = f"trial_{number}_evaluation_{index}_ranks_{self._n_workers}"
        older = {i: path for trial, i, path in self._found() if trial == number}
        before = _key_of(older[index]) if index in older else None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(self._folder / name, json.dumps({"key": checkpoint.key}) + "\n")
        except OSError as error:
            return error.strerror or " ".join(str(error).split())
        if before not in (None, checkpoint.key):  # its work done again, in other seconds
            self._store.delete(str(before))
        for i in sorted({*older, index}, reverse=True)[N_KEPT:]:
            self._forget(older[i])
        return None

    def last(self, number: int) -> PurePosixPath | None:
        """The key of the latest one that is in the store."""
        found = {index: path for trial, index, path in self._found() if trial == number}
        for index in sorted(found, reverse=True):
            key = _key_of(found[index])
            if key is not None and StoredFolder(self._store, key).is_there():
                return PurePosixPath(key)
        return None

    def drop(self, number: int) -> None:
        """Delete all that the store has of a trial, its model included."""
        for path in self._names_of(number):
            path.unlink(missing_ok=True)
        self._store.delete(FOLDER.format(number))

    def drop_others(self, wanted: Collection[int]) -> None:
        """Delete what the store has of all trials but `wanted`, and of those what was never whole."""
        for path in self._paths():
            parts = NAME.fullmatch(path.name)
            if not parts or int(parts[1]) not in wanted:
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

    def _forget(self, path: Path) -> None:
        key = _key_of(path)
        path.unlink(missing_ok=True)
        if key is not None:
            self._store.delete(key)

    def _names_of(self, number: int) -> Iterator[Path]:
        for path in self._paths():
            parts = NAME.fullmatch(path.name)
            if parts and int(parts[1]) == number:
                yield path


def _key_of(path: Path) -> str | None:
    """The key in a file of the run's folder; None where it is no such file."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
