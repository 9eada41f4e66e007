"""What is wrong with a trial's regulariser, told from its numbers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MEANINGS = {
    "smart-no-op": "R_s is 0: the regulariser does nothing",
    "smart-underflow": "most of δ rounds away when it is added to the embeddings",
    "smart-dominates": "λ·R_s is more than ten times the supervised loss",
}
"""The alarms, and what each says."""
MOST_ROUNDED = 0.5
"""Share of δ's coordinates that may round away."""
DOMINATES = 10.0
"""λ·R_s over the supervised loss, above which the trial learns to be smooth and little else."""


def alarms(health: Mapping[str, float], losses: Mapping[str, float]) -> dict[str, list[str]]:
    """The alarms of an evaluation, each with the tasks that raise it; from `Evaluation.health` and `Evaluation.losses`."""
    found: dict[str, list[str]] = {}
    for name, smoothness in sorted(losses.items()):
        task, _, term = name.partition("/")
        if term != "smoothness":
            continue
        raised = {
            "smart-no-op": smoothness == 0.0,
            "smart-underflow": health.get(f"{task}/rounded_away", 0.0) > MOST_ROUNDED,
            "smart-dominates": health.get(f"{task}/lambda", 0.0) * smoothness > DOMINATES * losses[f"{task}/loss"],
        }
        for alarm in (alarm for alarm, is_raised in raised.items() if is_raised):
            found.setdefault(alarm, []).append(task)
    return found


def alarms_of(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The alarms that any evaluation of a trial raised, from the evaluations as mappings.

    An evaluation from before the health was measured raises what its losses alone tell.
    """
    found: dict[str, set[str]] = {}
    for evaluation in evaluations:
        for alarm, tasks in alarms(evaluation.get("health", {}), evaluation.get("losses", {})).items():
            found.setdefault(alarm, set()).update(tasks)
    return {alarm: sorted(found[alarm]) for alarm in MEANINGS if alarm in found}
