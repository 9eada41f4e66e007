"""The cells of a table: the paper's number and a run's for each training, score and mode, and why a number is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tuner.report.paper.published import Column, Table, Training
from tuner.report.paper.trials import Trial, first_of_each, varying, without_retried
from tuner.results.text import commonest_reason, one_line

NOT_RUN = "not in the run"


@dataclass(frozen=True)
class Estimate:
    """A mean over trials."""

    mean: float
    sd: float | None
    """Standard deviation between the trials, with n − 1; None for a single one."""
    n: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and standard deviation; None without values."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Estimate(float(np.mean(values)), sd, len(values)) if values else None


@dataclass(frozen=True)
class Cell:
    """One score of one training in one mode."""

    training: Training
    column: Column
    mode: str
    paper: float | None
    trials: tuple[Trial, ...]
    """Every trial of this training, in any state."""

    @cached_property
    def measured(self) -> tuple[Trial, ...]:
        """The COMPLETE trials with the score at their last evaluation, each configuration once."""
        complete = (trial for trial in self.trials if trial.state == "COMPLETE")
        return tuple(first_of_each(trial for trial in complete if trial.last(self.column.metric) is not None))

    @cached_property
    def lasts(self) -> tuple[float, ...]:
        """The score at the last evaluation of each measured trial."""
        return tuple(score for trial in self.measured if (score := trial.last(self.column.metric)) is not None)

    @property
    def last(self) -> Estimate | None:
        return estimate(self.lasts)

    @property
    def best(self) -> Estimate | None:
        """By the paper's protocol: each trial at the epoch that is best on dev."""
        scores = [trial.at_best(self.column.metric, self.column.chooser) for trial in self.measured]
        return estimate([score for score in scores if score is not None])

    @property
    def seeds(self) -> list[int]:
        return [trial.seed for trial in self.measured]

    @property
    def mixed(self) -> dict[str, list[str]]:
        """Settings other than the seed in which the measured trials differ, with their values; SMART's only with SMART."""
        return varying(self.measured, ignoring=("seed",) if self.training.smart else ("seed", "smart"))

    @property
    def absences(self) -> list[str]:
        """Why there is no number, or fewer values than trials; empty where nothing is missing."""
        if not self.trials:
            return [NOT_RUN]
        trials = without_retried(self.trials)
        absences = []
        for state, word in (("FAIL", "failed"), ("PRUNED", "pruned")):
            reasons = [trial.reason for trial in trials if trial.state == state]
            if reasons:
                absences.append(f"{len(reasons)} of {len(trials)} {word}: {one_line(commonest_reason(reasons) or '')}")
        n_unscored = sum(trial.state == "COMPLETE" and trial.last(self.column.metric) is None for trial in trials)
        if n_unscored:
            absences.append(f"{n_unscored} of {len(trials)} without {self.column.metric} at the last evaluation")
        return absences


def cells_of(table: Table, trials: Sequence[Trial]) -> list[Cell]:
    """Every cell of a table, by mode, training and column; a training has none for a task that it leaves out."""
    return [
        Cell(training, column, mode, score, tuple(t for t in trials if (t.mixture, t.smart, t.mode) == place))
        for mode in table.modes
        for training in table.trainings
        for score, column in zip(training.scores[mode], table.columns, strict=True)
        if (place := (training.tasks_with(column), training.smart, mode))[0] is not None
    ]
