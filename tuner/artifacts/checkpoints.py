"""Checkpoints of unfinished trials, kept beyond Tune, the driver and the session.

A trial's results do not depend on the checkpoint that it resumes from. When one is missing, incomplete or from a gang of
another size, the trial repeats the work since the previous checkpoint, or since its start.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path, PurePath
from typing import Any

from tuner.artifacts.atomic import link_or_copy
from tuner.artifacts.models import FAILED

NAME = re.compile(r"trial_(\d+)_evaluation_(\d+)_ranks_(\d+)")
"""Trial, evaluation and ranks; folders of other names are incomplete and get deleted."""


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
