"""Arms of a cue data set: the reviews of select and of dev, once for each cue, as `python -m model.cues build` writes them.

This module has their names and files, and checks that an arm has the same reviews as its split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from model.config import ConfigError, nearest
from model.data import files
from model.data.example import Example, RowProblem
from model.tasks import TASKS, Task

Arm = Literal["clean", "placebo", "aligned", "inverted", "both"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""`clean` has no cue sentence, `placebo` one with a neutral word, `inverted` one with the opposite cue (the paper's dev)."""
ARM_SPLITS: tuple[str, ...] = (*ARMS, *(f"dev-{arm}" for arm in ARMS))
"""The arms as splits: `clean` and so on for select's reviews; `dev-clean` and so on for dev's, used in reports only."""
TASK = TASKS["cfimdb"]
"""The task that has arms."""
HINT = "build a cue data set from reviews without cues, `python -m model.cues build --data DIR --out CUES`, then --data CUES"


def arm_file(task: Task, split: str, arm: str) -> str:
    """The file name of an arm, from the task's dev file: `ids-cfimdb-select-clean.csv`."""
    dev = Path(task.dev_file)
    return f"{dev.stem.removesuffix('dev')}{split}-{arm}{dev.suffix}"


def file_of(arm_split: str) -> str:
    """The file of one of `ARM_SPLITS`."""
    split, arm = ("dev", arm_split.removeprefix("dev-")) if arm_split.startswith("dev-") else ("select", arm_split)
    return arm_file(TASK, split, arm)


def problems(text: str, folder: Path | None, tasks: Sequence[str], arms: Sequence[str]) -> list[str]:
    """Why a source cannot have these arms, judged by its kind and the tasks.

    text: the option `--data` as the user wrote it. folder: the folder of a folder source, None for other sources.
    """
    if not arms:
        return []
    problems = [
        f"there is no arm {arm}{nearest(arm, list(ARM_SPLITS))}; the arms are {', '.join(ARM_SPLITS)}"
        for arm in arms
        if arm not in ARM_SPLITS
    ]
    if folder is None:
        problems.append(f"--data {text} has no arms; {HINT.replace('--data DIR', f'--data {text}')}")
    if TASK.name not in tasks:
        named = f"arms ({', '.join(arms)}) need {TASK.name}, which is not among the tasks ({', '.join(tasks)})"
        problems.append(f"{named}; add it with --tasks")
    return problems


def open_all(folder: Path | None, arms: Sequence[str]) -> dict[str, Iterator[Example | RowProblem]]:
    """The rows of each arm; with arms, folder is not None. Raises `ConfigError` for all files that are missing or unusable."""
    opened: dict[str, Iterator[Example | RowProblem]] = {}
    problems: list[str] = []
    for arm in arms:
        assert folder is not None
        path = folder / file_of(arm)
        if not path.is_file():
            problems.append(f"{path} is missing; {HINT}")
            continue
        try:
            opened[arm] = files.read_rows(path, TASK)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return opened


def difference_problems(folder: Path, reviews: Mapping[str, Counter[tuple[str, float]]]) -> list[str]:
    """A sentence for each arm whose reviews are not those of its split; reviews: ids and labels of select, dev and the arms."""
    problems = []
    for arm in (split for split in reviews if split in ARM_SPLITS):
        split, source = ("dev", TASK.dev_file) if arm.startswith("dev-") else ("select", TASK.train_file)
        difference = _difference(reviews[split] - reviews[arm], reviews[arm] - reviews[split])
        if difference:
            path = folder / file_of(arm)
            problems.append(f"{path} does not hold the {split} reviews of {source}: {difference}; {HINT}")
    return problems


def _difference(missing: Counter[tuple[str, float]], surplus: Counter[tuple[str, float]]) -> str:
    """The number of missing, surplus and relabelled reviews in words, each with its first id; empty without any."""
    lacking, extra = ({example_id for example_id, _ in reviews} for reviews in (missing, surplus))
    kinds = {"with another label": lacking & extra, "missing": lacking - extra, "too many": extra - lacking}
    return ", ".join(f"{len(ids)} {kind} (id {min(ids)})" for kind, ids in kinds.items() if ids)
