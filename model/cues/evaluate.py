"""A saved model's predictions on every arm of a cue data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.config import ConfigError
from model.cues import layout, manifest, metrics, pairs
from model.cues.metrics import McNemar, Scores, Vector
from model.data.arms import ARMS
from model.data.example import Example

if TYPE_CHECKING:
    from model.data.tokenised import TokenizedSplit

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
    named = manifest.read(folder)["files"]
    missing = [layout.arm_file(arm) for arm in ARMS if layout.arm_file(arm) not in named]
    if missing:
        raise ConfigError([f"{folder}: the manifest lacks {', '.join(missing)}; build the cue data set again"])
    splits = {str(arm): layout.read_reviews(folder / layout.arm_file(arm)) for arm in ARMS}
    if layout.PAIRS in named:
        splits[PAIRS] = layout.read_reviews(folder / layout.PAIRS)
    return splits


def predict(model_folder: Path, cues: CueSet) -> Predictions:
    """A saved model's predictions. Raises `ConfigError` if it was not trained on the task or its outputs are not finite."""
    from model.data.source import DataSet
    from model.data.tokenised import tokenise
    from model.engine.deepspeed import Rank
    from model.saved_model import folder as saved_model
    from model.training.evaluate import predict_split

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
    return Predictions(predictions, _share_seen(data.tasks[task]["aligned"], data.tasks[task]["inverted"]))


def scores(predictions: Predictions, cues: CueSet) -> Scores:
    """The scores of one model."""
    arms = {str(arm): predictions.by_split[arm] for arm in ARMS}
    if PAIRS not in cues:
        return metrics.score(arms, labels_of(cues["clean"]), None)
    examples = cues[PAIRS]
    batches = [pairs.batch_of(example.id) for example in examples]
    return metrics.score(arms, labels_of(cues["clean"]), (batches, predictions.by_split[PAIRS], labels_of(examples)))


def compare(first: Predictions, second: Predictions, cues: CueSet) -> dict[str, McNemar]:
    """McNemar's test of two models on each arm."""
    return {arm: metrics.mcnemar(first.by_split[arm], second.by_split[arm], labels_of(cues["clean"])) for arm in ARMS}


def labels_of(examples: list[Example]) -> Vector:
    """(n,): the labels of examples."""
    return np.array([example.label for example in examples], dtype=np.float64)


def _share_seen(aligned: TokenizedSplit, inverted: TokenizedSplit) -> float:
    """Share of reviews whose tokens, as cut for the model, differ between two arms that differ in the cue alone."""
    texts, others = aligned.texts[0], inverted.texts[0]
    return float(np.mean([not np.array_equal(texts[i], others[i]) for i in range(len(texts))]))
