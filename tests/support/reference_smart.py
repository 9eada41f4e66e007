"""SMART's smoothness term (Jiang et al. 2020) in NumPy float64, transcribed from docs/mathematics.md, section 1.

No autograd and no torch: every gradient is derived by hand, so that agreement with `model.smart.smoothness` means something.
The network maps token vectors x: (batch, seq, dim) with a mask: (batch, seq) of 0 and 1 to outputs f: (batch, n_out):

    h = act(x W1 + b1), pooled = mean of h over the unmasked tokens, f = pooled W2 + b2

with act = tanh, or the identity for the closed forms of linear models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kind = Literal["classification", "regression"]


@dataclass(frozen=True)
class TwoLayer:
    """W1: (dim, hidden), b1: (hidden,), W2: (hidden, n_out), b2: (n_out,)."""

    W1: Floats
    b1: Floats
    W2: Floats
    b2: Floats
    activation: Literal["tanh", "identity"] = "tanh"


class Gradients(NamedTuple):
    """Gradients of a scalar with respect to the input and the parameters, each of the shape of its namesake."""

    x: Floats
    W1: Floats
    b1: Floats
    W2: Floats
    b2: Floats


def hidden(net: TwoLayer, x: Floats) -> Floats:
    """(batch, seq, hidden)"""
    z = x @ net.W1 + net.b1
    return np.tanh(z) if net.activation == "tanh" else z


def pool(h: Floats, mask: Floats) -> Floats:
    """Mean over the unmasked tokens: (batch, hidden)."""
    pooled: Floats = np.einsum("bsh,bs->bh", h, mask) / mask.sum(axis=1)[:, None]
    return pooled


def forward(net: TwoLayer, x: Floats, mask: Floats) -> Floats:
    """f: (batch, n_out), logits or, for regression, predictions."""
    return pool(hidden(net, x), mask) @ net.W2 + net.b2


def backward(net: TwoLayer, x: Floats, mask: Floats, d_out: Floats) -> Gradients:
    """Gradients of Σ d_out · f(x), for d_out: (batch, n_out)."""
    h = hidden(net, x)
    d_pooled = d_out @ net.W2.T
    d_h = d_pooled[:, None, :] * (mask / mask.sum(axis=1)[:, None])[:, :, None]
    d_z = d_h * (1 - h**2) if net.activation == "tanh" else d_h
    return Gradients(
        x=d_z @ net.W1.T,
        W1=np.einsum("bsd,bsh->dh", x, d_z),
        b1=d_z.sum(axis=(0, 1)),
        W2=pool(h, mask).T @ d_out,
        b2=d_out.sum(axis=0),
    )


def log_softmax(a: Floats) -> Floats:
    shifted = a - a.max(axis=1, keepdims=True)
    log_p: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_p


def divergence(a: Floats, b: Floats, kind: Kind) -> Floats:
    """ℓ_s(a, b) per example, for outputs a, b: (batch, n_out). Symmetric in its arguments.

    Classification: KL(P‖Q) + KL(Q‖P) = Σ (P − Q)(log P − log Q) with P = softmax(a), Q = softmax(b).
    Regression: the squared error.
    """
    if kind == "regression":
        terms = (a - b) ** 2
    else:
        log_p, log_q = log_softmax(a), log_softmax(b)
        terms = (np.exp(log_p) - np.exp(log_q)) * (log_p - log_q)
    total: Floats = terms.sum(axis=1)
    return total


def divergence_gradient(a: Floats, b: Floats, kind: Kind) -> Floats:
    """∂ℓ_s(a, b)/∂a: (batch, n_out); by symmetry ∂ℓ_s/∂b is this with the arguments swapped.

    With r = log P − log Q: ∂KL(P‖Q)/∂a_j = P_j (r_j − Σ P r) and ∂KL(Q‖P)/∂a_j = P_j − Q_j.
    """
    if kind == "regression":
        return 2 * (a - b)
    log_p, log_q = log_softmax(a), log_softmax(b)
    p, r = np.exp(log_p), log_p - log_q
    gradient: Floats = p * (r - (p * r).sum(axis=1, keepdims=True)) + p - np.exp(log_q)
    return gradient


def smoothness(net: TwoLayer, x: Floats, mask: Floats, delta: Floats, kind: Kind) -> Floats:
    """ℓ_s(f(x + δ), f(x)) per example: (batch,). Its mean over the batch is R_s."""
    return divergence(forward(net, x + delta, mask), forward(net, x, mask), kind)


def delta_gradient(net: TwoLayer, x: Floats, mask: Floats, delta: Floats, kind: Kind) -> Floats:
    """∂ℓ_s/∂δ: (batch, seq, dim). Examples do not meet, so the gradient of their sum is each one's own."""
    d_out = divergence_gradient(forward(net, x + delta, mask), forward(net, x, mask), kind)
    return backward(net, x + delta, mask, d_out).x


def smoothness_gradient(net: TwoLayer, x: Floats, mask: Floats, delta: Floats, kind: Kind) -> Gradients:
    """Gradient of R_s at a fixed δ, through both arguments of ℓ_s."""
    moved, clean = forward(net, x + delta, mask), forward(net, x, mask)
    through_moved = backward(net, x + delta, mask, divergence_gradient(moved, clean, kind) / len(x))
    through_clean = backward(net, x, mask, divergence_gradient(clean, moved, kind) / len(x))
    return Gradients(*(one + other for one, other in zip(through_moved, through_clean, strict=True)))


def perturb(
    net: TwoLayer, x: Floats, mask: Floats, delta0: Floats, *, epsilon: float, eta: float, steps: int, kind: Kind
) -> Floats:
    """The inner maximisation: δ: (batch, seq, dim) after K = `steps` ascent steps from delta0 ~ N(0, σ²).

    Each step divides the gradient by its largest absolute value in the example, over tokens and dimensions, and projects:
    δ ← clip(δ + η g / ‖g‖∞, −ε, ε). δ is zero at padding. As written there, the start itself is not projected. An example
    whose gradient vanishes has no direction and only takes the projection.
    """
    delta = delta0 * mask[:, :, None]
    for _ in range(steps):
        g = delta_gradient(net, x, mask, delta, kind)
        norm = np.abs(g).max(axis=(1, 2), keepdims=True)
        direction = np.divide(g, norm, out=np.zeros_like(g), where=norm > 0)
        delta = np.clip(delta + eta * direction, -epsilon, epsilon) * mask[:, :, None]
    return delta
