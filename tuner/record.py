"""What is kept of a trial: one entry of `trials` in results.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

INTERRUPTED = "interrupted"
"""Reason of a trial that the end of a session cut short; it does not count, and its parameters are tried again."""

TrialState = Literal["RUNNING", "COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True)
class TrialRecord:
    """A trial as the study's storage has it."""

    number: int
    state: TrialState
    score: float | None
    """Objective at the last evaluation made; absent before the first one and for a failed trial."""
    metrics: Mapping[str, float]
    """`task/metric` at the last evaluation made."""
    evaluations: Sequence[Mapping[str, Any]]
    """Every evaluation by index: the fields of `model.evaluation.Evaluation` and its `score`."""
    config: Mapping[str, Any]
    """What `model.config.parse` reads back."""
    seconds: float
    """Seconds of training and evaluation up to the last evaluation, without waiting and set-up."""
    reason: str | None
    """Why the trial was pruned or failed, in one line."""
    note: str | None = None
    """How it ran differently from what its configuration says, such as `accumulation 4 after out of memory`."""

    @property
    def is_finished(self) -> bool:
        return self.state != "RUNNING"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def best_of(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The COMPLETE trial with the highest score; of equals the earliest. None when no trial is complete."""
    complete = [record for record in records if record.state == "COMPLETE" and record.score is not None]
    return max(complete, key=lambda record: (record.score, -record.number), default=None)
