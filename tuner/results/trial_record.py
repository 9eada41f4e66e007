"""The record of a trial, from which results.json gets an entry of `trials`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tuner.config.requirements import shortfall

INTERRUPTED = "interrupted"
"""Reason of a trial that the end of its session cut short; a resumed search continues it."""

TrialState = Literal["RUNNING", "PAUSED", "COMPLETE", "PRUNED", "FAIL"]

UNFINISHED = ("RUNNING", "PAUSED")
"""States of trials that continue, in this session or a resumed one."""


@dataclass(frozen=True)
class TrialRecord:
    """A trial as stored in the study."""

    number: int
    state: TrialState
    score: float | None
    """The first goal at the last evaluation made; absent before the first one and for a failed trial."""
    metrics: Mapping[str, float]
    """`task/metric` at the last evaluation made."""
    evaluations: Sequence[Mapping[str, Any]]
    """Every evaluation by index: the fields of `model.training.evaluation.Evaluation` and its `score`."""
    config: Mapping[str, Any]
    """As `model.config.parse` reads it."""
    seconds: float
    """Seconds of training and evaluation up to the last evaluation, without waiting and set-up; 0 for a repeat."""
    reason: str | None
    """Why the trial was pruned, failed, paused or not trained, in one line."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Every goal at the last evaluation made, by name; empty where `score` is absent."""
    same_as: int | None = None
    """For a repeat, which is not trained: the trial with its configuration, whose evaluations these are."""
    note: str | None = None
    """How its training differed from its configuration, such as `accumulation 4 after out of memory`."""
    requirements: Mapping[str, float] = field(default_factory=dict)
    """Excess over each requirement's bound at the last evaluation made, ≤ 0 where it is met; empty where `scores` is."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """The drawn scalars by their names in Optuna, without parameters whose condition did not hold."""

    @property
    def shortfall(self) -> float:
        """The total shortfall from the requirements; 0 where it meets them."""
        return shortfall(self.requirements)

    @property
    def share(self) -> float:
        """The share of its own schedule that the trial was trained for, 0 to 1; 0 for a repeat, which was not trained.

        A trial that ended before its first evaluation counts as one evaluation.
        """
        if self.same_as is not None:
            return 0.0
        done = max(len(self.evaluations), int(self.is_finished))
        planned = self.config.get("budget", {}).get("evaluations")  # missing in a refused configuration
        whole = self.evaluations[-1].get("n_evaluations", planned) if self.evaluations else planned
        return min(done / whole, 1.0) if whole else 0.0

    @property
    def is_finished(self) -> bool:
        return self.state not in UNFINISHED

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
