"""Whom a trial is compared with when it is judged: with what the others had reached within the same compute.

A step of K = 3 costs four plain ones, so at equal evaluation indices a dear trial would be compared with cheap ones that have
had a fraction of its compute. Instead, with C_j(T) the compute of trial T up to its evaluation j (`Evaluation.compute`) and
s_k(U) the score of trial U at its evaluation k, a trial T that is judged after evaluation i meets U at its rungs j = 1 … i with

    V(U, j) = s_k(U) for the largest k with C_k(U) ≤ (1 + τ) C_j(T),  τ = TOLERANCE:

the last score that U had within that compute, never what it reached later. There is no V(U, j) where U has no such evaluation,
or has not spent C_j(T) itself: only a COMPLETE trial's last score stands at any compute beyond its own, for it needs no more.

The rungs are T's own evaluations, so Optuna's pruners keep their integer steps and settings, what the storage holds is each
trial's own evaluations whoever looks, and between trials of equal cost V(U, j) = s_j(U): the comparison is that of `steps`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Sequence
from typing import Any, TypeVar

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

RESOURCES = ("compute", "steps")
"""What `--rung-resource` can be: trials meet at equal compute, or at equal evaluation indices."""
TOLERANCE = 0.05
"""τ: computes this near are equal. Whole steps and drawn tasks make those of like trials differ a little; one teacher pass more
is 12 %."""
HALVING = "completed_rung_"
"""Prefix of the system attributes in which Optuna's successive halving keeps the score that a trial had at a rung."""

Curve = Sequence[tuple[float, float]]
"""Compute and score of each evaluation of a trial, in order."""
Score = TypeVar("Score")
"""A number, or the vector of several goals."""
CurveOf = Callable[[FrozenTrial], Curve]


def score_within(curve: Sequence[tuple[float, Score]], compute: float, *, is_complete: bool) -> Score | None:
    """V: the last score of a trial within `compute`, or None where it has none, or has not come so far."""
    within = [score for spent, score in curve if spent <= (1 + TOLERANCE) * compute]
    if not within:
        return None
    has_come = is_complete or (1 + TOLERANCE) * curve[-1][0] >= compute
    return within[-1] if has_come else None


def scores_at(curve: Curve, computes: Sequence[float], *, is_complete: bool) -> dict[int, float]:
    """V at each of a judged trial's computes, by its rung, from 1; rungs without a score are left out."""
    found = {rung: score_within(curve, compute, is_complete=is_complete) for rung, compute in enumerate(computes, start=1)}
    return {rung: score for rung, score in found.items() if score is not None}


def seen_from(other: FrozenTrial, curve: Curve, computes: Sequence[float], halving_rung: int) -> FrozenTrial:
    """A copy of another trial as it stands at the computes of the judged trial, which is now at rung len(computes).

    `halving_rung` is the number of halvings that the judged trial has behind it: the next one compares it, now, with what the
    others have at its compute, whichever evaluations of theirs that was after.
    """
    seen = copy.copy(other)
    scores = scores_at(curve, computes, is_complete=other.state is TrialState.COMPLETE)
    seen.intermediate_values = scores
    attributes = {name: value for name, value in other.system_attrs.items() if not name.startswith(HALVING)}
    if len(computes) in scores:
        attributes[f"{HALVING}{halving_rung}"] = scores[len(computes)]
    seen.system_attrs = attributes
    return seen


def should_prune(study: optuna.Study, trial: FrozenTrial, curve_of: CurveOf) -> bool:
    """The verdict of the study's pruner on a trial that meets the others at equal compute."""
    storage: Any = _EqualCompute(study._storage, trial, curve_of)
    view = optuna.Study(study.study_name, storage, sampler=study.sampler, pruner=study.pruner)
    return study.pruner.prune(view, trial)


class _EqualCompute:
    """A study's storage as the judged trial sees it. Hyperband makes studies of its own, so the view is of the storage."""

    def __init__(self, storage: BaseStorage, judged: FrozenTrial, curve_of: CurveOf) -> None:
        self._storage = storage
        self._judged = judged
        self._curve_of = curve_of
        self._computes = [compute for compute, _ in curve_of(judged)]
        self._halving_rung = sum(name.startswith(HALVING) for name in judged.system_attrs)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Never deep copies: pruners only read."""
        return [self._seen(other) for other in self._storage.get_all_trials(study_id, deepcopy=False, states=states)]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._seen(self._storage.get_best_trial(study_id))

    def _seen(self, other: FrozenTrial) -> FrozenTrial:
        if other.number == self._judged.number:
            return other
        return seen_from(other, self._curve_of(other), self._computes, self._halving_rung)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)
