"""SMART's inner maximisation as pure functions: reference tests 2, 4, 5, 6, 12 and 13 of docs/mathematics.md, section 1."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from torch import Tensor

from model.config import SMALLEST_EPSILON, ConfigError, parse
from model.smart import smoothness
from tests.support import reference_smart as reference

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
DIVERGENCES = {"classification": smoothness.symmetric_kl, "regression": smoothness.squared_error}
SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 6), st.integers(1, 5))
SEEDS = st.integers(0, 2**31)
quick = settings(max_examples=40, deadline=None, derandomize=True)


def draw_mask(shape: tuple[int, int, int, int], generator: torch.Generator) -> Tensor:
    """(S, B, L): right-padded sides of at least one token."""
    n_sides, n_examples, length, _ = shape
    lengths = torch.randint(1, length + 1, (n_sides, n_examples), generator=generator)
    return (torch.arange(length) < lengths.unsqueeze(-1)).long()


def draw_function(shape: tuple[int, int, int, int], generator: torch.Generator, dtype: torch.dtype, n_out: int = 3) -> Callable:
    """A smooth f: δ (S, B, L, D) → (B, n_out), without interaction between examples."""
    weight = torch.randn(*(shape[0], shape[2], shape[3], n_out), generator=generator).to(dtype)
    start = torch.randn(shape[1], n_out, generator=generator).to(dtype)
    return lambda delta: start + torch.einsum("sbld,sldc->bc", torch.tanh(delta.to(dtype) + 0.3), weight)


@quick
@given(SHAPES, st.sampled_from(sorted(DTYPES)), st.floats(1e-6, 10.0), SEEDS)
def test_projection_is_the_nearest_point_of_the_ball_off_the_padding(shape, dtype, epsilon, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = draw_mask(shape, generator)
    delta = (torch.randn(shape, generator=generator) * 2 * epsilon).to(DTYPES[dtype])
    projected = smoothness.project(delta, mask, epsilon)
    bound = torch.tensor(epsilon, dtype=projected.dtype)
    assert projected.dtype == delta.dtype
    assert projected.abs().max() <= bound
    assert not projected[mask == 0].any()
    inside = (delta.abs() <= bound) & mask.bool().unsqueeze(-1)
    assert torch.equal(projected[inside], delta[inside])
    assert torch.equal(smoothness.project(projected, mask, epsilon), projected)


@quick
@given(SHAPES, st.integers(0, 4), st.sampled_from(["float32", "float64"]), st.sampled_from(sorted(DIVERGENCES)), SEEDS)
def test_02_delta_stays_in_the_ball_after_every_step(shape, steps, dtype, kind, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    epsilon, mask = 1e-2, draw_mask(shape, generator)
    f = draw_function(shape, generator, DTYPES[dtype])
    noise = 3 * epsilon * torch.randn(shape, generator=generator).to(DTYPES[dtype])
    visited: list[Tensor] = []

    def watched(delta: Tensor) -> Tensor:
        visited.append(delta.detach())
        return f(delta)

    clean = f(torch.zeros(shape, dtype=DTYPES[dtype]))
    last = smoothness.perturb(watched, clean, noise, mask, DIVERGENCES[kind], epsilon=epsilon, eta=5.0, steps=steps)
    bound = torch.tensor(epsilon, dtype=DTYPES[dtype])
    assert len(visited) == steps
    assert last.dtype == DTYPES[dtype]
    assert not last.requires_grad
    # The start is N(0, σ²), where the inner loop begins; every point that a step gives, and the result, is in the ball.
    assert all(delta.abs().max() <= bound for delta in [*visited[1:], last])
    assert not any(delta[mask == 0].any() for delta in [*visited, last])


@quick
@given(st.integers(1, 5), st.integers(0, 3), st.sampled_from(sorted(DIVERGENCES)), SEEDS)
def test_03_delta_of_an_example_is_the_same_alone_and_among_batch_mates(n_examples, steps, kind, seed) -> None:
    shape = (2, n_examples, 4, 3)
    generator = torch.Generator().manual_seed(seed)
    mask = draw_mask(shape, generator)
    weight = torch.randn(2, 4, 3, 3, generator=generator, dtype=torch.float64)
    noise = 1e-2 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def delta_of(chosen: slice, scale: float = 1.0) -> Tensor:
        size = torch.full((n_examples, 1), scale, dtype=torch.float64)
        size[0] = 1.0

        def f(delta: Tensor) -> Tensor:
            return torch.einsum("sbld,sldc->bc", torch.tanh(delta + 0.3), weight) * size[chosen]

        part = noise[:, chosen]
        return smoothness.perturb(f, f(0 * part), part, mask[:, chosen], DIVERGENCES[kind], epsilon=1e-2, eta=1e-3, steps=steps)

    alone = delta_of(slice(0, 1))
    torch.testing.assert_close(delta_of(slice(None))[:, :1], alone, rtol=1e-9, atol=1e-12)
    # Batch-mates with gradients a thousand times larger change nothing: the norm is not taken over the batch.
    torch.testing.assert_close(delta_of(slice(None), scale=1000.0)[:, :1], alone, rtol=1e-9, atol=1e-12)


def test_03_the_largest_component_of_each_example_is_one_over_all_its_sides_tokens_and_dimensions() -> None:
    gradient = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0)) * torch.logspace(-6, 6, 5).view(1, 5, 1, 1)
    normalised = smoothness.normalise(gradient)
    assert torch.equal(normalised.abs().amax((0, 2, 3)), torch.ones(5))
    assert ((normalised.abs() == 1).sum((0, 2, 3)) == 1).all()  # one for the example, not for each side or token
    assert not smoothness.normalise(torch.zeros(1, 2, 3, 4)).any()


@quick
@given(st.integers(1, 4), st.integers(1, 5), st.floats(0.0, 4.0), SEEDS)
def test_04_linear_regression_reaches_its_closed_form(n_tokens, dim, spread, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(n_tokens, dim, dtype=torch.float64).uniform_(1.0, 1.0 + spread, generator=generator)
    weight *= torch.where(torch.rand(weight.shape, generator=generator) < 0.5, -1.0, 1.0)
    epsilon = 1e-3
    noise = epsilon * (2 * torch.rand(1, 3, n_tokens, dim, generator=generator, dtype=torch.float64) - 1)

    def f(delta: Tensor) -> Tensor:
        return torch.einsum("sbld,ld->b", delta, weight).unsqueeze(-1) + 0.7

    # The ∞-norm leaves the smallest component a step of η·min|w|/max|w|, which has to cross the whole ball.
    eta = 2.01 * epsilon * float(weight.abs().max() / weight.abs().min())
    clean, mask = f(torch.zeros_like(noise)), torch.ones(1, 3, n_tokens)
    delta = smoothness.perturb(f, clean, noise, mask, smoothness.squared_error, epsilon=epsilon, eta=eta, steps=1)
    expected = torch.full((3,), float(epsilon**2 * weight.abs().sum() ** 2), dtype=torch.float64)
    torch.testing.assert_close(smoothness.squared_error(f(delta), clean), expected, rtol=1e-9, atol=0.0)


@quick
@given(st.integers(0, 3), st.floats(1e-3, 2.0), st.floats(-3.0, 3.0), SEEDS)
def test_05_binary_logistic_stays_under_its_bound(steps, epsilon, z, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    noise = epsilon * torch.randn(1, 1, 2, 3, generator=generator, dtype=torch.float64)

    def f(delta: Tensor) -> Tensor:
        score = z + torch.einsum("sbld,ld->b", delta, weight)
        return torch.stack([torch.zeros_like(score), score], -1)

    clean, mask = f(torch.zeros_like(noise)), torch.ones(1, 1, 2)
    delta = smoothness.perturb(f, clean, noise, mask, smoothness.symmetric_kl, epsilon=epsilon, eta=epsilon, steps=steps)
    reach = epsilon * float(weight.abs().sum())
    ends = [float(expit(z + t) - expit(z)) * t for t in (-reach, reach)]
    assert float(smoothness.symmetric_kl(f(delta), clean)) <= max(ends) * (1 + 1e-9)
    corner = smoothness.perturb(f, clean, noise, mask, smoothness.symmetric_kl, epsilon=epsilon, eta=1e9, steps=1)
    assert min(abs(float(smoothness.symmetric_kl(f(corner), clean)) - end) for end in ends) <= 1e-6 * max(ends)


@quick
@given(st.floats(1e-6, 1e6), st.integers(1, 3), st.sampled_from(sorted(DIVERGENCES)), SEEDS)
def test_06_scaling_the_inner_loss_does_not_change_delta(scale, steps, kind, seed) -> None:
    shape, generator = (2, 3, 4, 2), torch.Generator().manual_seed(seed)
    mask, f = draw_mask((2, 3, 4, 2), generator), draw_function(shape, generator, torch.float64)
    noise = 1e-2 * torch.randn(shape, generator=generator, dtype=torch.float64)

    def delta_under(divergence: smoothness.Divergence) -> Tensor:
        return smoothness.perturb(f, f(0 * noise), noise, mask, divergence, epsilon=1e-2, eta=1e-3, steps=steps)

    plain, scaled = DIVERGENCES[kind], lambda p, q: scale * DIVERGENCES[kind](p, q)
    torch.testing.assert_close(delta_under(scaled), delta_under(plain), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("kind", sorted(DIVERGENCES))
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_12_agrees_with_the_numpy_transcription(kind, steps, seed) -> None:
    rng = np.random.default_rng(seed)
    n_out = 1 if kind == "regression" else 3
    net = reference.TwoLayer(*(rng.normal(size=shape) for shape in [(4, 6), (6,), (6, n_out), (n_out,)]))
    x, epsilon = rng.normal(size=(3, 5, 4)), 0.05
    mask = (np.arange(5) < np.array([[5], [2], [4]])).astype(float)
    delta0 = np.clip(rng.normal(scale=epsilon, size=x.shape), -epsilon, epsilon)

    weights = [torch.tensor(array, requires_grad=True) for array in (net.W1, net.b1, net.W2, net.b2)]
    inputs, tokens = torch.tensor(x, requires_grad=True), torch.tensor(mask)

    def f(moved: Tensor) -> Tensor:
        first, bias, second, last = weights
        hidden = torch.tanh(moved @ first + bias)
        return (hidden * tokens[..., None]).sum(1) / tokens.sum(1, keepdim=True) @ second + last

    divergence, clean = DIVERGENCES[kind], f(inputs)
    delta = smoothness.perturb(
        lambda delta: f(inputs.detach() + delta[0]),
        clean,
        torch.tensor(delta0[None]),
        tokens[None],
        divergence,
        epsilon=epsilon,
        eta=0.03,
        steps=steps,
    )
    expected = reference.perturb(net, x, mask, delta0, epsilon=epsilon, eta=0.03, steps=steps, kind=kind)
    np.testing.assert_allclose(delta[0].numpy(), expected, rtol=1e-9, atol=1e-12)

    smooth = divergence(f(inputs + delta[0]), clean)
    np.testing.assert_allclose(smooth.detach(), reference.smoothness(net, x, mask, expected, kind), rtol=1e-8)
    found = torch.autograd.grad(smooth.mean(), [inputs, *weights])
    for mine, theirs in zip(found, reference.smoothness_gradient(net, x, mask, expected, kind), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_13_smallest_epsilon_is_what_the_precision_resolves(precision) -> None:
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    smallest, half = SMALLEST_EPSILON[precision], torch.tensor(0.5, dtype=dtype)
    assert smallest == float(torch.finfo(dtype).eps) / 2  # eps is the spacing above 1, twice that above 0.5
    assert half + smallest > half
    assert half + 0.49 * smallest == half


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("share", [1e-6, 0.999])
def test_13_epsilon_that_rounds_away_is_refused_with_the_smallest_usable(precision, share) -> None:
    engine, smallest = {"precision": precision}, SMALLEST_EPSILON[precision]
    with pytest.raises(ConfigError) as refused:
        parse({"engine": engine, "smart": {"epsilon": share * smallest}})
    (problem,) = refused.value.problems
    assert f"rounds away in {precision}" in problem
    named = float(re.search(r"smallest usable is ([\d.e-]+)", problem)[1])
    assert named == pytest.approx(smallest, rel=0.1)
    assert parse({"engine": engine, "smart": {"epsilon": named}}).smart.epsilon == named  # the mend mends
    for without in ({"enabled": False}, {"lambda": 0.0}):
        parse({"engine": engine, "smart": {"epsilon": share * smallest, **without}})
