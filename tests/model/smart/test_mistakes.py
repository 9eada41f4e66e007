"""Regression tests for the mistakes of published SMART implementations (the table in docs/mathematics.md, section 1).

Projection, normalisation, padding and β have their tests in test_smart_inner.py and test_smart_outer.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax
from torch import Tensor, nn

from model.encoder.network import mean_pool
from model.loss import divergence_of
from model.smart import smoothness
from model.tasks import TASKS
from model.training.evaluate import predict_split
from tests.support import steps, tiny

EVERY = list(TASKS)
BF16 = {"engine": {"precision": "bf16"}, "mixture": EVERY}
LOGITS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3)


@pytest.fixture
def deltas(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Every δ that the inner maximisation returns during a test."""
    perturb, seen = smoothness.perturb, []
    monkeypatch.setattr(smoothness, "perturb", lambda *args, **kwargs: seen.append(perturb(*args, **kwargs)) or seen[-1])
    return seen


@pytest.mark.parametrize("n_steps", [0, 1, 3])
def test_epsilon_bounds_delta_under_the_published_settings(tiny_backbone, deltas, n_steps) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.1, smart={"steps": n_steps}, mixture=EVERY)
    loss(steps.batches_of(loss.config), 0)
    bound = torch.tensor(1e-5)
    assert len(deltas) == 4
    assert all(delta.abs().max() <= bound for delta in deltas)
    # η is a hundred times ε: after a step most of δ lies on the boundary.
    assert n_steps == 0 or all((delta.abs() == bound).float().mean() > 0.5 for delta in (deltas[0], deltas[3]))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pair_encoding", ["concat_pooled", "cross"])
def test_without_delta_the_word_embeddings_give_what_the_token_ids_give(tiny_backbone, training, pair_encoding) -> None:
    network = steps.loss_of(tiny_backbone, dropout=0.3, mixture=EVERY, pair_encoding=pair_encoding).network.train(training)
    network.encoder.set_attn_implementation("sdpa")  # with padding, dropout draws for as many places as the reference's
    for batch in steps.batches_of(tiny.config(tiny_backbone, mixture=EVERY, pair_encoding=pair_encoding)):
        torch.manual_seed(0)
        found = network(batch, network.embed(batch.input_ids) + 0.0)
        torch.manual_seed(0)
        ids, mask, types = (x.flatten(0, 1) for x in (batch.input_ids, batch.mask, batch.token_types))
        hidden = network.encoder(ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        sides = mean_pool(hidden, mask).view(len(batch.input_ids), -1, hidden.shape[-1])
        assert torch.equal(found, network.heads[batch.task](network.dropout(torch.cat(tuple(sides), -1))))


@pytest.mark.parametrize("task", ["sst", "sts"])
def test_the_gradient_flows_through_both_arguments(tiny_backbone, task, monkeypatch) -> None:
    loss = steps.loss_of(tiny_backbone, double=True, smart=steps.WIDE, mixture=[task])
    network, batch, divergence = loss.network, steps.batch_of(loss.config, task), divergence_of(task)
    generator = torch.Generator().manual_seed(0)
    embeddings = network.embed(batch.input_ids)
    delta = 1e-2 * torch.randn(embeddings.shape, generator=generator, dtype=torch.float64).sign() * batch.mask.unsqueeze(-1)
    moved, clean = network(batch, network.embed(batch.input_ids) + delta), network(batch, embeddings)

    def gradient(value: Tensor) -> Tensor:
        parameters = list(loss.parameters())
        found = torch.autograd.grad(value.mean(), parameters, retain_graph=True, allow_unused=True)
        return torch.cat([g.flatten() for g in found if g is not None])

    both = gradient(divergence(moved, clean))
    detached = gradient(divergence(moved, clean.detach()))
    through_clean = gradient(divergence(moved.detach(), clean))
    torch.testing.assert_close(detached + through_clean, both)
    assert (detached - both).norm() > 0.1 * both.norm()
    monkeypatch.setattr(smoothness, "perturb", lambda *_, **__: delta)  # the same δ in the loss itself
    torch.testing.assert_close(gradient(steps.smoothness(loss, batch)), both)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(LOGITS, LOGITS, st.sampled_from([torch.float32, torch.bfloat16]))
def test_symmetric_kl_is_a_divergence_for_any_logits(p, q, dtype) -> None:
    one = torch.tensor([p], dtype=dtype, requires_grad=True)
    other = torch.tensor([q], dtype=dtype, requires_grad=True)
    found = smoothness.symmetric_kl(one, other)
    assert found.dtype == torch.float32
    assert found >= 0
    assert torch.equal(found, smoothness.symmetric_kl(other, one))
    assert smoothness.symmetric_kl(one, one) == 0
    found.sum().backward()
    assert one.grad.isfinite().all()
    assert other.grad.isfinite().all()
    log_p, log_q = (log_softmax(x.detach().double().numpy()[0]) for x in (one, other))
    expected = (np.exp(log_p) * (log_p - log_q)).sum() + (np.exp(log_q) * (log_q - log_p)).sum()
    assert float(found.detach()) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_symmetric_kl_survives_extreme_logits() -> None:
    extremes = torch.tensor([[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4], [0.0, 0.0]])
    found = smoothness.symmetric_kl(extremes.repeat_interleave(4, 0), extremes.repeat(4, 1))
    assert torch.equal(found.view(4, 4) > 0, torch.tensor([[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]).bool())
    assert found.isfinite().all()


@pytest.mark.parametrize("task", EVERY)
def test_a_head_of_one_logit_uses_the_squared_error(task) -> None:
    one_logit = TASKS[task].n_classes == 1
    assert one_logit == (divergence_of(task) is smoothness.squared_error) == (TASKS[task].kind == "regression")
    p, q = torch.tensor([[1.5]]), torch.tensor([[-0.5]])
    assert smoothness.symmetric_kl(p, q) == 0  # what a softmax over one logit would silently give
    assert smoothness.squared_error(p, q) == 4.0


@pytest.mark.parametrize("mode", ["finetune", "pretrain"])
@pytest.mark.parametrize("training", [True, False])
def test_evaluation_turns_all_dropout_off_and_puts_it_back(tiny_backbone, mode, training) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.5, mode=mode, mixture=["quora"])
    network = loss.network
    if not training:
        loss.eval()
    before = {name: module.training for name, module in network.named_modules()}
    during: set[bool] = set()
    hooks = [m.register_forward_hook(lambda module, *_: during.add(module.training)) for m in network.modules()]
    predicted = [predict_split(network, tiny.data(), loss.config, "quora", "select", np.arange(24)) for _ in range(2)]
    for hook in hooks:
        hook.remove()
    assert during == {False}
    assert np.array_equal(*predicted)
    assert {name: module.training for name, module in network.named_modules()} == before
    assert network.dropout.training is training


def test_attention_dropout_is_on_in_training_and_off_in_evaluation(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.5, mixture=["sst"])
    encoder, batch = loss.network.encoder, steps.batch_of(loss.config, "sst")
    attention = encoder.encoder.layer[0].attention.self
    assert attention.dropout.p == 0.5
    assert {m.p for m in encoder.modules() if isinstance(m, nn.Dropout)} == {0.5}
    hidden = torch.randn(2, batch.mask.shape[-1], 32, generator=torch.Generator().manual_seed(0))
    for mode, same in ((True, False), (False, True)):
        encoder.train(mode)
        assert torch.equal(attention(hidden)[0], attention(hidden)[0]) is same


def test_bf16_keeps_delta_logits_and_divergences_in_float32(tiny_backbone, deltas) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.1, smart={"epsilon": 4e-3, "eta": 4e-3}, **BF16)
    value, gradients = steps.run(loss, steps.batches_of(loss.config))
    assert value.isfinite()
    assert value.dtype == torch.float32
    assert {term.dtype for term in loss.terms.values()} == {torch.float32}
    assert {delta.dtype for delta in deltas} == {torch.float32}
    assert all(delta.abs().max() <= torch.tensor(4e-3) for delta in deltas)
    assert all(gradient.isfinite().all() and gradient.dtype == torch.float32 for gradient in gradients.values())
    with torch.autocast("cpu", torch.bfloat16):
        for batch in steps.batches_of(loss.config):
            assert loss.network(batch, loss.network.embed(batch.input_ids)).dtype == torch.float32


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("pair_encoding", ["concat_pooled", "cosine", "cross"])
def test_bf16_does_not_round_the_inner_gradient_away(tiny_backbone, deltas, pair_encoding, pooling) -> None:
    """With bf16 logits f(x + δ) = f(x) for most examples, the gradient in δ is 0 and δ stays at its tiny start."""
    wide = {"epsilon": 1e-2, "eta": 1e-2, "sigma": 1e-3, "mu": 0.0}
    loss = steps.loss_of(tiny_backbone, smart=wide, pair_encoding=pair_encoding, pooling=pooling, **BF16)
    exact = steps.loss_of(tiny_backbone, smart=wide, pair_encoding=pair_encoding, pooling=pooling, mixture=EVERY)
    batches = steps.batches_of(loss.config, range(16))
    for each in (loss, exact):
        each(batches, 0)
    assert all((delta.abs().amax((0, 2, 3)) > 5e-3).all() for delta in deltas)
    for task in EVERY:
        name = f"{task}/smoothness"
        assert float(loss.terms[name]) == pytest.approx(float(exact.terms[name]), rel=0.2)


def test_bf16_gradients_are_close_to_those_of_float32(tiny_backbone) -> None:
    wide = {"epsilon": 1e-2, "eta": 1e-2, "sigma": 1e-3}
    found = []
    for precision in ("fp32", "bf16"):
        loss = steps.loss_of(tiny_backbone, smart=wide, mixture=EVERY, engine={"precision": precision})
        steps.shift(loss.teacher.network, 0.01)
        _, gradients = steps.run(loss, steps.batches_of(loss.config))
        found.append(torch.cat([gradient.flatten() for gradient in gradients.values()]))
    assert found[0].shape == found[1].shape  # no weight lost its gradient to autocast's cache
    assert nn.functional.cosine_similarity(*found, dim=0) > 0.99
