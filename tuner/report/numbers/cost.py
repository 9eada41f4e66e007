"""Where the time of the gangs went, what pruning saved, and what repeats did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.report.numbers.timeline import KINDS, Schedule
from tuner.report.run import Run, Trial

OTHERS = "others"
"""Trainings that are no trials of the search, such as finalists on fresh seeds."""
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "PAUSED")


@dataclass(frozen=True)
class Row:
    """The trials of one state."""

    state: str
    n: int
    seconds: dict[str, float]
    """By kind of work; only `training` and `evaluation` where no timeline was recorded."""

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Cost:
    """A whole run, in seconds of gangs."""

    rows: tuple[Row, ...]
    idle_s: float | None
    """That slots stood empty; None where no timeline was recorded."""
    per_gang: float
    """GPUs of a gang, or CPUs where it has no GPU; 1 where unknown."""
    unit: str
    """`GPU`, `CPU` or `gang`."""
    saved_by_pruning_s: float
    saved_by_repeats_s: float
    n_repeats: int
    n_unrecorded: int
    """Trained trials that the timeline does not know."""

    @property
    def total_s(self) -> float:
        return sum(row.total_s for row in self.rows) + (self.idle_s or 0.0)

    def hours(self, seconds: float) -> float:
        return seconds * self.per_gang / 3600


def cost(run: Run, found: Schedule | None) -> Cost:
    """Of all trials; from the timeline where there is one, else from what trials say of themselves."""
    known = {} if found is None else _by_trial(found)
    rows = []
    for state in STATES:
        trials = [trial for trial in run.counted if trial["state"] == state]
        each = [known.get(trial["number"]) or _own(trial) for trial in trials]
        seconds = {kind: sum(own.get(kind, 0.0) for own in each) for kind in KINDS}
        if trials:
            rows.append(Row(state, len(trials), seconds))
    others = [own for number, own in known.items() if number not in {trial["number"] for trial in run.trials}]
    if others:
        rows.append(Row(OTHERS, len(others), {kind: sum(own.get(kind, 0.0) for own in others) for kind in KINDS}))
    gang = found.gang if found else {}
    gpus, cpus = (gang.get("n_workers", 1) * gang.get(name, 0) for name in ("gpus_per_worker", "cpus_per_worker"))
    repeats = [trial for trial in run.trials if trial.get("same_as") is not None]
    by_number = {trial["number"]: trial for trial in run.trials}
    return Cost(
        rows=tuple(rows),
        idle_s=None if found is None else found.idle_s,
        per_gang=gpus or cpus or 1,
        unit="GPU" if gpus else "CPU" if cpus else "gang",
        saved_by_pruning_s=saved_by_pruning(run.counted),
        saved_by_repeats_s=sum(by_number[trial["same_as"]]["seconds"] for trial in repeats if trial["same_as"] in by_number),
        n_repeats=len(repeats),
        n_unrecorded=0 if found is None else sum(trial["number"] not in known for trial in run.counted),
    )


def _own(trial: Trial) -> dict[str, float]:
    evaluating = sum(evaluation.get("evaluation_s") or 0.0 for evaluation in trial["evaluations"])
    return {"training": trial["seconds"] - evaluating, "evaluation": evaluating}


def _by_trial(found: Schedule) -> dict[int, dict[str, float]]:
    """Seconds of each trial by kind of work."""
    totals: dict[int, dict[str, float]] = {}
    for segment in found.segments:
        own = totals.setdefault(segment.trial, {})
        for span in segment.spans:
            own[span.kind] = own.get(span.kind, 0.0) + span.seconds
    return totals


def saved_by_pruning(trials: Sequence[Trial]) -> float:
    """Seconds that the PRUNED trials would have taken for their remaining evaluations, each at its own pace."""
    saved = 0.0
    for trial in trials:
        made = len(trial["evaluations"])
        if trial["state"] == "PRUNED" and made:
            saved += trial["seconds"] / made * max(trial["config"]["budget"]["evaluations"] - made, 0)
    return saved
