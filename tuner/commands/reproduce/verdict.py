"""Compares a repeated training with its record: equal to the last bit, or equal within the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.metrics import interval
from model.tasks import TASKS
from tuner.commands.reproduce.recorded import RecordedTraining
from tuner.config.objective import Objective, metrics_of
from tuner.results.text import number_text
from tuner.results.trial_record import TrialRecord

Z = 1.96
"""Two-sided 95 % of a normal distribution."""


@dataclass(frozen=True)
class Noise:
    """The chance difference between two trainings of one configuration."""

    reach: float
    """95 % of the differences of two scores are at most this."""
    source: str
    """Its origin, as a phrase."""


@dataclass(frozen=True)
class Verdict:
    """The result of the comparison."""

    word: str
    """`equal`, `matches` or `differs`."""
    detail: str

    @property
    def sentence(self) -> str:
        return f"{self.word}: {self.detail}"

    @property
    def matches(self) -> bool:
        return self.word != "differs"


def noise(results: Mapping[str, Any], recorded: RecordedTraining, objective: Objective) -> Noise | None:
    """Estimate it from the confirmation's seeds, else from the number of select examples; None when both are unknown."""
    sd = _over_seeds(results, recorded)
    if sd is not None:
        return Noise(Z * math.sqrt(2) * sd, f"what seeds change (standard deviation {sd:.4f} in the confirmation)")
    names = metrics_of(objective.goals[0], objective.targets) or tuple(TASKS[task].metric for task in recorded.config.mixture)
    errors = [_error(name, recorded.metrics.get(name), results["data"]["rows"]) for name in names]
    known = [error for error in errors if error is not None]
    if not known or len(known) < len(errors):
        return None
    reach = Z * math.sqrt(sum(error**2 for error in known)) / len(known)
    return Noise(reach, "the sampling error of the select split; a confirmation would know the seeds' own")


def _over_seeds(results: Mapping[str, Any], recorded: RecordedTraining) -> float | None:
    """The confirmation's pooled standard deviation over seeds, else that of the finalist with this configuration."""
    confirmation = results.get("confirmation") or {}
    config = recorded.config.to_dict()
    sds = [
        finalist["sd"]
        for finalist in confirmation.get("finalists", [])
        if finalist["config"] | {"seed": config["seed"]} == config and finalist["sd"] is not None
    ]
    pooled: float | None = confirmation.get("pooled_sd")
    return pooled if pooled is not None or not sds else sds[0]


def _error(metric: str, value: float | None, rows: Mapping[str, Mapping[str, int]]) -> float | None:
    """The standard error of a metric over the examples of its split; None where it is not known."""
    *split, task, _ = metric.split("/")
    n = rows.get(task, {}).get(split[0] if split else "select", 0)
    bounds = None if value is None else interval(metric, value, n, approximate=True)
    return None if bounds is None else (bounds[1] - bounds[0]) / (2 * Z)


def is_equal(recorded: RecordedTraining, repeat: TrialRecord) -> bool:
    """Whether all recorded numbers of the training are equal to the last bit."""
    if recorded.score != repeat.score or dict(recorded.metrics) != dict(repeat.metrics):
        return False
    pairs = zip(recorded.evaluations, repeat.evaluations, strict=False)
    return len(recorded.evaluations) in (0, len(repeat.evaluations)) and all(
        one[name] == other[name] for one, other in pairs for name in ("step", "score", "metrics")
    )


def verdict(recorded: RecordedTraining, repeat: TrialRecord, noise: Noise | None) -> Verdict:
    """Compare a repeated training with its record. A PRUNED one was trained up to its last evaluation."""
    if recorded.state == "FAIL" or repeat.state == "FAIL":
        return _of_failures(recorded, repeat)
    if is_equal(recorded, repeat):
        n = len(repeat.evaluations)
        return Verdict("equal", f"{'the evaluation is' if n == 1 else f'all {n} evaluations are'} the same to the last bit")
    if recorded.score is None or repeat.score is None:
        return Verdict("differs", "there is no score to compare")
    difference = repeat.score - recorded.score
    scores = f"the score is {number_text(repeat.score)} instead of {number_text(recorded.score)}, {difference:+.4f}"
    if noise is None:
        return Verdict("differs", f"{scores}, and the record has no estimate of the noise")
    if abs(difference) <= noise.reach:
        return Verdict("matches", f"{scores}, within ±{noise.reach:.4f}: {noise.source}")
    return Verdict("differs", f"{scores}, more than ±{noise.reach:.4f}: {noise.source}")


def _of_failures(recorded: RecordedTraining, repeat: TrialRecord) -> Verdict:
    if recorded.state != repeat.state and repeat.state == "FAIL":
        return Verdict("differs", f"it failed now, and had not: {repeat.reason}")
    if recorded.state != repeat.state:
        return Verdict("differs", f"it had failed ({recorded.reason}), and does not now")
    if recorded.reason == repeat.reason:
        return Verdict("equal", f"it fails again: {repeat.reason}")
    return Verdict("matches", f"it fails again: {repeat.reason} (then: {recorded.reason})")
