"""How much a model leans on the cue. Everything here is counts over predictions of the same reviews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
"""(n,): class ids."""


def accuracy(predictions: Vector, labels: Vector) -> float:
    """Share of right predictions, n ≥ 1."""
    return float(np.mean(predictions == labels))


def groups(aligned: Vector, inverted: Vector, labels: Vector) -> dict[str, float]:
    """Accuracy of each group label × cue that has reviews; `aligned` has the label's own cue, `inverted` the other."""
    names = ("negative", "positive")
    found: dict[str, float] = {}
    for label in (0, 1):
        for predictions, cue in ((aligned, label), (inverted, 1 - label)):
            here = labels == label
            if here.any():
                found[f"{names[label]} × {names[cue]}"] = accuracy(predictions[here], labels[here])
    return found


def flip_rate(aligned: Vector, inverted: Vector) -> float:
    """Share of reviews whose prediction changes when only the cue does."""
    return float(np.mean(aligned != inverted))


def consistency(batches: Sequence[str], predictions: Vector, labels: Vector) -> float:
    """Share of minimal pairs with both sides right (contrast consistency, Gardner et al. 2020)."""
    right: dict[str, bool] = {}
    for batch, hit in zip(batches, (predictions == labels).tolist(), strict=True):
        right[batch] = right.get(batch, True) and hit
    return sum(right.values()) / len(right)


@dataclass(frozen=True)
class McNemar:
    """The exact test of two models on the same reviews."""

    only_first: int
    """Reviews that the first model alone has right."""
    only_second: int
    p: float
    """Two-sided p of the null that a review on which they differ is as likely to go either way; 1 where they never differ."""


def mcnemar(first: Vector, second: Vector, labels: Vector) -> McNemar:
    """McNemar's exact test: the discordant reviews against a fair coin."""
    from scipy.stats import binomtest

    hits, others = first == labels, second == labels
    only_first, only_second = int(np.sum(hits & ~others)), int(np.sum(others & ~hits))
    n = only_first + only_second
    return McNemar(only_first, only_second, float(binomtest(only_first, n, 0.5).pvalue) if n else 1.0)


@dataclass(frozen=True)
class Scores:
    """One model on a cue data set."""

    arms: dict[str, float]
    """Accuracy of each arm."""
    gap: float
    """Accuracy on clean minus accuracy on inverted."""
    groups: dict[str, float]
    flip_rate: float
    consistency: float | None
    """None where the data set has no minimal pairs."""

    @property
    def worst_group(self) -> str:
        """The label × cue with the least accuracy."""
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
