"""Whether a training came to what its record says: to the last bit, or within what chance leaves open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model.metrics import interval
from tuner.commands.reproduce.recorded import Recorded
from tuner.config.objective import Objective, metrics_of
from tuner.results.text import number_text
from tuner.results.trial_record import TrialRecord

Z = 1.96
"""Two-sided 95 % of a normal distribution."""


@dataclass(frozen=True)
class Noise:
    """By how much two trainings of one configuration may differ by chance."""

    reach: float
    """The largest difference of their scores that 95 of 100 pairs stay within."""
    source: str
    """Where that is from, in words."""


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    word: str
    """`equal`, `matches` or `differs`."""
    sentence: str

    @property
    def matches(self) -> bool:
        return self.word != "differs"


def noise(found: Mapping[str, Any], recorded: Recorded, objective: Objective) -> Noise | None:
    """From the confirmation's seeds, else from the number of select examples; None where neither says anything."""
    sd = _over_seeds(found, recorded)
    if sd is not None:
        return Noise(Z * math.sqrt(2) * sd, f"what seeds change (standard deviation {sd:.4f} in the confirmation)")
    names = metrics_of(objective.goals[0], objective.targets) or tuple(_main(recorded))
    errors = [_error(name, recorded.metrics.get(name), found["data"]["rows"]) for name in names]
    known = [error for error in errors if error is not None]
    if not known or len(known) < len(errors):
        return None
    reach = Z * math.sqrt(sum(error**2 for error in known)) / len(known)
    return Noise(reach, "the sampling error of the select split; a confirmation would know the seeds' own")


def _over_seeds(found: Mapping[str, Any], recorded: Recorded) -> float | None:
    """The standard deviation over the seeds of a finalist with this configuration, else that of all finalists together."""
    confirmation = found.get("confirmation") or {}

    def but_seed(config: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name != "seed"}

    own = but_seed(recorded.config.to_dict())
    sds = [one["sd"] for one in confirmation.get("finalists", []) if but_seed(one["config"]) == own]
    pooled: float | None = confirmation.get("pooled_sd")
    return pooled if pooled is not None else next((sd for sd in sds if sd is not None), None)


def _main(recorded: Recorded) -> list[str]:
    """The main metrics of a trial's own tasks."""
    from model.tasks import TASKS

    return [TASKS[task].metric for task in recorded.config.mixture]


def _error(metric: str, value: float | None, rows: Mapping[str, Mapping[str, int]]) -> float | None:
    """The standard error of a metric over the examples of its split; None where it is not known."""
    *split, task, _ = metric.split("/")
    n = rows.get(task, {}).get(split[0] if split else "select", 0)
    bounds = None if value is None else interval(metric, value, n, approximate=True)
    return None if bounds is None else (bounds[1] - bounds[0]) / (2 * Z)


def is_equal(recorded: Recorded, again: TrialRecord) -> bool:
    """Whether every number that the record has of the training is the same to the last bit."""
    if recorded.score != again.score or dict(recorded.metrics) != dict(again.metrics):
        return False
    pairs = zip(recorded.evaluations, again.evaluations, strict=False)
    return len(recorded.evaluations) in (0, len(again.evaluations)) and all(
        one[name] == other[name] for one, other in pairs for name in ("step", "score", "metrics")
    )


def verdict(recorded: Recorded, again: TrialRecord, chance: Noise | None) -> Verdict:
    """Compare a training with its record. A PRUNED one was trained to the evaluation at which it was pruned."""
    if recorded.state == "FAIL" or again.state == "FAIL":
        return _of_failures(recorded, again)
    if is_equal(recorded, again):
        n = len(again.evaluations)
        return Verdict(
            "equal", f"equal: {'the evaluation is' if n == 1 else f'all {n} evaluations are'} the same to the last bit"
        )
    if recorded.score is None or again.score is None:
        return Verdict("differs", "differs: there is no score to compare")
    difference = again.score - recorded.score
    told = f"the score is {number_text(again.score)} instead of {number_text(recorded.score)}, {difference:+.4f}"
    if chance is None:
        return Verdict("differs", f"differs: {told}, and nothing in the record says how much chance may change it")
    if abs(difference) <= chance.reach:
        return Verdict("matches", f"matches: {told}, within ±{chance.reach:.4f}: {chance.source}")
    return Verdict("differs", f"differs: {told}, more than ±{chance.reach:.4f}: {chance.source}")


def _of_failures(recorded: Recorded, again: TrialRecord) -> Verdict:
    if recorded.state == again.state:
        same = recorded.reason == again.reason
        word = "equal" if same else "matches"
        return Verdict(word, f"{word}: it fails again: {again.reason}" + ("" if same else f" (then: {recorded.reason})"))
    if again.state == "FAIL":
        return Verdict("differs", f"differs: it failed now, and had not: {again.reason}")
    return Verdict("differs", f"differs: it had failed ({recorded.reason}), and does not now")
