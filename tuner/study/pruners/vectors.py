"""What a trial's stored evaluations say of it beside others: to the pruner as vectors, to the sampler as constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from tuner.config.requirements import Requirements, shortfall
from tuner.results.pareto import upwards
from tuner.study.pruners.non_dominated_sort import Vector
from tuner.study.pruners.table import PARETO_PRUNERS
from tuner.study.records import evaluations

if TYPE_CHECKING:
    from tuner.config.objective import Objective

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


def vector(told: Told, objective: Objective) -> Vector:
    """The goals of an evaluation, more is better; what is missed of the requirements is one more goal."""
    goals = upwards({goal: told["scores"][goal] for goal in objective.goals})
    return (*goals, -shortfall(told["requirements"])) if "requirements" in told else goals


def vectors_of(frozen: FrozenTrial, objective: Objective) -> list[Vector]:
    """The goals of each evaluation of a trial, in order."""
    return [vector(told, objective) for told in evaluations(frozen)]


def constraints(told: Sequence[Told], objective: Objective) -> dict[str, float]:
    """What Optuna is told of a trial that is about to end, ≤ 0 where a constraint is met: each requirement's excess.

    Under several goals also whether it ended early. Without intermediate values TPE takes pruned trials for as good as each
    other, and the first ones for good where complete ones run short; with a broken constraint they come last, the earliest
    ended at the very end, as they do under one goal.
    """
    if not told:
        return {}
    last = told[-1]
    excess = dict(last.get("requirements", {}))
    if last["index"] < last["n_evaluations"] and len(objective.goals) > 1:
        excess[EARLY] = 2 - last["index"] / last["n_evaluations"]
    return excess
