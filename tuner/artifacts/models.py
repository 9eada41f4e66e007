"""Keeps the trained models of a run: the best trial's, and those of trials that are about to be reported."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from tuner.artifacts.atomic import link_or_copy
from tuner.artifacts.retry import full_disk

FOLDER = "champion"

FAILED = "failed.txt"
"""A file in place of a model: why it could not be written."""
LAST_WRITTEN = "config.yaml"
"""The last file of a model's folder: without it the folder is incomplete."""


class Models:
    """`folder` holds a folder for each kept model, named by its trial's number and created atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, number: int, checkpoint: Any) -> str | None:
        """Copy a trial's model from its Tune checkpoint. Returns the reason of a failure, or None."""
        partial = self._folder / f".{number}"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            checkpoint.to_directory(str(partial))
            reason = _problem_of(partial)
            if reason is None:
                shutil.rmtree(self.path(number), ignore_errors=True)
                partial.rename(self.path(number))
        except OSError as error:
            why = "the disk is full" if full_disk(error) else error.strerror or error
            reason = f"the trained model cannot be kept: {why}"
        shutil.rmtree(partial, ignore_errors=True)
        return reason

    def path(self, number: int) -> Path:
        return self._folder / str(number)

    def has(self, number: int) -> bool:
        return self.path(number).is_dir()

    def drop_others(self, wanted: Collection[int]) -> None:
        """Delete all models but those of the trials `wanted`."""
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name.isdigit() and int(folder.name) not in wanted:
                shutil.rmtree(folder)

    def hand_over(self, number: int, target: Path) -> None:
        """Replace `target` by a model, as links to its files."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.path(number), target, copy_function=link_or_copy)


def _problem_of(folder: Path) -> str | None:
    """Why a folder is not a complete model, or None."""
    if (folder / FAILED).is_file():
        return (folder / FAILED).read_text(encoding="utf-8")
    return None if (folder / LAST_WRITTEN).is_file() else "the trained model was not written whole: is the disk full?"
