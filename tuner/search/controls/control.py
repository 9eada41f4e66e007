"""The control of a task, and the cache of the controls' results for later searches.

A control is the untuned configuration (`tuner.space.untuned`) of one task with SMART off, on the search's seed and budget. Its
key is a hash of everything that its result depends on, so a search with other data, backbone or budget trains its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, parse
from model.data.source import DataSummary
from model.file_contents import read_json
from model.tasks import TASKS
from tuner.artifacts.atomic import write_whole
from tuner.search.cache_key import TRAINING_LIBRARIES, digest, versions_of, weights_of
from tuner.space import Space
from tuner.space.untuned import untuned

FOLDER = ".controls"
"""Beside the runs, whose names never begin with a dot."""
VERSION = 1
"""To be raised when a change of the training code changes results."""


@dataclass(frozen=True)
class Control:
    """The training of one task alone."""

    task: str
    config: TrialConfig
    key: str
    """Name of its file in the cache."""

    @property
    def number(self) -> int:
        """Its number as a training, above all trials' numbers and the same in every session."""
        return (1 << 40) + int(self.key[:10], 16)


@dataclass(frozen=True)
class ControlResult:
    """The result of a control."""

    task: str
    metric: str
    value: float
    """The task's main metric on select at the last evaluation."""
    seconds: float
    config: dict[str, Any]
    trained_by: str
    """The search that trained it."""
    evaluations: Sequence[Mapping[str, Any]]
    """As in a trial's record."""


def configure(space: Space, task: str, seed: int) -> TrialConfig:
    """The control's configuration. Raises `ConfigError` where the space has no untuned default for the task alone."""
    try:
        default = untuned(space, seed).to_dict()
        alone = {"mixture": [task], "watch": [], "smart": {"enabled": False}, "mixing": {}}
        return canonical(parse(default | alone))
    except ConfigError as error:
        raise ConfigError(
            [f"--require no-negative-transfer, control of {task}: {problem}" for problem in error.problems]
        ) from None


def controls(space: Space, tasks: tuple[str, ...], seed: int, summary: DataSummary, n_workers: int) -> tuple[Control, ...]:
    """The control of each task; raises `ConfigError` with the problems of all of them."""
    problems: list[str] = []
    valid: list[Control] = []
    for task in tasks:
        try:
            config = configure(space, task, seed)
        except ConfigError as error:
            problems += error.problems
            continue
        valid.append(Control(task, config, key(config, summary.task_sha256[task], n_workers)))
    if problems:
        raise ConfigError(problems)
    return tuple(valid)


def key(config: TrialConfig, data_sha256: str, n_workers: int) -> str:
    """A hash of everything that a control's result depends on, except the machine's arithmetic."""
    return digest(
        {
            "version": VERSION,
            "config": config.to_dict(),
            "data": data_sha256,
            "n_workers": n_workers,
            "backbone": weights_of(config.backbone),
            "libraries": versions_of(TRAINING_LIBRARIES),
        }
    )


class Cache:
    """A folder with `KEY.json` for every complete control, written atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, control: Control) -> ControlResult | None:
        """The control's result; None where its file is missing or damaged."""
        try:
            result = read_json(self._folder / f"{control.key}.json", ControlResult)
        except (FileNotFoundError, ConfigError):
            return None
        return result if (result.task, result.metric) == (control.task, TASKS[control.task].metric) else None

    def put(self, control: Control, result: ControlResult) -> None:
        """Write a control's result. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / f"{control.key}.json", json.dumps(asdict(result), indent=2) + "\n")
