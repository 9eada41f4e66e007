"""Whom a trial is compared with when it is judged: with what the others had reached within the same compute.

A step of K = 3 costs four plain ones, so at equal evaluation indices a dear trial would be compared with cheap ones that have
had a fraction of its compute. Instead, with C_j(T) the compute of trial T up to its evaluation j (`Evaluation.compute`) and
s_k(U) the score of trial U at its evaluation k, a trial T that is judged after evaluation i meets U at its rungs j = 1 … i with

    V(U, j) = s_k(U) for the largest k with C_k(U) ≤ (1 + τ) C_j(T),  τ = TOLERANCE:

the last score that U had within that compute, never what it reached later. There is no V(U, j) where U has no such evaluation,
or has not spent C_j(T) itself: only a COMPLETE trial's last score stands at any compute beyond its own, for it needs no more.

The rungs are T's own evaluations, so pruners keep their integer steps and settings, what the storage holds is each trial's own
evaluations whoever looks, and between trials of equal cost V(U, j) = s_j(U): the comparison is that of `steps`. Which trials U
are is in sample.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

RESOURCES = ("compute", "steps")
"""What `--rung-resource` can be: trials meet at equal compute, or at equal evaluation indices."""
TOLERANCE = 0.05
"""τ: computes this near are equal. Whole steps and drawn tasks make those of like trials differ a little; one teacher pass more
is 12 %."""

Score = TypeVar("Score")
"""A number, or the vector of several goals."""
Curve: TypeAlias = Sequence[tuple[float, Score]]
"""Compute and score of each evaluation of a trial, in order."""


def score_within(curve: Curve[Score], compute: float, *, is_complete: bool, tolerance: float = TOLERANCE) -> Score | None:
    """V: the last score of a trial within `compute`, or None where it has none, or has not come so far."""
    within = [score for spent, score in curve if spent <= (1 + tolerance) * compute]
    if not within:
        return None
    has_come = is_complete or (1 + tolerance) * curve[-1][0] >= compute
    return within[-1] if has_come else None


def scores_at(curve: Curve[Score], computes: Sequence[float], *, is_complete: bool) -> dict[int, Score]:
    """V at each of a judged trial's computes, by its rung, from 1; rungs without a score are left out."""
    found = {rung: score_within(curve, compute, is_complete=is_complete) for rung, compute in enumerate(computes, start=1)}
    return {rung: score for rung, score in found.items() if score is not None}
