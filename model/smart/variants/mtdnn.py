"""SMART as the published mt-dnn code computes it (`perturbation.py`, `loss.py`), which differs from the paper.

ε only prevents a division by zero: δ is not bounded, and each token's δ is scaled to a largest coordinate near 1. The targets
of the outer loss are detached, and the inner loss is a `stable_kl` of log-odds.
Not reproduced: noise at padding, which the encoder's mask hides, and skipping a batch whose gradient is not finite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.smart.variants.view import Variant, View

if TYPE_CHECKING:
    from torch import Tensor

STABILISER = 1e-6
"""Keeps the log-odds of `stable_kl` finite; the published value."""


def delta(view: View) -> Tensor:
    """K times: add η times the raw gradient, then divide each token's δ by its own largest coordinate plus ε."""
    import torch

    from model.smart import smoothness as smart

    inner = smart.squared_error if view.is_regression else stable_kl
    clean = view.clean.detach()
    delta = view.start()
    for _ in range(view.steps):
        delta = delta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(inner(view.inner_logits_at(delta), clean).sum(), delta)
        moved = delta.detach() + view.eta * gradient
        delta = moved / (moved.abs().amax(-1, keepdim=True) + view.epsilon)
    return delta.detach() * view.mask.unsqueeze(-1)


def stable_kl(logits: Tensor, target: Tensor) -> Tensor:
    """2 Σ p (log-odds of p − log-odds of y), differentiable through the first p. (B, C), (B, C) → (B,), of either sign."""
    from model.smart.smoothness import at_least_float32

    p, y = (at_least_float32(x).softmax(-1) for x in (logits, target))
    odds_p, odds_y = (-(1.0 / (x + STABILISER) - 1.0 + STABILISER).detach().log() for x in (p, y))
    return (2.0 * p * (odds_p - odds_y)).sum(-1)


def smoothness(view: View, delta: Tensor) -> Tensor:
    """The symmetric KL divergence with each target detached: same value, other gradient. A regression is not detached."""
    moved = view.logits_at(delta)
    if view.is_regression:
        return view.divergence(moved, view.clean)
    return detached_kl(moved, view.clean) + detached_kl(view.clean, moved)


def detached_kl(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target ‖ logits) with the gradient through `logits` alone. (B, C), (B, C) → (B,)."""
    from model.smart.smoothness import at_least_float32

    log_p, log_q = (at_least_float32(x).log_softmax(-1) for x in (logits, target.detach()))
    return (log_q.exp() * (log_q - log_p)).sum(-1)


MTDNN = Variant("computes what the published mt-dnn code does", delta, smoothness, takes_steps=True)
