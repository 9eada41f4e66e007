"""Checkpoints of unfinished trials, which outlive Tune, the driver and the session.

A trial computes the same from any point of it, so a checkpoint saves time and nothing else: one that is missing, torn or of a
gang of another size costs a trial the time since the one before, or since its beginning.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any

from tuner.artifacts.atomic import link_or_copy
from tuner.artifacts.models import FAILED

NAME = re.compile(r"trial_(\d+)_evaluation_(\d+)_ranks_(\d+)")
"""Folders of other names are torn, and swept away."""


class Checkpoints:
    """`folder` holds the last checkpoint of each trial that has one; each appears there whole or not at all.

    `n_workers` is the number of ranks of a trial: DeepSpeed divides optimiser states among them, and the order of a sum over
    ranks is part of the values, so a checkpoint serves gangs of its own size only.
    """

    def __init__(self, folder: Path, n_workers: int) -> None:
        self._folder = folder
        self._n_workers = n_workers

    def keep(self, number: int, index: int, checkpoint: Any) -> str | None:
        """Keep what Tune has of trial `number` after evaluation `index`, in place of older ones.

        Returns why it cannot be kept, or None; the older one is there still then.
        """
        target = self._folder / f"trial_{number}_evaluation_{index}_ranks_{self._n_workers}"
        if target.is_dir():  # a trial that does its work again comes to the same
            return None
        older = [path for trial, _, path in self._found() if trial == number]
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
        """The checkpoint of the latest evaluation of a trial that this search's gangs can go on from."""
        found = {index: path for trial, index, path in self._found() if trial == number}
        return found[max(found)] if found else None

    def drop(self, number: int) -> None:
        """Delete a trial's checkpoints, of gangs of any size."""
        for path in self._paths():
            parts = NAME.fullmatch(path.name)
            if parts and int(parts[1]) == number:
                shutil.rmtree(path, ignore_errors=True)

    def drop_others(self, wanted: Collection[int]) -> None:
        """Delete the checkpoints of all trials but `wanted`, and what a kill left half written."""
        for path in self._paths():
            parts = NAME.fullmatch(path.name)
            if not parts or int(parts[1]) not in wanted:
                shutil.rmtree(path, ignore_errors=True)

    def _found(self) -> Iterator[tuple[int, int, Path]]:
        """Trial, evaluation and folder of the checkpoints of gangs of this size."""
        for path in self._paths():
            parts = NAME.fullmatch(path.name)
            if parts and int(parts[3]) == self._n_workers:
                yield int(parts[1]), int(parts[2]), path

    def _paths(self) -> list[Path]:
        return sorted(self._folder.iterdir()) if self._folder.is_dir() else []
