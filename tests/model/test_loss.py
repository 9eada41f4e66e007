"""The loss of a step: its terms and their weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from model.loss import supervised_loss
from model.tasks import TASKS
from tests.support import steps

EVERY = list(TASKS)
MOVED = {**steps.WIDE, "mu": 0.7, "lambda": 3.0}


def parts(loss, kind: str) -> dict[str, float]:
    """The step's terms of one kind, by task."""
    return {name.partition("/")[0]: float(value) for name, value in loss.terms.items() if name.endswith(f"/{kind}")}


@pytest.mark.parametrize(
    ("mixing", "weights"),
    [
        ({"loss_weights": "equal"}, dict.fromkeys(EVERY, 1.0)),
        (
            {"loss_weights": "log_classes"},
            {"sst": 1 / math.log(5), "quora": 1 / math.log(2), "sts": 1.0, "cfimdb": 1 / math.log(2)},
        ),
        (
            {"loss_weights": "explicit", "weights": {"sst": 0.5, "quora": 2.0, "sts": 0.0, "cfimdb": 1.5}},
            {"sst": 0.5, "quora": 2.0, "sts": 0.0, "cfimdb": 1.5},
        ),
    ],
)
def test_the_loss_is_the_weighted_sum_over_tasks(tiny_backbone, mixing, weights) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.1, smart={"enabled": False}, mixing=mixing, mixture=EVERY)
    value, _ = steps.run(loss, steps.batches_of(loss.config))
    supervised = parts(loss, "loss")
    assert supervised.keys() == weights.keys()
    assert float(value) == pytest.approx(sum(weights[task] * supervised[task] for task in EVERY), rel=1e-6)


def test_lambda_and_mu_weigh_their_terms_whatever_the_loss_weights(tiny_backbone) -> None:
    mixing = {"loss_weights": "explicit", "weights": {"sst": 0.5, "sts": 2.0}}
    loss = steps.loss_of(tiny_backbone, smart=MOVED, mixing=mixing, mixture=["sst", "sts"])
    steps.shift(loss.teacher.network, 0.05)
    value, _ = steps.run(loss, steps.batches_of(loss.config))
    supervised, smooth, bregman = (parts(loss, kind) for kind in ("loss", "smoothness", "bregman"))
    assert min(smooth.values()) > 0
    assert min(bregman.values()) > 0
    expected = 0.5 * supervised["sst"] + 2.0 * supervised["sts"] + 3.0 * sum(smooth.values()) + 0.7 * sum(bregman.values())
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_uncertainty_has_kendalls_closed_form_and_optimum(tiny_backbone) -> None:
    loss = steps.loss_of(
        tiny_backbone, smart={"enabled": False}, mixing={"loss_weights": "uncertainty"}, mixture=["sst", "sts"]
    )
    assert {name: s.item() for name, s in loss.log_variance.items()} == {"sst": 0.0, "sts": 0.0}
    s = {"sst": 0.4, "sts": -0.7}
    with torch.no_grad():
        for task, value in s.items():
            loss.log_variance[task].fill_(value)
    value, gradients = steps.run(loss, steps.batches_of(loss.config))
    supervised = parts(loss, "loss")
    scale = {"sst": 1.0, "sts": 0.5}
    terms = {task: scale[task] * math.exp(-s[task]) * supervised[task] for task in s}
    assert float(value) == pytest.approx(sum(terms.values()) + 0.5 * sum(s.values()), rel=1e-6)
    for task, term in terms.items():
        assert float(gradients[f"log_variance.{task}"]) == pytest.approx(0.5 - term, rel=1e-5)
    with torch.no_grad():
        for task in s:  # where the gradient vanishes: σ² is the loss, twice the loss for classes
            loss.log_variance[task].fill_(math.log(2 * scale[task] * supervised[task]))
    _, gradients = steps.run(loss, steps.batches_of(loss.config))
    assert all(abs(float(gradients[f"log_variance.{task}"])) < 1e-5 for task in s)


def test_other_weights_learn_no_variance(tiny_backbone) -> None:
    assert not steps.loss_of(tiny_backbone).log_variance


def test_a_step_on_several_tasks_is_the_sum_of_steps_on_each(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, smart=MOVED, mixture=EVERY)
    steps.shift(loss.teacher.network, 0.05)
    batches = steps.batches_of(loss.config)
    value, together = steps.run(loss, batches)
    single = [steps.run(loss, [batch], seed=9) for batch in batches]
    assert float(value) == pytest.approx(sum(float(one) for one, _ in single), rel=1e-6)
    for name, gradient in together.items():
        parts_ = [gradients[name] for _, gradients in single if name in gradients]
        torch.testing.assert_close(sum(parts_), gradient, rtol=1e-4, atol=1e-5)


def test_a_task_that_a_step_leaves_out_gets_no_gradient_and_no_term(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, mixture=EVERY)
    _, gradients = steps.run(loss, [steps.batch_of(loss.config, "sts")])
    assert {name.split(".")[2] for name in gradients if name.startswith("network.heads")} == {"sts"}
    assert set(loss.terms) == {"sts/loss", "sts/smoothness", "sts/bregman"}


def test_the_seed_of_a_step_fixes_its_dropout(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.3, mixture=["sst"])
    batches = steps.batches_of(loss.config)
    (first, gradients), (again, gradients_again), (other, _) = (steps.run(loss, batches, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    steps.assert_same(gradients, gradients_again)
    assert first != other


@pytest.mark.parametrize("task", EVERY)
def test_supervised_loss_is_cross_entropy_or_the_squared_error_of_each_example(tiny_backbone, task) -> None:
    batch = steps.batch_of(steps.loss_of(tiny_backbone, mixture=EVERY).config, task)
    logits = torch.randn(6, TASKS[task].n_classes, generator=torch.Generator().manual_seed(0))
    labels, scores = batch.labels.numpy(), logits.double().numpy()
    if TASKS[task].kind == "regression":
        expected = (scores[:, 0] - labels) ** 2
    else:
        expected = np.log(np.exp(scores).sum(1)) - scores[np.arange(6), labels]
    found = supervised_loss(batch, logits)
    assert found.shape == (6,)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
