"""Checkpoints of unfinished trials, kept beyond Tune, the driver and the session.

A trial's results do not depend on the checkpoint that it resumes from. When one is missing, incomplete or from a gang of
another size, the trial repeats the work since the previous checkpoint, or since its start.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from model.config import ConfigError
from model.data.file_contents import read_json
from tuner.artifacts.atomic import link_or_copy, write_whole
from tuner.artifacts.folder import StoredFolder
from tuner.artifacts.models import FAILED
from tuner.artifacts.store import Store

NAME = re.compile(r"trial_(\d+)_evaluation_(\d+)_ranks_(\d+)")
"""Trial, evaluation and ranks; folders of other names are incomplete and get deleted."""
N_KEPT = 2
"""Stored checkpoints per running trial: when the last one is missing, the previous one is used."""
FOLDER = "trial_{:05d}"
"""A trial's folder in the store."""


class Checkpoints:
    """`folder` holds the last checkpoint of each trial, created atomically.

    `n_workers` is the number of ranks of a trial. A checkpoint serves gangs of its own size only: DeepSpeed divides optimiser
    states among ranks, and the order of a sum over ranks changes the values.
    """

    def __init__(self, folder: Path, n_workers: int) -> None:
        self._folder = folder
        self._n_workers = n_workers

    def keep(self, number: int, index: int, checkpoint: Any) -> str | None:
        """Copy Tune's checkpoint of trial `number` after evaluation `index`, and delete the older ones.

        Returns the reason of a failure, after which the older one is still there, or None.
        """
        target = self._folder / self._name_of(number, index)
        if target.is_dir():  # a repeated evaluation yields the same checkpoint
            return None
        older = self._of_trial(number).values()
        partial = self._folder / f".{target.name}"
        try:
            with checkpoint.as_directory() as source:
                if Path(source, FAILED).is_file():
                    return Path(source, FAILED).read_text(encoding="utf-8")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(source, partial, copy_function=link_or_copy)
            partial.rename(target)
        except OSError as error:
            shutil.rmtree(partial, ignore_errors=True)
            return error.strerror or " ".join(str(error).split())
        for path in older:
            shutil.rmtree(path, ignore_errors=True)
        return None

    def last(self, number: int) -> PurePath | None:
        """The latest checkpoint of a trial that this search's gangs can resume from."""
        paths = self._of_trial(number)
        return paths[max(paths)] if paths else None

    def drop(self, number: int) -> None:
        """Delete a trial's checkpoints, of gangs of any size."""
        for path in self._paths():
            if trial_of(path) == number:
                shutil.rmtree(path, ignore_errors=True)

    def drop_others(self, wanted: Collection[int]) -> None:
        """Delete the checkpoints of all trials but `wanted`, and incomplete ones."""
        for path in self._paths():
            if trial_of(path) not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    def _name_of(self, number: int, index: int) -> str:
        return f"trial_{number}_evaluation_{index}_ranks_{self._n_workers}"

    def _of_trial(self, number: int) -> dict[int, Path]:
        """A trial's checkpoints for gangs of this size, by evaluation."""
        matches = {path: NAME.fullmatch(path.name) for path in self._paths()}
        wanted = (str(number), str(self._n_workers))
        return {int(match[2]): path for path, match in matches.items() if match and (match[1], match[3]) == wanted}

    def _paths(self) -> list[Path]:
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []


def trial_of(path: Path) -> int | None:
    """The trial of a checkpoint; None for an incomplete one."""
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else None


class StoredCheckpoints(Checkpoints):
    """`Checkpoints` for nodes without a shared disk: `folder` holds the keys, `store` the files.

    A key is written to the run's folder once all files are in the store, and contains their digest (`artifacts.folder`). A
    checkpoint is deleted only after its successor is stored; one that cannot be deleted while the store is unreachable is
    deleted later.
    """

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
