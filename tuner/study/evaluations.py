"""The evaluations of a trial as its user attributes hold them, and what pruners and samplers make of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from model.training.evaluation import Evaluation
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements, shortfall
from tuner.results.pareto import upwards
from tuner.study.pareto_fronts import Vector

EVALUATION = "evaluation/"
"""Prefix of the user attributes that hold the evaluations, by index."""
PRUNED, PAUSED = "pruned", "paused"
"""Keys of the reason in the evaluation at which a trial is pruned, or pauses."""
PROMOTED = "promoted"
"""User attribute: the index of the evaluation from which a trial was promoted last."""
EARLY = "ended early"
"""Constraint that pruned trials of several goals break, by 1 and the share of their evaluations that they did not make."""


def not_finite(evaluation: Evaluation, objective: Objective, requirements: Requirements) -> str | None:
    """Names a score or required metric that is not finite, in a sentence; None where all are."""
    metrics = evaluation.metrics
    for what, values in (("score", objective.scores(metrics)), ("required metric", requirements.excess(metrics))):
        for value in values.values():
            if not math.isfinite(value):
                names = dict.fromkeys((*objective.metrics, *requirements.metrics))  # all trials have these
                shown = ", ".join(f"{name} {metrics[name]:g}" for name in names)
                where = f"evaluation {evaluation.index} of {evaluation.n_evaluations}, step {evaluation.step}"
                return f"the {what} became {value} at {where}: {shown}"
    return None


def entry_of(evaluation: Evaluation, objective: Objective, requirements: Requirements) -> dict[str, Any]:
    """What is stored: the evaluation's fields, `score`, `scores` by goal, and `requirements`, each one's excess, if any."""
    scores, excess = objective.scores(evaluation.metrics), requirements.excess(evaluation.metrics)
    entry = {**evaluation.to_dict(), "score": objective.score(evaluation.metrics), "scores": scores}
    return entry | ({"requirements": excess} if excess else {})


def entries(trial: FrozenTrial) -> list[dict[str, Any]]:
    """The stored evaluations with the reasons of their verdicts, by index."""
    stored = [value for key, value in trial.user_attrs.items() if key.startswith(EVALUATION)]
    return sorted(stored, key=lambda evaluation: int(evaluation["index"]))


def evaluations(trial: FrozenTrial) -> list[dict[str, Any]]:
    """The stored evaluations, by index."""
    return [{key: value for key, value in entry.items() if key not in (PRUNED, PAUSED)} for entry in entries(trial)]


def position_text(entry: Mapping[str, Any]) -> str:
    """Such as `evaluation 2 of 10, score 0.7500`."""
    scores = ", ".join(f"{score:.4f}" for score in entry["scores"].values())
    return f"evaluation {entry['index']} of {entry['n_evaluations']}, score {scores}"


def pause_reason(trial: FrozenTrial) -> str | None:
    """Why a trial is paused; None for all others. In Optuna it is RUNNING within a session and WAITING between two."""
    if trial.state not in (TrialState.RUNNING, TrialState.WAITING):
        return None
    stored = entries(trial)
    if not stored or trial.user_attrs.get(PROMOTED) == stored[-1]["index"]:
        return None
    reason: str | None = stored[-1].get(PAUSED)
    return reason


def goal_vectors(trial: FrozenTrial, objective: Objective) -> list[Vector]:
    """The goals of each evaluation of a trial, in order, more is better; the requirements' shortfall is one more goal."""
    vectors = []
    for entry in entries(trial):
        goals = upwards({goal: entry["scores"][goal] for goal in objective.goals})
        vectors.append((*goals, -shortfall(entry["requirements"])) if "requirements" in entry else goals)
    return vectors


def constraints(reported: Sequence[Mapping[str, Any]], objective: Objective) -> dict[str, float]:
    """Optuna's constraints of a trial that ends after these evaluations, ≤ 0 where met: each requirement's excess.

    Under several goals also whether it ended early. Without intermediate values TPE takes pruned trials for as good as each
    other, and the first ones for good where complete ones run short; with a broken constraint they come last, the earliest
    ended at the very end, as they do under one goal.
    """
    if not reported:
        return {}
    last = reported[-1]
    excess = dict(last.get("requirements", {}))
    if last["index"] < last["n_evaluations"] and len(objective.goals) > 1:
        excess[EARLY] = 2 - last["index"] / last["n_evaluations"]
    return excess
