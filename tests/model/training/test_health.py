"""The regulariser's health at an evaluation, and the alarms derived from it."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.loss import MultitaskLoss
from model.smart.alarms import MEANINGS, alarms
from model.smart.variants import VARIANTS
from model.training import health
from model.training.evaluation import Evaluation
from model.training.trial import Training
from tests.support import steps, tiny

GEOMETRY = {"delta_inf", "delta_l2", "saturated", "cos_delta_gradient", "rounded_away", "gain_over_random"}
EVERY = ["sst", "quora", "sts"]


def measured(loss: MultitaskLoss, lambda_factor: float = 1.0) -> dict[str, float]:
    return health.measure(loss, steps.batches_of(loss.config), 0, lambda_factor)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("mode", ["finetune", "pretrain"])
def test_every_task_has_its_numbers_and_nothing_is_disturbed(tiny_backbone, variant, mode) -> None:
    smart = {**steps.WIDE, "variant": variant, "lambda": 3.0, "task_lambda": {"sts": 2.0}}
    loss = steps.loss_of(tiny_backbone, dropout=0.1, smart=smart, mixture=EVERY, mode=mode)
    stream, modes = torch.get_rng_state(), [module.training for module in loss.modules()]
    found = measured(loss, 0.5)
    geometry = GEOMETRY if variant != "rdrop" else set()
    assert set(found) == {f"{task}/{name}" for task in EVERY for name in (*geometry, "lambda")} | {"smart/time_share"}
    assert [found[f"{task}/lambda"] for task in EVERY] == [1.5, 1.5, 1.0]
    assert all(math.isfinite(value) for value in found.values())
    assert 0 <= found["smart/time_share"] <= 1, "what the clock says is not asserted"
    assert torch.equal(torch.get_rng_state(), stream)
    assert [module.training for module in loss.modules()] == modes
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_a_step_beyond_the_bound_ends_at_a_vertex_up_the_gradient(tiny_backbone) -> None:
    """η ≫ ε: nearly every coordinate is saturated, δ has the gradient's signs, and beats a random vertex by far."""
    loss = steps.loss_of(
        tiny_backbone, smart={"epsilon": 1e-3, "sigma": 1e-3, "eta": 1e3, "steps": 3, "mu": 0.0}, mixture=EVERY
    )
    found = measured(loss)
    for task in EVERY:
        assert found[f"{task}/delta_inf"] == pytest.approx(1.0)
        assert found[f"{task}/saturated"] > 0.9
        assert found[f"{task}/delta_l2"] == pytest.approx(1.0, abs=0.05)
        assert found[f"{task}/cos_delta_gradient"] > 0.6
        assert found[f"{task}/gain_over_random"] > 5
        assert found[f"{task}/rounded_away"] < 0.01


def test_a_random_delta_gains_nothing_and_has_no_direction(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, smart={**steps.WIDE, "sigma": 1e-3, "variant": "r3f"}, mixture=["sst", "sts"])
    found = measured(loss)
    for task in ("sst", "sts"):
        assert found[f"{task}/gain_over_random"] < 1  # of the same largest coordinate, but with smaller others
        assert found[f"{task}/saturated"] == 0
        assert found[f"{task}/cos_delta_gradient"] < 0.3
        assert found[f"{task}/delta_l2"] == pytest.approx(0.1, rel=0.1)  # σ/ε


def test_geometry_is_the_written_out_arithmetic(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, smart=steps.WIDE, mixture=["quora"], pair_encoding="concat_pooled")
    batch = steps.batch_of(loss.config, "quora")
    embeddings = loss.network.embed(batch.input_ids)
    view = loss.view(batch, embeddings, loss.network(batch, embeddings), None)
    generator = torch.Generator().manual_seed(0)
    delta = (0.02 * torch.rand(embeddings.shape, generator=generator) - 0.01) * batch.mask.unsqueeze(-1)
    delta = delta.clamp(-0.008, 0.01)
    delta[:, 0] = 0.0
    found = health.geometry(view, delta, batch, loss.config)
    each = [delta[:, i][batch.mask[:, i] == 1].numpy().astype(np.float64) for i in range(len(batch.labels))]
    assert found["delta_inf"] == pytest.approx(np.mean([np.abs(d).max() / 1e-2 for d in each]), rel=1e-5)
    assert found["delta_l2"] == pytest.approx(np.mean([np.sqrt((d**2).mean()) / 1e-2 for d in each]), rel=1e-5)
    assert found["saturated"] == 0.0
    n_first, n_all = each[0].size, sum(d.size for d in each)
    assert found["rounded_away"] == pytest.approx(n_first / n_all, abs=1e-3)


def test_delta_that_rounds_away_is_seen(tiny_backbone) -> None:
    """In bf16 adding 1e-5 does not change most embeddings; the schema rejects this ε, so the test bypasses it."""
    shares = {}
    for precision in ("fp32", "bf16"):
        loss = steps.loss_of(
            tiny_backbone, smart={"epsilon": 1e-2, "mu": 0.0}, mixture=["sst"], engine={"precision": precision}
        )
        narrow = loss.config.smart.model_copy(update={"epsilon": 1e-5})
        loss.config = loss.config.model_copy(update={"smart": narrow})
        shares[precision] = measured(loss)["sst/rounded_away"]
    assert shares["fp32"] < 0.01
    assert shares["bf16"] > 0.5


def evaluations(config: Any, folder: Path | None = None, save_to: Path | None = None) -> list[Evaluation]:
    with closing(Training(config, tiny.data())) as training:
        if folder is not None:
            training.load(folder)
        found = []
        for reported in training:
            assert isinstance(reported, Evaluation)
            found.append(reported)
            if save_to is not None and len(found) == 1:
                training.save(save_to)
        return found


def without_clock(evaluation: Evaluation) -> dict[str, float]:
    return {name: value for name, value in evaluation.health.items() if name != "smart/time_share"}


@pytest.mark.slow
def test_every_evaluation_has_the_health_also_after_a_resume(tiny_backbone, tmp_path) -> None:
    smart = {"lambda_schedule": "warmup", "lambda_warmup": 0.8, "mu": 0.0}
    config = tiny.config(tiny_backbone, smart=smart, budget={"examples": 120, "evaluations": 2})
    whole = evaluations(config, save_to=tmp_path / "checkpoint")
    (resumed,) = evaluations(config, folder=tmp_path / "checkpoint")
    assert without_clock(resumed) == without_clock(whole[1]) != without_clock(whole[0])
    assert whole[0].health["sst/lambda"] < whole[1].health["sst/lambda"] == 1.0
    assert alarms(whole[1].health, whole[1].losses) == {}


def test_without_a_regulariser_there_is_no_health(tiny_backbone) -> None:
    (only,) = evaluations(
        tiny.config(tiny_backbone, smart={"enabled": False}, budget={"examples": 48, "evaluations": 1}),
    )
    assert only.health == {}
    assert alarms(only.health, only.losses) == {}


def test_r_drop_without_dropout_raises_the_alarm(tiny_backbone) -> None:
    config = tiny.config(
        tiny_backbone,
        smart={"variant": "rdrop", "mu": 0.0},
        optim={"batch_size": 8, "dropout": 0.0},
        budget={"examples": 48, "evaluations": 1},
    )
    (only,) = evaluations(config)
    assert alarms(only.health, only.losses) == {"smart-no-op": ["quora", "sst", "sts"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"sst/smoothness": 0.0}, {"smart-no-op": ["sst"]}),
        ({"sts/rounded_away": 0.6}, {"smart-underflow": ["sts"]}),
        ({"sts/rounded_away": 0.5}, {}),
        ({"sst/smoothness": 5.0}, {}),  # λ·R_s is 10 L, and no more
        ({"sst/smoothness": 5.1}, {"smart-dominates": ["sst"]}),
        ({"sst/smoothness": 5.1, "sts/smoothness": 6.0}, {"smart-dominates": ["sst", "sts"]}),
        ({"sst/smoothness": 5.1, "sts/smoothness": 0.0}, {"smart-dominates": ["sst"], "smart-no-op": ["sts"]}),
    ],
)
def test_alarms_follow_from_the_numbers(change, expected) -> None:
    losses = {f"{task}/{term}": value for task in ("sst", "sts") for term, value in (("loss", 1.0), ("smoothness", 0.1))}
    numbers = {f"{task}/{name}": value for task in ("sst", "sts") for name, value in (("lambda", 2.0), ("rounded_away", 0.0))}
    changed = {**losses, **numbers, **change}
    found = alarms({name: changed[name] for name in numbers}, {name: changed[name] for name in losses})
    assert found == expected
    assert set(found) <= set(MEANINGS)


def test_the_batch_is_spread_over_the_training_set() -> None:
    assert health.spread(100, 4).tolist() == [0, 33, 66, 99]
    assert health.spread(3, 8).tolist() == [0, 1, 2]
    assert health.spread(1, 8).tolist() == [0]


def test_a_short_trial_measures_fewer_examples_and_none_more_than_there_is_memory_for() -> None:
    assert health.n_examples(trained=10_000.0, micro_batch=32) == health.MOST_EXAMPLES
    assert health.n_examples(trained=10_000.0, micro_batch=4) == 4
    assert health.n_examples(trained=50.0, micro_batch=32) == health.FEWEST_EXAMPLES
    assert health.n_examples(trained=50.0, micro_batch=1) == 1
    for trained in (100.0, 150.0, 200.0, 500.0):
        size = health.n_examples(trained, micro_batch=32)
        assert size == health.FEWEST_EXAMPLES or size * health.COST <= health.SHARE * trained
