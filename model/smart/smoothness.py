"""SMART's mathematics as pure functions (Jiang et al. 2020, arXiv 1911.03437; docs/mathematics.md, section 1).

Shape legend: S sides of a pair encoded separately (1 otherwise), B examples, L tokens, D dimensions, C outputs.
Perturbations δ have the shape (S, B, L, D), masks (S, B, L), logits (B, C). δ, softmax and divergences are float32
(or wider), whatever the precision of the encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Divergence = Callable[[Tensor, Tensor], Tensor]
"""ℓ_s: maps (B, C) and (B, C) to (B,), differentiable in both arguments."""


def symmetric_kl(p_logits: Tensor, q_logits: Tensor) -> Tensor:
    """ℓ_s of classification: KL(P‖Q) + KL(Q‖P) = Σ_c (P − Q)(log P − log Q), never negative. (B, C), (B, C) → (B,)."""
    log_p = torch.log_softmax(at_least_float32(p_logits), -1)
    log_q = torch.log_softmax(at_least_float32(q_logits), -1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def squared_error(p: Tensor, q: Tensor) -> Tensor:
    """ℓ_s of regression: the squared difference of the predictions. (B, 1), (B, 1) → (B,)."""
    return (at_least_float32(p) - at_least_float32(q)).square().sum(-1)


def project(delta: Tensor, mask: Tensor, epsilon: float) -> Tensor:
    """The nearest δ with ‖δ‖∞ ≤ ε that is zero at padding. (S, B, L, D), (S, B, L) → (S, B, L, D)."""
    return delta.clamp(-epsilon, epsilon) * mask.unsqueeze(-1)


def normalise(gradient: Tensor) -> Tensor:
    """g / ‖g‖∞ with the norm of each example over its sides, tokens and dimensions; an all-zero example stays zero.

    (S, B, L, D) → (S, B, L, D). Per example, so that δ does not depend on the rest of the batch.
    """
    norm = gradient.abs().amax(dim=(0, 2, 3), keepdim=True)
    return gradient / torch.where(norm > 0, norm, torch.ones_like(norm))


def ascend(delta: Tensor, gradient: Tensor, mask: Tensor, *, eta: float, epsilon: float) -> Tensor:
    """One projected step of the inner maximisation: δ ← Π_ε(δ + η·g/‖g‖∞). Shapes as `project`."""
    return project(delta + eta * normalise(gradient), mask, epsilon)


def perturb(
    logits_of: Callable[[Tensor], Tensor],
    clean: Tensor,
    noise: Tensor,
    mask: Tensor,
    divergence: Divergence,
    *,
    epsilon: float,
    eta: float,
    steps: int,
) -> Tensor:
    """The δ that maximises ℓ_s(f(x + δ), f(x)) within ‖δ‖∞ ≤ ε, by `steps` projected ascents from `noise`.

    `logits_of` maps δ (S, B, L, D) to logits (B, C); `clean` are the logits at δ = 0 and are not differentiated. Only δ's
    gradient is computed, so no parameter's `.grad` changes. The result is detached. With `steps` = 0 it is the projected noise,
    as in R3F.
    """
    clean = clean.detach()
    delta = noise * mask.unsqueeze(-1)
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        # The sum over examples makes each example's gradient independent of the batch size.
        (gradient,) = torch.autograd.grad(divergence(logits_of(delta), clean).sum(), delta)
        delta = ascend(delta.detach(), gradient, mask, eta=eta, epsilon=epsilon)
    return project(delta.detach(), mask, epsilon)


def example_noise(lengths: np.ndarray, dim: int, *, sigma: float, seeds: np.ndarray, length: int) -> Tensor:
    """The random start of δ, N(0, σ²) at tokens and zero at padding, float32 (S, B, length, dim).

    `lengths`: (S, B) tokens of each side; `seeds`: (B,) one seed for each example. An example's noise depends only on its
    seed, so it is the same on any rank, in any batch and with any padding.
    """
    n_sides, n_examples = lengths.shape
    noise = torch.zeros(n_sides, n_examples, length, dim)
    if sigma == 0.0:
        return noise
    generator = torch.Generator()
    for example in range(n_examples):
        generator.manual_seed(int(seeds[example]))
        drawn = torch.randn(int(lengths[:, example].sum()), dim, generator=generator).mul_(sigma)
        for side, part in enumerate(torch.split(drawn, lengths[:, example].tolist())):
            noise[side, example, : len(part)] = part
    return noise


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()
