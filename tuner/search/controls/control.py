"""What the control of a task is, and the folder in which what it reached is kept for every later search.

A control is the untuned configuration (`tuner.space.untuned`) with its task alone and SMART off, on the search's seed and
budget. Its key is a hash of all that its result depends on, so a search with other data, backbone or budget trains its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, parse
from model.data.source import DataSummary
from model.tasks import TASKS
from tuner.artifacts.atomic import write_whole
from tuner.results import environment
from tuner.space import Space
from tuner.space.untuned import untuned

FOLDER = ".controls"
"""Beside the runs: no run has a name that begins with a dot."""
VERSION = 1
"""Raised when training comes to compute something else."""
LIBRARIES = ("torch", "transformers", "tokenizers", "deepspeed", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Control:
    """A task to be trained alone."""

    task: str
    config: TrialConfig
    key: str
    """Its name in the cache."""

    @property
    def number(self) -> int:
        """The same in every session; above trials' numbers."""
        return (1 << 40) + int(self.key[:10], 16)


@dataclass(frozen=True)
class Reached:
    """What a control came to."""

    task: str
    metric: str
    value: float
    """The task's main metric on select at the last evaluation."""
    seconds: float
    config: dict[str, Any]
    trained_by: str
    """The search that trained it."""
    evaluations: Sequence[Mapping[str, Any]]
    """As a trial's record has them."""


def configure(space: Space, task: str, seed: int) -> TrialConfig:
    """The control's configuration. Raises `ConfigError` where the space has no untuned default, or none for the task alone."""
    try:
        default = untuned(space, seed).to_dict()
        alone = {"mixture": [task], "watch": [], "smart": {"enabled": False}, "mixing": {}}
        return canonical(parse(default | alone))
    except ConfigError as error:
        raise ConfigError(
            [f"--require no-negative-transfer, control of {task}: {problem}" for problem in error.problems]
        ) from None


def controls(space: Space, tasks: tuple[str, ...], seed: int, summary: DataSummary, n_workers: int) -> tuple[Control, ...]:
    """The controls of a search's tasks; raises `ConfigError` with the problems of all of them."""
    problems: list[str] = []
    found: list[Control] = []
    for task in tasks:
        try:
            config = configure(space, task, seed)
        except ConfigError as error:
            problems += error.problems
            continue
        found.append(Control(task, config, key(config, summary.task_sha256[task], n_workers)))
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def key(config: TrialConfig, data_sha256: str, n_workers: int) -> str:
    """A hash of all that a control's result depends on, but for the machine's arithmetic."""
    versions = environment.versions()
    depends = {
        "version": VERSION,
        "config": config.to_dict(),
        "data": data_sha256,
        "n_workers": n_workers,
        "backbone": weights(Path(config.backbone)),
        "libraries": {name: versions[name] for name in LIBRARIES},
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:24]


def weights(backbone: Path) -> dict[str, str]:
    """A backbone's files by content, where it is a folder: its name does not say what is in it."""
    files = [*sorted(backbone.glob("*.safetensors")), *sorted(backbone.glob("*.json"))] if backbone.is_dir() else []
    return {file.name: _digest(file) for file in files}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Cache:
    """`folder` holds `KEY.json` for every control that was trained to its end; each appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, control: Control) -> Reached | None:
        """What it reached, or None when nobody has trained it, or its file is no more what was written."""
        try:
            found = Reached(**json.loads((self._folder / f"{control.key}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if (found.task, found.metric) == (control.task, TASKS[control.task].metric) else None

    def put(self, control: Control, reached: Reached) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / f"{control.key}.json", json.dumps(asdict(reached), indent=2) + "\n")
