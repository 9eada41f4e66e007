"""How much a model relies on the cue: shares and tests over predictions of the same reviews, and their report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
"""(n,): class ids."""


def accuracy(predictions: Vector, labels: Vector) -> float:
    """Share of correct predictions, n ≥ 1."""
    return float(np.mean(predictions == labels))


def groups(aligned: Vector, inverted: Vector, labels: Vector) -> dict[str, float]:
    """Accuracy of each non-empty group label × cue; in `aligned` the cue is the label's, in `inverted` the opposite one's."""
    names = ("negative", "positive")
    accuracies: dict[str, float] = {}
    for label in (0, 1):
        for predictions, cue in ((aligned, label), (inverted, 1 - label)):
            members = labels == label
            if members.any():
                accuracies[f"{names[label]} × {names[cue]}"] = accuracy(predictions[members], labels[members])
    return accuracies


def flip_rate(aligned: Vector, inverted: Vector) -> float:
    """Share of reviews whose prediction changes when only the cue does."""
    return float(np.mean(aligned != inverted))


def consistency(batches: Sequence[str], predictions: Vector, labels: Vector) -> float:
    """Share of minimal pairs with both sides predicted correctly (contrast consistency, Gardner et al. 2020)."""
    correct: dict[str, bool] = {}
    for batch, hit in zip(batches, (predictions == labels).tolist(), strict=True):
        correct[batch] = correct.get(batch, True) and hit
    return sum(correct.values()) / len(correct)


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two models on the same reviews."""

    only_first: int
    """Reviews that only the first model predicts correctly."""
    only_second: int
    p: float
    """Two-sided p of the null hypothesis that either model is equally likely to be the correct one; 1 if they never differ."""


def mcnemar(first: Vector, second: Vector, labels: Vector) -> McNemar:
    """McNemar's exact test: a binomial test of the discordant reviews."""
    from scipy.stats import binomtest

    hits, others = first == labels, second == labels
    only_first, only_second = int(np.sum(hits & ~others)), int(np.sum(others & ~hits))
    n = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, n, 0.5).pvalue) if n else 1.0)


@dataclass(frozen=True)
class Scores:
    """The scores of one model on a cue data set."""

    arms: dict[str, float]
    """Accuracy of each arm."""
    gap: float
    """Accuracy on clean minus accuracy on inverted."""
    groups: dict[str, float]
    flip_rate: float
    consistency: float | None
    """None if the data set has no minimal pairs."""

    @property
    def worst_group(self) -> str:
        """The label × cue with the lowest accuracy."""
        return min(self.groups, key=lambda name: self.groups[name])


def score(arms: Mapping[str, Vector], labels: Vector, pairs: tuple[Sequence[str], Vector, Vector] | None) -> Scores:
    """The scores of a model's predictions by arm; pairs: batch, prediction and label of each side."""
    accuracies = {arm: accuracy(predictions, labels) for arm, predictions in arms.items()}
    return Scores(
        accuracies,
        accuracies["clean"] - accuracies["inverted"],
        groups(arms["aligned"], arms["inverted"], labels),
        flip_rate(arms["aligned"], arms["inverted"]),
        None if pairs is None else consistency(*pairs),
    )


def lines(name: str, scores: Scores, cue_seen: float) -> list[str]:
    """One model's scores as text, a line each; shares as fractions of 1."""
    rows = [(f"accuracy {arm}", accuracy) for arm, accuracy in scores.arms.items()]
    rows += [("clean − inverted", scores.gap), (f"worst group ({scores.worst_group})", scores.groups[scores.worst_group])]
    rows += [("flips when only the cue changes", scores.flip_rate)]
    if scores.consistency is not None:
        rows += [("minimal pairs both right", scores.consistency)]
    rows += [("cue within max_length", cue_seen)]
    return [name, *(f"  {label:<36}{value:8.4f}" for label, value in rows)]


def comparison(tests: Mapping[str, McNemar]) -> list[str]:
    """The tests of two models as text, a line for each arm."""
    head = "McNemar's exact test; reviews that only the first or only the second model predicts correctly"
    return [head, *(f"  {arm:<12}{each.only_first:6d}{each.only_second:6d}   p = {each.p:.4g}" for arm, each in tests.items())]


def as_json(scores: Scores, cue_seen: float) -> dict[str, Any]:
    """One model's scores as JSON values."""
    worst = {"group": scores.worst_group, "accuracy": scores.groups[scores.worst_group]}
    return {**asdict(scores), "worst_group": worst, "cue_seen": cue_seen}
