"""The NumPy transcription of SMART against finite differences and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import entropy

from tests.support.reference_smart import (
    Floats,
    TwoLayer,
    delta_gradient,
    divergence,
    forward,
    log_softmax,
    perturb,
    smoothness,
    smoothness_gradient,
)

BATCH, SEQ, DIM, HIDDEN = 3, 4, 5, 6
KINDS = ["classification", "regression"]
MASK = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]])


def network(rng: np.random.Generator, kind: str, activation: str = "tanh") -> TwoLayer:
    n_out = 1 if kind == "regression" else 3
    shapes = ((DIM, HIDDEN), (HIDDEN,), (HIDDEN, n_out), (n_out,))
    return TwoLayer(*(rng.normal(size=shape) for shape in shapes), activation=activation)


def case(kind: str, seed: int = 0, scale: float = 0.3) -> tuple[TwoLayer, Floats, Floats]:
    """A network, x, and a δ that is zero at padding."""
    rng = np.random.default_rng(seed)
    net = network(rng, kind)
    return net, rng.normal(size=(BATCH, SEQ, DIM)), scale * rng.normal(size=(BATCH, SEQ, DIM)) * MASK[:, :, None]


def linear(rng: np.random.Generator, n_out: int) -> TwoLayer:
    """f(x) = w · mean(x) + b, with weights whose magnitudes lie within a factor of 4 of each other."""
    w2 = rng.uniform(0.5, 2.0, (DIM, n_out)) * rng.choice([-1, 1], (DIM, n_out))
    return TwoLayer(np.eye(DIM), np.zeros(DIM), w2, rng.normal(size=n_out), activation="identity")


def numeric(function, at: Floats, h: float = 1e-6) -> Floats:
    """Central differences of a scalar function."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = h
        gradient[index] = (function(at + step) - function(at - step)) / (2 * h)
    return gradient


def test_divergence_is_the_sum_of_both_kl_divergences() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, BATCH, 3))
    p, q = np.exp(log_softmax(a)), np.exp(log_softmax(b))
    expected = entropy(p, q, axis=1) + entropy(q, p, axis=1)
    np.testing.assert_allclose(divergence(a, b, "classification"), expected, rtol=1e-12)
    np.testing.assert_allclose(divergence(a[:, :1], b[:, :1], "regression"), (a[:, 0] - b[:, 0]) ** 2, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_in_delta_agrees_with_finite_differences(kind) -> None:
    net, x, delta = case(kind)
    expected = numeric(lambda d: smoothness(net, x, MASK, d, kind).sum(), delta)
    np.testing.assert_allclose(delta_gradient(net, x, MASK, delta, kind), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
def test_gradient_through_both_arguments_agrees_with_finite_differences(kind, name) -> None:
    net, x, delta = case(kind)
    expected = numeric(lambda w: smoothness(replace(net, **{name: w}), x, MASK, delta, kind).mean(), getattr(net, name))
    np.testing.assert_allclose(getattr(smoothness_gradient(net, x, MASK, delta, kind), name), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_without_perturbation_value_and_gradients_are_zero(kind) -> None:
    net, x, delta = case(kind, scale=0.0)
    assert not smoothness(net, x, MASK, delta, kind).any()
    assert not any(gradient.any() for gradient in smoothness_gradient(net, x, MASK, delta, kind))
    assert not perturb(net, x, MASK, delta, epsilon=0.1, eta=1.0, steps=2, kind=kind).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_delta_stays_in_the_ball_and_off_the_padding(kind, steps) -> None:
    net, x, _ = case(kind)
    start = np.random.default_rng(1).normal(size=x.shape)
    delta = perturb(net, x, MASK, start, epsilon=1e-3, eta=1e-2, steps=steps, kind=kind)
    assert not delta[MASK == 0].any()
    assert np.abs(delta).max() == 1e-3 if steps else (delta[MASK == 1] == start[MASK == 1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_moves_the_largest_component_by_eta_in_every_example(kind) -> None:
    net, x, delta0 = case(kind)
    moved = perturb(net, x, MASK, delta0, epsilon=100.0, eta=0.01, steps=1, kind=kind) - delta0
    np.testing.assert_allclose(np.abs(moved).max(axis=(1, 2)), 0.01, rtol=1e-12)
    g = delta_gradient(net, x, MASK, delta0, kind)
    np.testing.assert_allclose(moved, 0.01 * g / np.abs(g).max(axis=(1, 2), keepdims=True), atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_does_not_depend_on_its_batch_mates_or_padding(kind) -> None:
    net, x, delta0 = case(kind)
    settings = {"epsilon": 0.1, "eta": 0.05, "steps": 3, "kind": kind}
    together = perturb(net, x, MASK, delta0, **settings)
    for i, length in enumerate(MASK.sum(axis=1).astype(int)):
        own = np.s_[i : i + 1, :length]
        alone = perturb(net, x[own], MASK[own], delta0[own], **settings)
        np.testing.assert_allclose(together[own], alone, rtol=1e-12)
        np.testing.assert_allclose(
            smoothness(net, x, MASK, together, kind)[i], smoothness(net, x[own], MASK[own], alone, kind), rtol=1e-9
        )


@pytest.mark.parametrize("kind", KINDS)
def test_ascent_raises_the_divergence_and_k_0_leaves_the_start(kind) -> None:
    net, x, delta0 = case(kind, scale=0.01)
    values = [
        smoothness(net, x, MASK, perturb(net, x, MASK, delta0, epsilon=0.5, eta=0.01, steps=k, kind=kind), kind).mean()
        for k in range(4)
    ]
    assert values[0] == smoothness(net, x, MASK, delta0, kind).mean()
    assert (np.diff(values) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_linear_regression_has_its_closed_form(seed) -> None:
    """R_s = ε²‖w‖₁². One step reaches the corner of the ball when the smallest component does: η·min|w|/max|w| ≥ 2ε."""
    rng = np.random.default_rng(seed)
    net, x = linear(rng, 1), rng.normal(size=(BATCH, SEQ, DIM))
    epsilon = 1e-3
    w = np.abs(net.W2[:, 0])
    start = rng.uniform(-epsilon, epsilon, x.shape)
    delta = perturb(net, x, MASK, start, epsilon=epsilon, eta=2 * epsilon * w.max() / w.min(), steps=1, kind="regression")
    expected = np.full(BATCH, epsilon**2 * w.sum() ** 2)
    np.testing.assert_allclose(smoothness(net, x, MASK, delta, "regression"), expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("epsilon", [1e-3, 0.3])
def test_binary_logistic_stays_under_its_bound_and_one_full_step_reaches_an_end(seed, epsilon) -> None:
    """ℓ_s = (σ(z+t) − σ(z))·t with t = w·δ, so R_s ≤ its larger value at t = ±ε‖w‖₁."""
    rng = np.random.default_rng(seed)
    net, x = linear(rng, 2), rng.normal(size=(BATCH, SEQ, DIM))
    f = forward(net, x, MASK)
    z = f[:, 1] - f[:, 0]
    w = np.abs(net.W2[:, 1] - net.W2[:, 0])
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    ends = np.stack([(sigmoid(z + t) - sigmoid(z)) * t for t in (-epsilon * w.sum(), epsilon * w.sum())])
    start = rng.uniform(-epsilon, epsilon, x.shape)
    for eta in (0.1 * epsilon, 2 * epsilon * w.max() / w.min()):
        delta = perturb(net, x, MASK, start, epsilon=epsilon, eta=eta, steps=1, kind="classification")
        value = smoothness(net, x, MASK, delta, "classification")
        assert (value <= ends.max(axis=0) * (1 + 1e-9)).all()
    np.testing.assert_allclose(np.abs(value / ends - 1).min(axis=0), 0, atol=1e-9)
