"""SMART in the loss of a real encoder: reference tests 1, 3, 7 to 11 and 14 of docs/mathematics.md, section 1."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from model.config import SmartConfig
from model.encoder.network import mean_pool
from model.loss import MultitaskLoss, Teacher
from model.smart import smoothness
from model.tasks import TASKS
from tests.support import steps

EVERY = list(TASKS)
few = settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["tiny", pytest.param("embedded", marks=pytest.mark.slow)])
def backbone(request: pytest.FixtureRequest, tiny_backbone: Path) -> Path:
    """A tiny encoder and the pretrained one."""
    return tiny_backbone if request.param == "tiny" else Path("embedded")


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("n_steps", [0, 2])
def test_01_zero_delta_gives_zero_smoothness_and_gradient(backbone, dropout, n_steps) -> None:
    nothing = {"sigma": 0.0, "steps": n_steps, "mu": 0.0, "lambda": 5.0}
    perturbed = steps.loss_of(backbone, dropout=dropout, smart=nothing, mixture=["sst", "sts"])
    plain = steps.loss_of(backbone, dropout=dropout, smart={"enabled": False}, mixture=["sst", "sts"])
    batches = steps.batches_of(plain.config, range(4))
    value, gradients = steps.run(perturbed, batches)
    expected, expected_gradients = steps.run(plain, batches)
    assert all(perturbed.terms[f"{task}/smoothness"] == 0 for task in ("sst", "sts"))
    assert torch.equal(value, expected)
    steps.assert_same(gradients, expected_gradients)


def test_01_shared_masks_at_zero_delta_are_the_same_and_independent_ones_differ(tiny_backbone) -> None:
    for masks in ("shared", "independent"):
        nothing = {"sigma": 0.0, "steps": 0, "mu": 0.0, "dropout_masks": masks}
        loss = steps.loss_of(tiny_backbone, dropout=0.3, smart=nothing, mixture=EVERY)
        steps.run(loss, steps.batches_of(loss.config))
        found = [float(loss.terms[f"{task}/smoothness"]) for task in EVERY]
        assert found == [0.0] * 4 if masks == "shared" else min(found) > 0


@pytest.mark.parametrize("task", EVERY)
def test_03_smoothness_of_an_example_ignores_padding_and_batch_mates(backbone, task, monkeypatch) -> None:
    loss = steps.loss_of(backbone, double=True, smart=steps.WIDE, mixture=[task], pair_encoding="concat_pooled")
    perturb, deltas = smoothness.perturb, []
    monkeypatch.setattr(smoothness, "perturb", lambda *args, **kwargs: deltas.append(perturb(*args, **kwargs)) or deltas[-1])
    together, alone = steps.batch_of(loss.config, task, range(4)), steps.batch_of(loss.config, task, [2])
    among, padded, single = (steps.smoothness(loss, x).detach() for x in (together, steps.padded(alone, 7), alone))
    assert single > 0
    torch.testing.assert_close(padded, single, rtol=1e-5, atol=0.0)
    torch.testing.assert_close(among[2:3], single, rtol=1e-5, atol=0.0)
    for delta, batch in zip(deltas, (together, steps.padded(alone, 7), alone), strict=True):
        assert delta.dtype == torch.float32
        assert not delta[batch.mask == 0].any()
        assert delta[batch.mask == 1].all()
        assert delta.abs().max() <= torch.tensor(loss.config.smart.epsilon)


@few
@given(lengths=st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=5), extra=st.integers(0, 6))
def test_03_noise_is_a_function_of_the_seed_and_zero_at_padding(lengths, extra) -> None:
    import numpy as np

    sizes = np.array(lengths).T
    seeds = np.arange(1000, 1000 + sizes.shape[1], dtype=np.uint64)
    length = int(sizes.max()) + extra
    noise = smoothness.example_noise(sizes, 3, sigma=0.5, seeds=seeds, length=length)
    assert noise.shape == (2, sizes.shape[1], length, 3)
    at_token = torch.arange(length) < torch.from_numpy(sizes).unsqueeze(-1)
    assert torch.equal(noise != 0, at_token.unsqueeze(-1).expand_as(noise))
    shortest = smoothness.example_noise(sizes[:, -1:], 3, sigma=0.5, seeds=seeds[-1:], length=int(sizes[:, -1].max()))
    assert torch.equal(noise[:, -1:, : shortest.shape[2]], shortest)


def test_03_noise_has_the_standard_deviation_sigma() -> None:
    import numpy as np

    noise = smoothness.example_noise(np.full((2, 8), 50), 64, sigma=1e-5, seeds=np.arange(8, dtype=np.uint64), length=50)
    assert noise.dtype == torch.float32
    assert float(noise.std()) == pytest.approx(1e-5, rel=0.02)
    assert abs(float(noise.mean())) < 5 * 1e-5 / math.sqrt(noise.numel())
    assert len({float(noise[0, example, 0, 0]) for example in range(8)}) == 8


@pytest.mark.parametrize("task", ["sst", "sts"])
def test_07_finite_differences_agree_with_autograd_through_both_arguments(tiny_backbone, task) -> None:
    # With K = 0, δ does not depend on the weights, so R_s is a plain function of them.
    loss = steps.loss_of(tiny_backbone, double=True, smart={**steps.WIDE, "steps": 0}, mixture=[task])
    batch = steps.batch_of(loss.config, task, range(3))
    parameters = [p for p in loss.parameters() if p.requires_grad]
    gradient = torch.autograd.grad(steps.smoothness(loss, batch).mean(), parameters)
    generator = torch.Generator().manual_seed(0)

    def moved(by: float) -> float:
        with torch.no_grad():
            torch._foreach_add_(parameters, direction, alpha=by)
            value = float(steps.smoothness(loss, batch).mean())
            torch._foreach_add_(parameters, direction, alpha=-by)
        return value

    for _ in range(4):
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        expected = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
        assert (moved(1e-6) - moved(-1e-6)) / 2e-6 == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("divergence", [smoothness.symmetric_kl, smoothness.squared_error])
def test_07_divergences_pass_gradcheck_in_both_arguments(divergence) -> None:
    generator = torch.Generator().manual_seed(0)
    p, q = (torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(divergence, (p, q))


def test_08_the_inner_loop_leaves_every_grad_none(backbone) -> None:
    loss = steps.loss_of(backbone, smart={"steps": 3}, mixture=["sst", "sts"])
    loss(steps.batches_of(loss.config, range(2)), 0)
    assert loss.terms["sts/smoothness"] > 0
    assert [name for name, p in loss.named_parameters() if p.grad is not None] == []
    assert [name for name, p in loss.teacher.network.named_parameters() if p.grad is not None or p.requires_grad] == []


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.99, 1.0])
def test_09_teacher_is_the_closed_form_after_n_updates(tiny_backbone, beta) -> None:
    network = steps.loss_of(tiny_backbone, mixture=["sst"]).network
    teacher, n = Teacher(network), 7
    expected = [beta**n * p.detach().double() for p in network.parameters()]
    for update in range(n):
        steps.shift(network, 0.1, seed=update)
        teacher.update(network, beta)
        weight = (1 - beta) * beta ** (n - 1 - update)
        expected = [e + weight * p.detach().double() for e, p in zip(expected, network.parameters(), strict=True)]
    for mine, closed in zip(teacher.network.parameters(), expected, strict=True):
        torch.testing.assert_close(mine.double(), closed, rtol=1e-5, atol=1e-6)


def test_09_beta_switches_after_the_first_tenth_of_the_updates() -> None:
    config = SmartConfig()
    assert [config.teacher_beta(update, 20) for update in range(20)] == [0.99] * 2 + [0.999] * 18
    for n in range(1, 1001):
        early = math.ceil(n / 10)
        assert config.teacher_beta(early - 1, n) == 0.99
        assert early == n or config.teacher_beta(early, n) == 0.999


def test_09_teacher_is_in_eval_mode_has_no_gradient_and_measures_the_distance(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.3, smart={"lambda": 0.0}, mixture=["sst", "quora", "sts"])
    teacher = loss.teacher.network
    assert loss.training
    assert not any(module.training for module in teacher.modules())
    assert {id(p) for p in teacher.parameters()}.isdisjoint(map(id, loss.parameters()))
    before = [p.clone() for p in teacher.parameters()]
    _, gradients = steps.run(loss, steps.batches_of(loss.config))
    assert all(gradients[name].any() for name in gradients if name.startswith("network.heads") and "bias" not in name)
    assert all(p.grad is None for p in teacher.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, teacher.parameters(), strict=True))
    still = steps.loss_of(tiny_backbone, smart={"lambda": 0.0}, mixture=["sst", "quora", "sts"])
    for moved in (False, True):
        steps.run(still, steps.batches_of(still.config))
        assert all(bool(still.terms[f"{task}/bregman"] > 0) is moved for task in still.config.mixture)
        steps.shift(still.network, 0.1)


@pytest.mark.parametrize("pair_encoding", ["concat_pooled", "cosine", "cross"])
def test_10_without_lambda_and_mu_a_step_is_bit_equal_to_a_plain_one(tiny_backbone, pair_encoding) -> None:
    given_ = {"dropout": 0.3, "pair_encoding": pair_encoding, "mixture": EVERY}
    idle = steps.loss_of(tiny_backbone, smart={"lambda": 0.0, "mu": 0.0, "steps": 3}, **given_)
    plain = steps.loss_of(tiny_backbone, smart={"enabled": False}, **given_)
    optimisers = [torch.optim.SGD(loss.parameters(), lr=0.1) for loss in (idle, plain)]
    for seed in range(3):
        batches, found, streams = steps.batches_of(plain.config), [], []
        for loss, optimiser in zip((idle, plain), optimisers, strict=True):
            found.append(steps.run(loss, batches, seed))
            streams.append(torch.get_rng_state())
            optimiser.step()
        assert torch.equal(found[0][0], found[1][0])
        steps.assert_same(found[0][1], found[1][1])
        assert torch.equal(*streams)
    assert idle.teacher is None
    assert idle.terms.keys() == plain.terms.keys() == {f"{task}/loss" for task in EVERY}


def test_10_a_plain_step_is_the_textbook_one_on_token_ids(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.3, smart={"enabled": False}, mixture=["sst"])
    loss.network.encoder.set_attn_implementation("sdpa")  # with padding, dropout draws for as many places as the reference's
    batch = steps.batch_of(loss.config, "sst")
    value, gradients = steps.run(loss, [batch], seed=5)
    loss.zero_grad()
    torch.manual_seed(5)
    network, mask = loss.network, batch.mask[0]
    hidden = network.encoder(batch.input_ids[0], attention_mask=mask, token_type_ids=batch.token_types[0]).last_hidden_state
    logits = network.heads["sst"](network.dropout(mean_pool(hidden, mask)))
    textbook = nn.functional.cross_entropy(logits, batch.labels)
    textbook.backward()
    torch.testing.assert_close(value, textbook.detach(), rtol=1e-6, atol=0.0)  # the mean is taken in another order
    torch.testing.assert_close(gradients, steps.gradients(loss), rtol=1e-4, atol=1e-7)


def test_10_with_shared_masks_smart_draws_the_same_random_stream(tiny_backbone) -> None:
    def supervised(smart_settings: dict[str, object]) -> MultitaskLoss:
        loss = steps.loss_of(tiny_backbone, dropout=0.3, smart=smart_settings, mixture=EVERY)
        steps.run(loss, steps.batches_of(loss.config))
        return loss

    plain = supervised({"enabled": False}).terms
    for settings_, same in (({"steps": 2}, True), ({"steps": 2, "dropout_masks": "independent"}, False)):
        terms = supervised(settings_).terms
        assert all(torch.equal(terms[f"{task}/loss"], plain[f"{task}/loss"]) is same for task in EVERY[1:])


@pytest.mark.parametrize("task", EVERY)
def test_11_smoothness_is_positive_with_a_gradient_for_every_head(backbone, task) -> None:
    for pair_encoding in ("cosine", "cross") if TASKS[task].is_pair else ("cosine",):
        loss = steps.loss_of(backbone, mixture=[task], pair_encoding=pair_encoding)
        found = steps.smoothness(loss, steps.batch_of(loss.config, task, range(3)))
        assert (found > 0).all()
        found.mean().backward()
        gradients = steps.gradients(loss)
        assert any(gradient.any() for name, gradient in gradients.items() if name.startswith(f"network.heads.{task}."))
        assert gradients["network.encoder.embeddings.word_embeddings.weight"].any()


@pytest.mark.parametrize("pair_encoding", ["concat_pooled", "cosine", "cross"])
def test_14_gradients_of_halves_average_to_those_of_the_whole_batch(tiny_backbone, pair_encoding) -> None:
    settings_ = {"smart": {**steps.WIDE, "mu": 1.0}, "mixture": EVERY, "pair_encoding": pair_encoding}
    loss = steps.loss_of(tiny_backbone, double=True, **settings_)
    steps.shift(loss.teacher.network, 0.05)
    value, whole = steps.run(loss, steps.batches_of(loss.config, range(8)), seed=1)
    assert all(term > 0 for term in loss.terms.values())
    halves = [steps.run(loss, steps.batches_of(loss.config, part), seed=2) for part in (range(4), range(4, 8))]
    torch.testing.assert_close((halves[0][0] + halves[1][0]) / 2, value, rtol=1e-6, atol=0.0)
    for name, gradient in whole.items():
        average = (halves[0][1][name] + halves[1][1][name]) / 2
        assert (average - gradient).norm() <= 1e-6 * gradient.norm() + 1e-9, name
