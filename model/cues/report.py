"""The evaluation in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from model.cues.metrics import McNemar, Scores


def lines(name: str, scores: Scores, cue_seen: float) -> list[str]:
    """One model's scores, a line each; shares as fractions of 1."""
    worst = scores.worst_group
    rows = [(f"accuracy {arm}", scores.arms[arm]) for arm in scores.arms]
    rows += [("clean − inverted", scores.gap), (f"worst group ({worst})", scores.groups[worst])]
    rows += [("flips when only the cue changes", scores.flip_rate)]
    if scores.consistency is not None:
        rows += [("minimal pairs both right", scores.consistency)]
    rows += [("cue within max_length", cue_seen)]
    return [name, *(f"  {what:<36}{value:8.4f}" for what, value in rows)]


def comparison(tests: Mapping[str, McNemar]) -> list[str]:
    """The tests of two models, a line for each arm."""
    head = "McNemar, exact: reviews that only the first or only the second model has right"
    return [head, *(f"  {arm:<12}{each.only_first:6d}{each.only_second:6d}   p = {each.p:.4g}" for arm, each in tests.items())]


def as_json(scores: Scores, cue_seen: float) -> dict[str, Any]:
    """One model's scores as plain values."""
    worst = scores.worst_group
    return {**asdict(scores), "worst_group": {"group": worst, "accuracy": scores.groups[worst]}, "cue_seen": cue_seen}
