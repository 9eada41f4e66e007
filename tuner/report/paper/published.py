"""What the paper "SMART Multitask MinBERT" reports, as data: its scores on dev and the settings that it names.

Each score is the best of ten epochs, chosen on the dev set that it is reported on, of one seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.tasks import TASKS

TITLE = "SMART Multitask MinBERT"
BACKBONE, BUDGET, N_EVALUATIONS, BATCH_SIZE = "bert-base-uncased", "10 epochs", 10, 8
LR = {"finetune": 1e-5, "pretrain": 1e-3}
"""One learning rate for all weights that train, by mode."""
PAIR_ENCODING = "concat_pooled"
MIXING = "loop_to_max"
SMART = {
    "variant": "paper",
    "epsilon": 1e-5,
    "sigma": 1e-5,
    "eta": 1e-3,
    "steps": 1,
    "lambda": 1.0,
    "lambda_schedule": "constant",
    "mu": 1.0,
    "beta": 0.99,
    "beta_late": 0.999,
    "beta_switch": 0.1,
}
"""The defaults of Jiang et al. 2020, as settings of `model.smart.config.SmartConfig`."""
INVERTED = "dev-inverted"
"""The arm of a cue data set that the paper's dev is: "bad" in positive and "good" in negative reviews."""
DEV_ROWS = {"sst": 1101, "quora": 20214, "sts": 863, "cfimdb": 245}
"""Rows of dev in the data of the course (CS 224N, default final project)."""


@dataclass(frozen=True)
class Column:
    """One score of the table: a task's main metric on a split."""

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
        """The metric that picks the epoch in the paper's protocol: that of dev, for every split."""
        return f"{self.dev}/{TASKS[self.task].metric}"


@dataclass(frozen=True)
class Training:
    """A row of the table."""

    mixture: tuple[str, ...] | None
    """The tasks trained together; None where each column's task is trained alone."""
    smart: bool
    scores: Mapping[str, tuple[float | None, ...]]
    """By mode, in the order of the table's columns."""

    @property
    def mixture_name(self) -> str:
        return "+".join(SHORT[task] for task in self.mixture) if self.mixture else "each alone"

    @property
    def label(self) -> str:
        """As the paper has it: `Baseline`, `SMART`, `SST+Quora SMART`."""
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

    def mixtures(self) -> set[frozenset[str]]:
        """Every mixture that gives a score of the table."""
        found = (training.tasks_with(column) for training in self.trainings for column in self.columns)
        return {mixture for mixture in found if mixture is not None}


SHORT = {"sst": "SST", "quora": "Quora", "sts": "STS", "cfimdb": "CFIMDB"}
_ALL, _SST_QUORA, _QUORA_STS = ("sst", "quora", "sts"), ("sst", "quora"), ("quora", "sts")


def _row(mixture: tuple[str, ...] | None, smart: bool, pretrain: tuple[float | None, ...], *finetune: float | None) -> Training:
    return Training(mixture, smart, {"pretrain": pretrain, "finetune": finetune})


TRAININGS = Table(
    name="trainings",
    title="Single tasks and mixtures, with and without SMART",
    columns=tuple(Column(SHORT[task], task) for task in _ALL),
    modes=("pretrain", "finetune"),
    trainings=(
        _row(None, False, (0.414, 0.702, 0.284), 0.531, 0.790, 0.369),
        _row(None, True, (0.425, 0.702, 0.286), 0.504, 0.797, 0.380),
        _row(_ALL, False, (0.441, 0.699, 0.289), 0.495, 0.789, 0.403),
        _row(_ALL, True, (0.448, 0.703, 0.294), 0.519, 0.796, 0.404),
        _row(_SST_QUORA, False, (0.442, 0.702, None), 0.509, 0.786, None),
        _row(_SST_QUORA, True, (0.443, 0.694, None), 0.526, 0.794, None),
        _row(_QUORA_STS, False, (None, 0.692, 0.285), None, 0.785, 0.403),
        _row(_QUORA_STS, True, (None, 0.694, 0.292), None, 0.797, 0.403),
    ),
)
CUES = Table(
    name="cfimdb",
    title="CFIMDB with a spurious cue, with and without SMART",
    columns=(Column("train", "cfimdb", "train", INVERTED), Column("dev", "cfimdb", INVERTED, INVERTED)),
    modes=("finetune",),
    trainings=(
        Training(None, False, {"finetune": (1.000, 0.946)}),
        Training(None, True, {"finetune": (0.998, 0.967)}),
    ),
)
TABLES = (TRAININGS, CUES)
