"""What the options say by themselves: numbers, the run's folder, tasks, stores."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

from model.config import ConfigError
from model.tasks import TASKS
from tuner.artifacts import store as stores
from tuner.artifacts.store import Store
from tuner.config.options import FILE_NAME, Options
from tuner.study import probe


def check_numbers(options: Options) -> None:
    """The numbers of the command line, and options that exclude each other."""
    problems = []
    for name in ("trials", "max_trials", "workers_per_trial", "cpus_per_worker", "max_concurrent", "seeds"):
        value = getattr(options, name)
        if value is not None and value < 1:
            problems.append(f"--{name.replace('_', '-')} {value}: give 1 or more")
    if options.finalists is not None and options.finalists < 0:
        problems.append(f"--finalists {options.finalists}: give 1 or more, or 0 for no confirmation")
    price = options.price_per_gpu_hour
    if price is not None and not 0 <= price < math.inf:
        problems.append(f"--price-per-gpu-hour {price:g}: give a price, 0 or more")
    if not options.checkpoint_every >= 0:
        problems.append(f"--checkpoint-every {options.checkpoint_every:g}: give seconds, 0 or more")
    if not 0 < options.collective_timeout < math.inf:
        problems.append(f"--collective-timeout {options.collective_timeout:g}: give seconds, more than 0")
    if not 0 <= options.seed < 2**31:
        problems.append(f"--seed {options.seed}: give a number from 0 to {2**31 - 1}")
    if options.quiet and options.json:
        problems.append("--quiet and --json exclude each other: leave one out")
    if problems:
        raise ConfigError(problems)


def run_dir_of(options: Options) -> Path:
    runs = Path(options.runs_dir).expanduser().absolute()
    if options.resume is not None:
        return runs / options.resume
    name = options.name or f"{Path(options.space).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    if not all(part.isalnum() or part in "._-" for part in name) or name.startswith("."):
        raise ConfigError([f"--name {name}: use letters, digits, dots, dashes and underscores"])
    folder = runs / name
    if folder.exists():
        mend = f"--resume {name} goes on with it" if (folder / FILE_NAME).is_file() else "it is no run"
        raise ConfigError([f"--name {name}: {folder} exists already ({mend}); give another name"])
    return folder


def wanted_tasks(options: Options) -> tuple[str, ...]:
    if options.tasks is None:
        return tuple(TASKS)
    names = tuple(name.strip() for name in options.tasks.split(",") if name.strip())
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names:
        raise ConfigError([f"--tasks {options.tasks}: name one or more of {', '.join(TASKS)}, parted by commas"])
    return names


def probe_storage(options: Options, storage: str) -> None:
    """Whether the storage that was asked for can be used; the run's own is in a folder that is not there yet."""
    if options.storage is not None:
        probe(storage)


def store_of(options: Options) -> Store | None:
    return None if options.storage_path is None else stores.checked(options.storage_path)
