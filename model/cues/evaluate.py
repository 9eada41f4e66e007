"""How much a model relies on the cue: its predictions on every arm of a cue data set, and scores and tests of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from model.config import ConfigError
from model.cues import layout
from model.data.arms import ARMS
from model.data.example import Example
from model.data.source import DataSet
from model.data.tokenised import TokenizedSplit, tokenise
from model.engine.deepspeed import Rank
from model.saved_model import folder as saved_model
from model.training.evaluate import predict_split

Vector = npt.NDArray[np.float64]
"""(n,): class ids."""
PAIRS = "pairs"
CueSet = dict[str, list[Example]]
"""Reviews by arm, all in one order, and the minimal pairs under `PAIRS`, if there are any."""


@dataclass(frozen=True)
class Predictions:
    """One model's predictions on a cue data set."""

    by_split: dict[str, Vector]
    """Class ids."""
    cue_seen: float
    """Share of reviews whose cue is within the model's `max_length`; the predictions of the others cannot flip."""


def read(folder: Path) -> CueSet:
    """The arms of a cue data set. Raises `ConfigError` if they do not match its manifest."""
    named = layout.read_manifest(folder)["files"]
    missing = [layout.arm_file(arm) for arm in ARMS if layout.arm_file(arm) not in named]
    if missing:
        raise ConfigError([f"{folder}: the manifest lacks {', '.join(missing)}; build the cue data set again"])
    splits = {str(arm): layout.read_reviews(folder / layout.arm_file(arm)) for arm in ARMS}
    if layout.PAIRS in named:
        splits[PAIRS] = layout.read_reviews(folder / layout.PAIRS)
    return splits


def predict(model_folder: Path, cues: CueSet) -> Predictions:
    """A saved model's predictions. Raises `ConfigError` if it was not trained on the task or its outputs are not finite."""
    model, task = saved_model.read(model_folder), layout.TASK.name
    if task not in model.config.mixture:
        raise ConfigError([f"{model_folder} was not trained on {task} but on {', '.join(model.config.mixture)}"])
    data = tokenise(DataSet({task: cues}, model.data), model.tokenizer, model.config.max_length)
    network = model.network.to(Rank().device)
    predictions = {
        split: predict_split(network, data, model.config, task, split, np.arange(len(examples)))
        for split, examples in cues.items()
    }
    if not all(np.isfinite(values).all() for values in predictions.values()):
        raise ConfigError([f"{model_folder} has outputs that are not finite: its training diverged; give another model"])
    return Predictions(predictions, share_seen(data.tasks[task]["aligned"], data.tasks[task]["inverted"]))


def labels_of(examples: list[Example]) -> Vector:
    """(n,): the labels of examples."""
    return np.array([example.label for example in examples], dtype=np.float64)


def share_seen(aligned: TokenizedSplit, inverted: TokenizedSplit) -> float:
    """Share of reviews whose tokens, as cut for the model, differ between two arms that differ in the cue alone."""
    texts, others = aligned.texts[0], inverted.texts[0]
    return float(np.mean([not np.array_equal(texts[i], others[i]) for i in range(len(texts))]))


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
    """Share of reviews whose prediction changes when only the cue does."""
    consistency: float | None
    """None if the data set has no minimal pairs."""

    @property
    def worst_group(self) -> str:
        """The label × cue with the lowest accuracy."""
        return min(self.groups, key=lambda name: self.groups[name])


def scores(predictions: Predictions, cues: CueSet) -> Scores:
    """The scores of one model."""
    labels, by_split = labels_of(cues["clean"]), predictions.by_split
    arms = {str(arm): accuracy(by_split[arm], labels) for arm in ARMS}
    aligned, inverted = by_split["aligned"], by_split["inverted"]
    both_right = None
    if PAIRS in cues:
        batches = [layout.batch_of(example.id) for example in cues[PAIRS]]
        both_right = consistency(batches, by_split[PAIRS], labels_of(cues[PAIRS]))
    gap = arms["clean"] - arms["inverted"]
    return Scores(arms, gap, groups(aligned, inverted, labels), float(np.mean(aligned != inverted)), both_right)


def compare(first: Predictions, second: Predictions, cues: CueSet) -> dict[str, McNemar]:
    """McNemar's test of two models on each arm."""
    return {arm: mcnemar(first.by_split[arm], second.by_split[arm], labels_of(cues["clean"])) for arm in ARMS}


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
