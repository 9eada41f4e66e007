"""Arms: the same reviews once for each cue, which `python -m model.cues build` writes of select and of dev.

Here are their names and files, and the check that they hold the reviews of the split beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from model.config import ConfigError, nearest
from model.data import files
from model.data.example import Example, RowProblem
from model.tasks import TASKS, Task

Arm = Literal["clean", "placebo", "aligned", "inverted", "both"]
ARMS: tuple[Arm, ...] = get_args(Arm)
"""`clean` has no cue sentence, `placebo` has a neutral word in it, `inverted` the cue of the other label (the paper's dev)."""
ARM_SPLITS: tuple[str, ...] = (*ARMS, *(f"dev-{arm}" for arm in ARMS))
"""The splits that arms are: `clean` and so on of select's reviews, `dev-clean` and so on of dev's, for reporting alone."""
TASK = TASKS["cfimdb"]
"""The task that has arms."""
MEND = "build a cue data set from reviews without cues, `python -m model.cues build --data DIR --out CUES`, then --data CUES"


def arm_file(task: Task, split: str, arm: str) -> str:
    """The name of an arm's file: the task's dev file with the split for `dev`, then the arm: `ids-cfimdb-select-clean.csv`."""
    dev = Path(task.dev_file)
    return f"{dev.stem.removesuffix('dev')}{split}-{arm}{dev.suffix}"


def file_of(arm_split: str) -> str:
    """The file of one of `ARM_SPLITS`."""
    split, arm = ("dev", arm_split.removeprefix("dev-")) if arm_split.startswith("dev-") else ("select", arm_split)
    return arm_file(TASK, split, arm)


def problems(text: str, folder: Path | None, tasks: Sequence[str], arms: Sequence[str]) -> list[str]:
    """Why these arms cannot be had of a source, as far as its kind and the tasks tell.

    text: the option `--data` as the user wrote it. folder: that of a folder source, None for the others.
    """
    if not arms:
        return []
    found = [
        f"there is no arm {arm}{nearest(arm, list(ARM_SPLITS))}; the arms are {', '.join(ARM_SPLITS)}"
        for arm in arms
        if arm not in ARM_SPLITS
    ]
    if folder is None:
        found.append(f"--data {text} has no arms; {MEND.replace('--data DIR', f'--data {text}')}")
    if TASK.name not in tasks:
        given = ", ".join(tasks)
        found.append(
            f"arms ({', '.join(arms)}) are of {TASK.name}, which is not among the tasks ({given}); add it with --tasks"
        )
    return found


def open_all(folder: Path | None, arms: Sequence[str]) -> dict[str, Iterator[Example | RowProblem]]:
    """The rows of each arm; the folder is there when there are arms. Raises `ConfigError` with every file that is of no use."""
    opened: dict[str, Iterator[Example | RowProblem]] = {}
    found: list[str] = []
    for arm in arms:
        assert folder is not None
        path = folder / file_of(arm)
        if not path.is_file():
            found.append(f"{path} is missing; {MEND}")
            continue
        try:
            opened[arm] = files.read_rows(path, TASK)
        except ConfigError as error:
            found += error.problems
    if found:
        raise ConfigError(found)
    return opened


@dataclass
class Members:
    """Ids and labels of the reviews in select, dev and the arms, to tell whether they are the same."""

    splits: dict[str, Counter[tuple[str, float]]]
    arms: dict[str, Counter[tuple[str, float]]]

    @classmethod
    def of(cls, arms: Sequence[str]) -> Members:
        return cls({"select": Counter(), "dev": Counter()}, {arm: Counter() for arm in arms})

    def add(self, task: str, split: str, example: Example) -> None:
        """Note an example; those of other tasks and splits are let pass."""
        reviews = self.splits.get(split, self.arms.get(split))
        if reviews is not None and task == TASK.name:
            reviews[example.id, example.label] += 1

    def problems(self, folder: Path | None) -> list[str]:
        """A sentence for each arm in the folder that would measure other reviews than those of its split."""
        found = []
        for arm, reviews in self.arms.items():
            split, source = ("dev", TASK.dev_file) if arm.startswith("dev-") else ("select", TASK.train_file)
            ours = self.splits[split]
            what = _difference(ours - reviews, reviews - ours)
            if what and folder is not None:
                found.append(f"{folder / file_of(arm)} does not hold the {split} reviews of {source}: {what}; {MEND}")
        return found


def _difference(missing: Counter[tuple[str, float]], foreign: Counter[tuple[str, float]]) -> str:
    """What an arm lacks and has too many of, in words, each kind with its first id; empty where there is nothing."""
    lacking, strange = ({example_id for example_id, _ in reviews} for reviews in (missing, foreign))
    kinds = {
        "with another label": lacking & strange,
        "missing": lacking - strange,
        "too many": strange - lacking,
    }
    return ", ".join(f"{len(ids)} {what} (id {min(ids)})" for what, ids in kinds.items() if ids)
