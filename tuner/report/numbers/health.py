"""How well the regulariser worked: its measures over the training of each trial, and the alarms."""

from __future__ import annotations

from dataclasses import dataclass

from model.smart.alarms import MEANINGS
from tuner.report.numbers.curves import Curve, measured
from tuner.report.run import Run, tasks_of

MEASURES = {
    "saturated": "share of δ at its bound ε",
    "cos_delta_gradient": "cosine of δ and the gradient where it ended",
    "gain_over_random": "divergence at δ over that at a random vertex",
    "rounded_away": "share of δ that rounds away",
    "delta_l2": "‖δ‖₂ / (ε√n)",
}
"""Of `model.training.health`, and what each is."""
TIME_SHARE = "smart/time_share"


@dataclass(frozen=True)
class Alarm:
    """One kind of alarm over all trials."""

    name: str
    meaning: str
    numbers: tuple[int, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Health:
    """Of all trials with SMART that measured it."""

    measures: dict[str, dict[str, list[Curve]]]
    """By measure, then by task."""
    time_share: list[Curve]
    """Share of R_s in the time of a step."""
    alarms: tuple[Alarm, ...]
    n_smart: int
    """Trials with SMART on."""


def health(run: Run) -> Health:
    trials = run.counted
    measures = {
        name: {task: found for task in tasks_of(trials) if (found := measured(trials, "health", f"{task}/{name}"))}
        for name in MEASURES
    }
    alarms = []
    for name, meaning in MEANINGS.items():
        raised = {trial["number"]: trial["alarms"][name] for trial in trials if name in (trial.get("alarms") or {})}
        if raised:
            tasks = tuple(sorted({task for own in raised.values() for task in own}))
            alarms.append(Alarm(name, meaning, tuple(sorted(raised)), tasks))
    n_smart = sum(bool(trial["config"].get("smart", {}).get("enabled")) for trial in trials)
    known = {name: found for name, found in measures.items() if found}
    return Health(known, measured(trials, "health", TIME_SHARE), tuple(alarms), n_smart)
