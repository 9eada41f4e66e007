"""The records that a training yields: evaluations, a failure, and the times of a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a trial, as the study, MLflow and results.json receive it."""

    index: int
    """1 for the first evaluation of the trial, `n_evaluations` for the last. Pruners compare trials at equal indices."""
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
    """How well the regulariser works on one batch of each task (`model.training.health.measure`); empty without R_s and with
    ZeRO-3. Not compared, because it contains measured times."""
    system: dict[str, float] = field(default_factory=dict, compare=False)
    """Resource use of rank 0 since the last evaluation (`tuner.execution.rank`); empty outside a search."""
    compute: float = 0.0
    """Training so far in tokens of plain steps: examples × mean tokens of their task × cost of a step in plain steps
    (`model.smart.config.cost_in_plain_steps`). 0 in older records."""
    evaluation_s: float = field(default=0.0, compare=False)
    """Seconds of this evaluation, health included; the rest of `seconds` is training. 0 in older records."""
    trained_at: float = field(default=0.0, compare=False)
    """End of the last update before it, in seconds since 1970 by rank 0's clock. 0 in older records."""

    @property
    def is_last(self) -> bool:
        return self.index == self.n_evaluations

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Evaluation:
        """An evaluation from the mapping of `to_dict`; unknown keys are ignored."""
        return cls(**{item.name: values[item.name] for item in fields(cls) if item.name in values})


@dataclass(frozen=True)
class Failure:
    """The end of a trial that diverged: the reason in one line, such as `the loss became NaN at step 120`."""

    reason: str
    step: int


@dataclass(frozen=True)
class Rehearsal:
    """The measured times of a trial on one rank, in seconds."""

    update_s: float
    """Median of an update."""
    example_s: float
    """Mean of an evaluated example over the tasks of the mixture."""
    health_s: float
    """Health measurement of an evaluation."""
