"""Training on a frozen encoder's features equals training through the encoder, and trials share features."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.encoder.network import MultitaskNetwork
from model.training import features
from model.training.evaluation import Evaluation
from model.training.features import TaskFeatures, key_of, reads_features
from model.training.trial import Training
from tests.support import tiny

FROZEN: dict[str, Any] = {
    "mode": "pretrain",
    "smart": {"enabled": False},
    "mixture": ["sst", "quora", "sts"],
    "watch": ["dev"],
    "optim": {"batch_size": 8, "head_lr": 1e-2, "dropout": 0.1},
    "budget": {"examples": 240, "evaluations": 2},
}


def run(training: Training) -> list[Evaluation]:
    with closing(training):
        found = list(training)
    assert all(isinstance(evaluation, Evaluation) for evaluation in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("pair_encoding", ["concat_pooled", "cosine", "cross"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_features_train_the_heads_that_the_encoder_would(
    tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch, pair_encoding: str, pooling: str
) -> None:
    config = tiny.config(tiny_backbone, **FROZEN, pair_encoding=pair_encoding, pooling=pooling)
    on_features = Training(config, tiny.data())
    assert on_features.features is not None
    measured = run(on_features)
    with monkeypatch.context() as patch:
        patch.setattr(features, "reads_features", lambda config: False)
        through_encoder = Training(config, tiny.data())
    assert through_encoder.features is None
    expected = run(through_encoder)
    for one, other in zip(measured, expected, strict=True):
        assert one.metrics == pytest.approx(other.metrics, abs=1e-3)
        assert one.losses == pytest.approx(other.losses, rel=1e-4)
    heads = zip(on_features.loss.network.heads.parameters(), through_encoder.loss.network.heads.parameters(), strict=True)
    for mine, theirs in heads:
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def test_the_encoder_sees_each_example_once(tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    pool = MultitaskNetwork.pool

    def counted(self: MultitaskNetwork, batch: Any, embeddings: torch.Tensor) -> torch.Tensor:
        seen.append(batch.input_ids.shape[1])
        return pool(self, batch, embeddings)

    monkeypatch.setattr(MultitaskNetwork, "pool", counted)
    config = tiny.config(tiny_backbone, **FROZEN)
    run(Training(config, tiny.data()))
    tasks = tiny.data().tasks
    assert sum(seen) == sum(len(tasks[task][split]) for task in config.mixture for split in ("train", "select", "dev"))


def test_cached_features_are_not_recomputed(tiny_backbone: Path) -> None:
    made: dict[str, TaskFeatures] = {}

    def keep(task: str, compute: Callable[[], TaskFeatures]) -> TaskFeatures:
        made[task] = compute()
        return made[task]

    def given(task: str, compute: Callable[[], TaskFeatures]) -> TaskFeatures:
        return made[task]

    config = tiny.config(tiny_backbone, **FROZEN)
    first, second = run(Training(config, tiny.data(), features_of=keep)), run(Training(config, tiny.data(), features_of=given))
    assert [evaluation.metrics for evaluation in first] == [evaluation.metrics for evaluation in second]
    assert {task: sorted(found) for task, found in made.items()} == {
        name: ["dev", "select", "train"] for name in config.mixture
    }
    assert made["sts"]["train"].shape[0] == 2
    assert made["sst"]["train"].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "reads"),
    [
        ({"mode": "pretrain", "smart": {"enabled": False}}, True),
        ({"mode": "finetune", "smart": {"enabled": False}}, False),
        ({"mode": "pretrain", "smart": {"enabled": True, "lambda": 1.0}}, False),
        ({"mode": "pretrain", "smart": {"enabled": True, "lambda": 0.0, "mu": 1.0}}, True),
    ],
)
def test_which_trials_read_features(tiny_backbone: Path, changes: dict[str, Any], reads: bool) -> None:
    assert reads_features(tiny.config(tiny_backbone, **{"mixture": ["sst"], **changes})) is reads


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"optim": {"head_lr": 0.1}}, {"optim": {"head_lr": 0.2}}, True),
        ({"seed": 1, "pooling": "mean"}, {"seed": 2, "pooling": "mean"}, True),
        ({"seed": 1, "pooling": "cls"}, {"seed": 2, "pooling": "cls"}, False),
        ({"pair_encoding": "cosine"}, {"pair_encoding": "concat_pooled"}, True),
        ({"pair_encoding": "cosine"}, {"pair_encoding": "cross"}, False),
        ({"watch": ["dev"]}, {}, False),
        ({"max_length": 16}, {"max_length": 32}, False),
    ],
)
def test_what_features_depend_on(tiny_backbone: Path, one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    base = {"mode": "pretrain", "mixture": ["sts"]}
    keys = [key_of(tiny.config(tiny_backbone, **{**base, **changes}), "sts") for changes in (one, other)]
    assert (keys[0] == keys[1]) is same
