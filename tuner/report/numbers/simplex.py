"""Who gets the steps: each trial's shares of its tasks in the training examples, as points of a simplex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from model.config import parse
from model.mixing import probability_table
from tuner.report.run import Run, tasks_of

PROGRESS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Mixed:
    """A trial on the simplex."""

    number: int
    score: float
    shares: dict[str, float]
    """Of each of its tasks in the training examples; they sum to 1."""


@dataclass(frozen=True)
class Face:
    """The trials of three tasks, or of fewer of them; of four tasks, as they look without the fourth."""

    corners: tuple[str, ...]
    points: tuple[tuple[Mixed, bool], ...]
    """Each trial, and whether all of its tasks are corners."""


def shares(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, float] | None:
    """Mean share of each task in the examples of training, in expectation; None where a task's size is not known.

    `loop_to_max` takes a batch of every task at each step, so its shares are equal; other strategies draw the task.
    """
    own = {task: sizes[task] for task in config["mixture"] if task in sizes}
    if len(own) < len(config["mixture"]):
        return None
    mixing = parse(config).mixing
    if mixing.strategy == "loop_to_max":
        return dict.fromkeys(own, 1 / len(own))
    mean = probability_table(mixing, own, PROGRESS).mean(axis=0)
    return dict(zip(own, mean.tolist(), strict=True))


def mixed(run: Run) -> list[Mixed]:
    """The COMPLETE trials whose shares are known."""
    sizes = {task: splits["train"] for task, splits in run.rows.items() if splits.get("train")}
    found = [(trial, shares(trial["config"], sizes)) for trial in run.complete]
    return [Mixed(trial["number"], trial["score"], own) for trial, own in found if own is not None]


def faces(run: Run) -> list[Face]:
    """One for each three of the tasks; a single edge where there are only two, and nothing for one task."""
    points = mixed(run)
    tasks = [task for task in tasks_of(run.complete) if any(task in point.shares for point in points)]
    corners: list[tuple[str, ...]] = [*combinations(tasks, 3)] or ([tuple(tasks)] if len(tasks) == 2 else [])
    return [face for face in (_face(chosen, points) for chosen in corners) if face.points]


def _face(corners: tuple[str, ...], points: Sequence[Mixed]) -> Face:
    inside = [(point, set(point.shares) <= set(corners)) for point in points if set(point.shares) & set(corners)]
    return Face(corners, tuple((point, own) for point, own in inside if own or set(corners) < set(point.shares)))


def place(face: Face, point: Mixed) -> dict[str, float]:
    """A point's shares among the corners alone; they sum to 1."""
    own = {task: point.shares.get(task, 0.0) for task in face.corners}
    total = sum(own.values())
    return {task: share / total for task, share in own.items()}
