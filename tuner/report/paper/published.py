"""Reads the paper's tables and settings from published.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml
from pydantic import TypeAdapter

from model.tasks import TASKS

PUBLISHED: dict[str, Any] = yaml.safe_load((files("tuner.report.paper") / "published.yaml").read_text("utf-8"))


@dataclass(frozen=True)
class Column:
    """One score of a table: a task's main metric on a split."""

    name: str
    task: str
    split: str = "dev"
    dev: str = "dev"
    """The split that is the paper's dev."""

    @property
    def metric(self) -> str:
        """Its name in an evaluation's metrics, such as `dev/sst/accuracy`."""
        return f"{self.split}/{TASKS[self.task].metric}"

    @property
    def chooser(self) -> str:
        """The metric that selects the epoch in the paper's protocol: that of dev, for every split."""
        return f"{self.dev}/{TASKS[self.task].metric}"


@dataclass(frozen=True)
class Training:
    """A row of a table."""

    smart: bool
    scores: Mapping[str, Sequence[float | None]]
    """By mode, in the order of the table's columns."""
    mixture: Sequence[str] | None = None
    """The tasks trained together; None where each column's task is trained alone."""

    @property
    def mixture_name(self) -> str:
        return "+".join(PUBLISHED["task_names"][task] for task in self.mixture) if self.mixture else "each alone"

    @property
    def label(self) -> str:
        """As in the paper: `Baseline`, `SMART`, `SST+Quora SMART`."""
        if self.mixture is None:
            return "SMART" if self.smart else "Baseline"
        return f"{self.mixture_name} SMART" if self.smart else self.mixture_name

    def tasks_with(self, column: Column) -> frozenset[str] | None:
        """The mixture that gives a column's score; None where the training leaves the task out."""
        mixture = frozenset(self.mixture or (column.task,))
        return mixture if column.task in mixture else None


@dataclass(frozen=True)
class Table:
    """A table of the paper."""

    name: str
    title: str
    columns: tuple[Column, ...]
    modes: tuple[str, ...]
    trainings: tuple[Training, ...]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(column.task for column in self.columns))

    def mixtures(self) -> set[frozenset[str]]:
        """Every mixture that gives a score of the table."""
        mixtures = (training.tasks_with(column) for training in self.trainings for column in self.columns)
        return {mixture for mixture in mixtures if mixture is not None}


TABLES = TypeAdapter(tuple[Table, ...]).validate_python(PUBLISHED["tables"])
TRAININGS, CUES = TABLES
