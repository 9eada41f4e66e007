"""Evaluation: every example once, in order, without dropout, independent of the rest of its batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model import metrics
from model.config import TrialConfig
from model.encoder.network import MultitaskNetwork, build
from model.engine.deepspeed import Rank
from model.tasks import TASKS
from model.training import batches, evaluate
from model.training.batches import make_batch
from model.training.evaluate import predict_split
from model.training.evaluation import Evaluation
from model.training.trial import Training
from tests.support import tiny

ALL = ("sst", "quora", "sts", "cfimdb")


def one_by_one(network: MultitaskNetwork, config: TrialConfig, task: str, split: str, n: int) -> np.ndarray:
    """Predictions of each example alone in its batch, in eval mode."""
    network.eval()
    found = []
    with torch.no_grad():
        for index in range(n):
            batch = make_batch(tiny.data(), config, task, split, np.array([index]))
            logits = network(batch, network.embed(batch.input_ids))[0]
            found.append(float(logits.argmax()) if TASKS[task].kind == "classification" else float(logits[0].clamp(0, 5)))
    return np.array(found)


@pytest.mark.parametrize("encoding", ["cosine", "cross", "concat_pooled"])
@pytest.mark.parametrize("tokens", [8192, 100, 1])
def test_predictions_are_those_of_each_example_alone(
    tiny_backbone: Path, encoding: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "EVAL_TOKENS", tokens)
    config = tiny.config(tiny_backbone, mixture=ALL, pair_encoding=encoding)
    network = build(config)
    for task in ALL:
        n = len(tiny.data().tasks[task]["dev"])
        found = predict_split(network, tiny.data(), config, task, "dev", np.arange(n))
        np.testing.assert_allclose(found, one_by_one(network, config, task, "dev", n), atol=1e-5)


@pytest.mark.parametrize("encoding", ["cosine", "cross"])
@pytest.mark.parametrize("task", ALL)
def test_batches_of_an_evaluation_keep_to_their_tokens(tiny_backbone: Path, task: str, encoding: str) -> None:
    """Each example once; a batch is within the limit, and the first example of the next batch would exceed it."""
    config = tiny.config(tiny_backbone, mixture=ALL, pair_encoding=encoding)
    indices = np.arange(len(tiny.data().tasks[task]["train"]))
    chosen = list(batches.in_length_order(tiny.data(), config, task, "train", indices, 200))
    assert sorted(np.concatenate(chosen)) == list(indices)
    assert len(chosen) < len(indices)
    for positions in chosen:
        made = make_batch(tiny.data(), config, task, "train", indices[positions])
        assert made.input_ids.numel() <= 200 or len(positions) == 1


def test_an_evaluation_on_a_cpu_keeps_to_what_its_caches_hold(tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = build(tiny.config(tiny_backbone))
    assert batches.eval_tokens(network) == batches.EVAL_TOKENS
    monkeypatch.setattr(network.encoder.config, "intermediate_size", 3072)  # BERT-base
    assert batches.eval_tokens(network) == 1024


def test_predictions_are_in_the_order_of_the_indices(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone)
    network = build(config)
    whole = predict_split(network, tiny.data(), config, "sts", "select", np.arange(24))
    asked = np.array([7, 0, 23, 7])
    np.testing.assert_allclose(predict_split(network, tiny.data(), config, "sts", "select", asked), whole[asked], atol=1e-5)
    assert predict_split(network, tiny.data(), config, "sts", "select", np.arange(0)).shape == (0,)


def test_modes_are_left_as_they_were(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone)
    network = build(config)
    for training in (True, False):
        network.train(training)
        predict_split(network, tiny.data(), config, "sst", "dev", np.arange(3))
        assert {module.training for module in network.modules()} == {training}


def test_a_frozen_encoder_stays_in_eval_mode(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone, mode="pretrain")
    network = build(config).train()
    network.encoder.eval()
    predict_split(network, tiny.data(), config, "sst", "dev", np.arange(3))
    assert {module.training for module in network.encoder.modules()} == {False}
    assert network.dropout.training


def test_dropout_is_off(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone, optim={"batch_size": 8, "dropout": 0.9})
    network = build(config).train()
    first, second = (predict_split(network, tiny.data(), config, "sts", "dev", np.arange(24)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_metrics_of_the_mixture_on_the_split(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone, mixture=["sts", "sst"])
    network = build(config)
    found = evaluate.evaluate(network, tiny.data(), config, "dev", Rank())
    expected: dict[str, float] = {}
    for task in config.mixture:
        labels = tiny.data().tasks[task]["dev"].labels
        predicted = predict_split(network, tiny.data(), config, task, "dev", np.arange(len(labels)))
        expected |= metrics.compute(TASKS[task], predicted, labels)
    assert found == expected
    assert list(found) == ["sts/pearson", "sts/spearman", "sst/accuracy", "sst/f1"]


def test_a_limit_takes_the_stratified_part(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone)
    network = build(config)
    found = evaluate.evaluate(network, tiny.data(), config, "select", Rank(), tasks=["sts"], limit=9)
    labels = tiny.data().tasks["sts"]["select"].labels
    part = evaluate.stratified(labels, 9)
    predicted = predict_split(network, tiny.data(), config, "sts", "select", part)
    assert found == metrics.compute(TASKS["sts"], predicted, labels[part])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 80))
def test_the_stratified_part_has_its_share_of_every_label(classes: list[int], size: int) -> None:
    labels = np.array(classes, dtype=np.float32)
    part = evaluate.stratified(labels, size)
    assert part.tolist() == sorted(set(part.tolist()))
    assert len(part) == min(size, len(labels))
    for label in set(classes):
        share = len(part) * classes.count(label) / len(classes)
        assert abs((labels[part] == label).sum() - share) <= 1


def test_the_stratified_part_of_a_regression_has_its_quantiles() -> None:
    labels = np.random.default_rng(0).permutation(np.arange(1000, dtype=np.float32))
    assert labels[evaluate.stratified(labels, 10)].tolist() != sorted(labels[evaluate.stratified(labels, 10)])
    assert sorted(labels[evaluate.stratified(labels, 10)]) == [50, 150, 250, 350, 450, 550, 650, 750, 850, 950]


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_are_no_predictions(tiny_backbone: Path, broken: float) -> None:
    """An argmax turns NaN into class 0, and clipping turns infinity into 5; neither is a valid prediction."""
    config = tiny.config(tiny_backbone, mixture=ALL)
    network = build(config)
    for head in network.heads.values():
        torch.nn.init.constant_(head.bias, broken)
    for task in ALL:
        found = predict_split(network, tiny.data(), config, task, "dev", np.arange(24))
        assert np.isnan(found).all()
    assert all(np.isnan(value) for value in evaluate.evaluate(network, tiny.data(), config, "dev", Rank()).values())


def test_evaluation_draws_no_random_numbers(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone)
    network = build(config)
    before = torch.get_rng_state()
    evaluate.evaluate(network, tiny.data(), config, "dev", Rank())
    assert torch.equal(torch.get_rng_state(), before)


class TestWatchedSplits:
    """Measured in addition to `select`, under separate names."""

    def test_are_what_evaluating_them_gives(self, tiny_backbone: Path) -> None:
        config = tiny.config(tiny_backbone, mixture=("sst", "sts"), watch=("dev", "train"))
        network, rank = build(config), Rank()
        found = evaluate.evaluate_watched(network, tiny.data(), config, rank)
        expected = {
            f"{split}/{name}": value
            for split in ("dev", "train")
            for name, value in evaluate.evaluate(network, tiny.data(), config, split, rank).items()
        }
        assert found == expected
        assert {metrics.split_of(name) for name in found} == {"dev", "train"}

    def test_are_looked_at_for_the_tasks_that_have_them(self, tiny_backbone: Path) -> None:
        arms = {"clean": "dev", "inverted": "train"}
        data = tiny.data()
        review_arms = data.tasks["cfimdb"] | {arm: data.tasks["cfimdb"][split] for arm, split in arms.items()}
        cued = replace(data, tasks={**data.tasks, "cfimdb": review_arms})
        config = tiny.config(tiny_backbone, mixture=("sst", "cfimdb"), watch=("clean", "inverted"))
        network, rank = build(config), Rank()
        found = evaluate.evaluate_watched(network, cued, config, rank)
        assert all("sst" not in name for name in found)
        gap = found["clean/cfimdb/accuracy"] - found["inverted/cfimdb/accuracy"]
        assert found["cue_gap/cfimdb/accuracy"] == gap

    def test_are_in_every_evaluation_of_a_trial(self, tiny_backbone: Path) -> None:
        short = {"budget": {"examples": 48, "evaluations": 2}}
        plain = list(Training(tiny.config(tiny_backbone, **short), tiny.data()))
        watching = list(Training(tiny.config(tiny_backbone, **short, watch=("dev",)), tiny.data()))
        for before, after in zip(plain, watching, strict=True):
            assert isinstance(before, Evaluation) and isinstance(after, Evaluation)
            added = {name: value for name, value in after.metrics.items() if name not in before.metrics}
            assert {metrics.split_of(name) for name in added} == {"dev"}
            assert before.metrics == {name: after.metrics[name] for name in before.metrics}, "watching changes nothing"


def test_split_of_a_metric_name() -> None:
    assert metrics.split_of("sst/accuracy") == "select"
    assert metrics.split_of("dev-inverted/cfimdb/accuracy") == "dev-inverted"
    assert metrics.on_split("dev", {"sst/accuracy": 0.5}) == {"dev/sst/accuracy": 0.5}
