"""What a trial reports upwards at each evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """One look at a trial. Values go up to the study, MLflow and results.json in this form."""

    index: int
    """1 for the first evaluation of the trial, `n_evaluations` for the last: what `steps` compares trials at."""
    n_evaluations: int
    step: int
    """Optimiser updates done."""
    n_steps: int
    """Optimiser updates of the whole trial."""
    examples: int
    """Training examples seen, over all tasks and ranks."""
    metrics: dict[str, float]
    """`task/metric` on the evaluated split, such as `sst/accuracy`."""
    losses: dict[str, float]
    """`task/loss` and `task/smoothness`, means over the updates since the last evaluation."""
    seconds: float
    """Seconds of training and evaluation since the trial began, without set-up."""
    health: dict[str, float] = field(default_factory=dict, compare=False)
    """How well the regulariser works on one batch of each task (`model.training.health.measure`); empty without one, and under
    ZeRO-3. It has the clock's readings in it, so it does not count when two evaluations are compared."""
    system: dict[str, float] = field(default_factory=dict, compare=False)
    """What rank 0 used since the last evaluation (`tuner.execution.rank_usage`); empty outside a search."""
    compute: float = 0.0
    """Training so far in tokens of plain steps: examples × mean tokens of their tasks × the cost of a step in plain ones
    (`model.smart.cost`). 0 in records from before it was counted."""
    evaluation_s: float = field(default=0.0, compare=False)
    """Seconds of this evaluation alone, its health included; the rest of `seconds` is training. 0 in older records."""
    trained_at: float = field(default=0.0, compare=False)
    """When its last update had ended, in seconds since 1970 by rank 0's clock. 0 in older records."""

    @property
    def is_last(self) -> bool:
        return self.index == self.n_evaluations

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """What `to_dict` gave, whatever was added to it since."""
        return cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})


@dataclass(frozen=True)
class Failure:
    """A trial that ended itself: the reason in one line, such as `the loss became NaN at step 120`."""

    reason: str
    step: int
