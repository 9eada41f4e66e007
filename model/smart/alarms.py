"""Alarms: faults of a trial's regulariser, derived from its health and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MEANINGS = {
    "smart-no-op": "R_s is 0: the regulariser does nothing",
    "smart-underflow": "most of δ rounds away when it is added to the embeddings",
    "smart-dominates": "λ·R_s is more than ten times the supervised loss",
}
"""The alarms with their explanations."""
MOST_ROUNDED = 0.5
"""Largest acceptable share of δ's coordinates that round away."""
DOMINATES = 10.0
"""Largest acceptable ratio of λ·R_s to the supervised loss."""


def alarms(health: Mapping[str, float], losses: Mapping[str, float]) -> dict[str, list[str]]:
    """The alarms of an evaluation with the tasks that raise them; from `Evaluation.health` and `Evaluation.losses`."""
    raised: dict[str, list[str]] = {}
    for name, smoothness in sorted(losses.items()):
        task, _, term = name.partition("/")
        if term != "smoothness":
            continue
        conditions = {
            "smart-no-op": smoothness == 0.0,
            "smart-underflow": health.get(f"{task}/rounded_away", 0.0) > MOST_ROUNDED,
            "smart-dominates": health.get(f"{task}/lambda", 0.0) * smoothness > DOMINATES * losses[f"{task}/loss"],
        }
        for alarm in (alarm for alarm, is_raised in conditions.items() if is_raised):
            raised.setdefault(alarm, []).append(task)
    return raised


def alarms_of(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The alarms that any evaluation of a trial raised, with the tasks; evaluations as mappings.

    Records of older versions have no health; their alarms are derived from the losses alone.
    """
    raised: dict[str, set[str]] = {}
    for evaluation in evaluations:
        for alarm, tasks in alarms(evaluation.get("health", {}), evaluation.get("losses", {})).items():
            raised.setdefault(alarm, set()).update(tasks)
    return {alarm: sorted(raised[alarm]) for alarm in MEANINGS if alarm in raised}
