"""The SMART variants: the properties of all of them, and those of each (docs/variants.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor

from model.config import ConfigError, SmartConfig, parse
from model.loss import MultitaskLoss
from model.smart import smoothness
from model.smart.config import cost_in_plain_steps
from model.smart.variants import VARIANTS
from model.smart.variants.mtdnn import detached_kl, stable_kl
from model.smart.variants.view import View
from model.tasks import TASKS
from tests.support import steps

NAMES = tuple(VARIANTS)
EVERY = list(TASKS)


def loss_of(backbone: Any, variant: str, *, mixture: list[str] = EVERY, dropout: float = 0.0, **smart_: Any) -> MultitaskLoss:
    return steps.loss_of(backbone, dropout=dropout, smart={**steps.WIDE, "variant": variant, **smart_}, mixture=mixture)


def view_of(loss: MultitaskLoss, task: str) -> View:
    """A batch of the task after its clean pass, without dropout."""
    batch = steps.batch_of(loss.config, task)
    embeddings = loss.network.embed(batch.input_ids)
    return loss.view(batch, embeddings, loss.network(batch, embeddings), None)


def flat_gradient(loss: MultitaskLoss, value: Tensor) -> Tensor:
    found = torch.autograd.grad(value.mean(), list(loss.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def test_every_name_has_its_variant_and_no_other() -> None:
    assert set(VARIANTS) == set(NAMES)
    assert SmartConfig().variant == "paper"


@pytest.mark.parametrize("variant", NAMES)
class TestContract:
    """Properties of every variant; a new one is covered by its entry in `VARIANTS`."""

    def test_smoothness_is_finite_positive_and_has_a_gradient_for_every_head(self, tiny_backbone, variant) -> None:
        loss = loss_of(tiny_backbone, variant, dropout=0.3)
        steps.run(loss, steps.batches_of(loss.config))
        found = [float(loss.terms[f"{task}/smoothness"]) for task in EVERY]
        assert all(0 < value < float("inf") for value in found)
        weighty = steps.loss_of(tiny_backbone, dropout=0.3, smart={"enabled": False}, mixture=EVERY)
        _, plain = steps.run(weighty, steps.batches_of(loss.config))
        _, gradients = steps.run(loss, steps.batches_of(loss.config))
        for task in EVERY:  # the regulariser moves the gradient of each head
            names = [name for name in gradients if name.startswith(f"network.heads.{task}.")]
            assert any(not torch.equal(gradients[name], plain[name]) for name in names)
        assert all(gradient.isfinite().all() for gradient in gradients.values())

    def test_the_search_of_delta_touches_no_gradient(self, tiny_backbone, variant) -> None:
        loss = loss_of(tiny_backbone, variant, steps=2)
        for task in EVERY:
            delta = VARIANTS[variant].delta(view_of(loss, task))
            assert not delta.requires_grad
        assert all(parameter.grad is None for parameter in loss.parameters())

    def test_delta_is_zero_at_padding_and_the_same_again(self, tiny_backbone, variant) -> None:
        loss = loss_of(tiny_backbone, variant, steps=2)
        view = view_of(loss, "quora")
        delta = VARIANTS[variant].delta(view).expand_as(view.embeddings)
        assert not delta[view.mask == 0].any()
        assert torch.equal(delta, VARIANTS[variant].delta(view).expand_as(view.embeddings))

    def test_delta_does_not_depend_on_the_batch(self, tiny_backbone, variant) -> None:
        loss = steps.loss_of(tiny_backbone, double=True, smart={**steps.WIDE, "variant": variant, "steps": 2}, mixture=["sst"])
        among = steps.smoothness(loss, steps.batch_of(loss.config, "sst", range(4)))
        alone = steps.smoothness(loss, steps.batch_of(loss.config, "sst", [2]))
        torch.testing.assert_close(among[2:3], alone, rtol=1e-4, atol=1e-12)

    def test_a_step_is_repeatable(self, tiny_backbone, variant) -> None:
        loss = loss_of(tiny_backbone, variant, dropout=0.3)
        batches = steps.batches_of(loss.config)
        (first, gradients), (again, gradients_again) = (steps.run(loss, batches, seed=3) for _ in range(2))
        assert torch.equal(first, again)
        steps.assert_same(gradients, gradients_again)

    def test_the_cost_counts_the_passes_that_are_made(self, tiny_backbone, variant) -> None:
        """A forward pass is 1; a backward one of the weights 2, of δ alone 1. `mu` is 0 here."""
        loss = loss_of(tiny_backbone, variant, mixture=["sst"], steps=3)
        n_forward = 0

        def count(*_: Any) -> None:
            nonlocal n_forward
            n_forward += 1

        with loss.network.encoder.register_forward_hook(count):
            steps.run(loss, steps.batches_of(loss.config))
        inner = n_forward - 2
        assert inner == loss.config.smart.inner_steps
        assert cost_in_plain_steps(loss.config.smart) == pytest.approx((3 + 2 * inner + 3) / 3)


@pytest.mark.parametrize("task", ["sst", "sts"])
def test_mtdnn_exceeds_the_bound(tiny_backbone, task) -> None:
    """After a step each token's δ has a largest coordinate near 1, a hundred times ε; the paper's is at most ε."""
    for variant, low, high in (("mtdnn", 0.3, 1.0), ("paper", 5e-3, 1e-2 * (1 + 1e-6))):
        loss = loss_of(tiny_backbone, variant)
        view = view_of(loss, task)
        largest = VARIANTS[variant].delta(view).abs().amax(-1)[view.mask == 1]
        assert low < largest.max() <= high
        assert variant == "paper" or largest.min() > low  # of every token


@pytest.mark.parametrize("task", ["sst", "sts"])
def test_mtdnn_is_the_published_arithmetic(tiny_backbone, task) -> None:
    """One step and the outer loss against the published formulas, written out for the whole batch."""
    loss = loss_of(tiny_backbone, "mtdnn", eta=0.5)
    view = view_of(loss, task)
    noise = view.start().requires_grad_()
    moved, clean = view.inner_logits_at(noise), view.clean.detach()
    if task == "sts":
        inner = torch.nn.functional.mse_loss(moved, clean, reduction="sum")
    else:
        p, y = moved.log_softmax(1).exp(), clean.log_softmax(1).exp()
        rp, ry = (-(1.0 / (x + 1e-6) - 1 + 1e-6).detach().log() for x in (p, y))
        inner = (p * (rp - ry) * 2).sum()
    (gradient,) = torch.autograd.grad(inner, noise)
    stepped = noise.detach() + 0.5 * gradient
    expected = stepped / (stepped.abs().max(-1, keepdim=True)[0] + loss.config.smart.epsilon)
    torch.testing.assert_close(VARIANTS["mtdnn"].delta(view), expected, rtol=1e-4, atol=1e-6)


def test_mtdnn_has_the_value_of_the_symmetric_kl_and_another_gradient(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, double=True, smart=steps.WIDE, mixture=["sst"])
    found = {}
    for variant in ("paper", "mtdnn"):
        view = view_of(loss, "sst")
        delta = VARIANTS["paper"].delta(view)  # the same δ for both
        value = VARIANTS[variant].smoothness(view, delta)
        found[variant] = value.detach(), flat_gradient(loss, value)
    torch.testing.assert_close(found["paper"][0], found["mtdnn"][0])
    difference = found["paper"][1] - found["mtdnn"][1]
    assert difference.norm() > 0.1 * found["paper"][1].norm()


def test_stable_kl_can_be_negative_and_its_targets_are_detached() -> None:
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(200, 3, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert (stable_kl(p, q) < 0).any()
    assert (smoothness.symmetric_kl(p, q) > 0).all()
    assert torch.autograd.grad(stable_kl(p, q).sum(), [p, q], allow_unused=True)[1] is None
    kl = detached_kl(p, q)
    expected = (softmax(q.detach(), 1) * (log_softmax(q.detach(), 1) - log_softmax(p.detach(), 1))).sum(1)
    np.testing.assert_allclose(kl.detach(), expected)
    assert torch.autograd.grad(kl.sum(), [p, q], allow_unused=True)[1] is None


def test_r3f_is_the_papers_with_no_step(tiny_backbone) -> None:
    found = []
    for smart_ in ({"variant": "r3f", "steps": 3}, {"variant": "paper", "steps": 0}):
        loss = loss_of(tiny_backbone, dropout=0.3, epsilon=5e-3, **smart_)
        found.append(steps.run(loss, steps.batches_of(loss.config)))
        delta = VARIANTS[smart_["variant"]].delta(view_of(loss, "sst"))
        assert delta.abs().max() == torch.tensor(5e-3)  # σ is twice ε: the projection is felt
    assert torch.equal(found[0][0], found[1][0])
    steps.assert_same(found[0][1], found[1][1])


def test_rdrop_is_zero_without_dropout_and_needs_no_shared_masks(tiny_backbone) -> None:
    for dropout in (0.0, 0.3):
        loss = loss_of(tiny_backbone, "rdrop", dropout=dropout)
        assert loss.config.smart.dropout_masks == "shared"
        steps.run(loss, steps.batches_of(loss.config))
        found = [float(loss.terms[f"{task}/smoothness"]) for task in EVERY]
        assert (max(found) == 0) if dropout == 0 else (min(found) > 0)


@pytest.mark.parametrize(("task", "factor"), [("sst", 0.5), ("sts", 1.0)])
def test_rdrop_halves_the_divergence_of_two_passes(tiny_backbone, task, factor) -> None:
    """Of the same two passes: R-Drop's ½(KL + KL) is half of ℓ_s, and a squared error is whole."""
    loss = loss_of(tiny_backbone, "rdrop", dropout=0.3)
    values = []
    for measure in (VARIANTS["rdrop"].smoothness, VARIANTS["paper"].smoothness):
        torch.manual_seed(7)
        view = view_of(loss, task)
        values.append(measure(view, VARIANTS["rdrop"].delta(view)))
    assert (values[1] > 0).all()
    torch.testing.assert_close(values[0], factor * values[1])


def test_only_the_settings_of_the_variant_are_checked() -> None:
    tiny_epsilon, no_sigma = {"epsilon": 1e-9}, {"sigma": 0.0}
    for variant in NAMES:
        for settings, refused in ((tiny_epsilon, variant in ("paper", "r3f")), (no_sigma, variant != "rdrop")):
            values = {"smart": {"variant": variant, **settings}}
            if refused:
                with pytest.raises(ConfigError):
                    parse(values)
            else:
                parse(values)
    with pytest.raises(ConfigError, match=r"smart\.variant"):
        parse({"smart": {"variant": "vat"}})


def test_cost_of_the_variants() -> None:
    for variant, expected in {"paper": 10 / 3, "mtdnn": 10 / 3, "r3f": 2.0, "rdrop": 2.0}.items():
        assert cost_in_plain_steps(SmartConfig(variant=variant, steps=2, mu=0.0)) == pytest.approx(expected)
        assert cost_in_plain_steps(SmartConfig(variant=variant, enabled=False)) == 1.0
