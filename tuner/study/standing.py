"""What a trial's stored evaluations say of it beside others: to the pruner as vectors, to the sampler as constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.front import upwards
from tuner.requirements import Requirements, shortfall
from tuner.study.fronts import Vector
from tuner.study.pruners import PARETO_PRUNERS

if TYPE_CHECKING:
    from tuner.objective import Objective

EARLY = "ended early"
"""Constraint that pruned trials of several goals break, by 1 and the share of their evaluations that they did not make."""
Told = Mapping[str, Any]
"""A stored evaluation: its fields, `score`, `scores`, and `requirements` where there are any."""


def is_by_rank(objective: Objective, requirements: Requirements) -> bool:
    """Whether trials are judged by Pareto rank: under several goals, and where a lower score may be a requirement's price."""
    return len(objective.goals) > 1 or bool(requirements.texts)


def pruner_problems(pruner: str, objective: Objective, requirements: Requirements) -> list[str]:
    """Why a known pruner cannot judge the trials of such a search; empty where it can."""
    if not is_by_rank(objective, requirements) or pruner in PARETO_PRUNERS:
        return []
    several = f"--metric {objective.name} names several" if len(objective.goals) > 1 else "--require adds to it"
    return [f"--pruner {pruner} judges by one goal, and {several}: use one of {', '.join(PARETO_PRUNERS)}"]


def curve(evaluations: Sequence[Told], objective: Objective) -> list[tuple[float, Vector]]:
    """Compute and goals of a trial's evaluations, more is better; what is missed of the requirements is one more goal.

    The index of an evaluation stands for a compute that was not counted.
    """
    return [(_resource(told), _vector(told, objective)) for told in evaluations]


def score_curve(evaluations: Sequence[Told]) -> list[tuple[float, float]]:
    """The same with the score alone."""
    return [(_resource(told), told["score"]) for told in evaluations]


def _resource(told: Told) -> float:
    compute: float | None = told.get("compute")
    return compute or float(told["index"])


def _vector(told: Told, objective: Objective) -> Vector:
    goals = upwards({goal: told["scores"][goal] for goal in objective.goals})
    return (*goals, -shortfall(told["requirements"])) if "requirements" in told else goals


def constraints(evaluations: Sequence[Told], objective: Objective) -> dict[str, float]:
    """What Optuna is told of a trial that is about to end, ≤ 0 where a constraint is met: each requirement's excess.

    Under several goals also whether it ended early. Without intermediate values TPE takes pruned trials for as good as each
    other, and the first ones for good where complete ones run short; with a broken constraint they come last, the earliest
    ended at the very end, as they do under one goal.
    """
    if not evaluations:
        return {}
    last = evaluations[-1]
    excess = dict(last.get("requirements", {}))
    if last["index"] < last["n_evaluations"] and len(objective.goals) > 1:
        excess[EARLY] = 2 - last["index"] / last["n_evaluations"]
    return excess
