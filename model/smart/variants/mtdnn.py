"""What the published mt-dnn code computes (its `perturbation.py` and `loss.py`), for comparison; not what the paper says.

ε only keeps the division by the norm from being one by zero: nothing bounds δ, whose every token is scaled to a largest
coordinate near 1. The targets of the outer loss are detached, and the inner one is a `stable_kl` from log-odds.
Not reproduced: noise at padding, which the encoder's mask hides, and skipping a batch whose gradient is not finite.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.smart import smoothness as smart
from model.smart.variants.view import Variant, View

STABILISER = 1e-6
"""Keeps the log-odds of `stable_kl` finite; published."""


def delta(view: View) -> Tensor:
    """K times: add η times the raw gradient, then divide each token's δ by its own largest coordinate plus ε."""
    inner = smart.squared_error if view.is_regression else stable_kl
    clean = view.clean.detach()
    found = view.start()
    for _ in range(view.steps):
        found = found.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(inner(view.inner_logits_at(found), clean).sum(), found)
        moved = found.detach() + view.eta * gradient
        found = moved / (moved.abs().amax(-1, keepdim=True) + view.epsilon)
    return found.detach() * view.mask.unsqueeze(-1)


def stable_kl(logits: Tensor, target: Tensor) -> Tensor:
    """2 Σ p (log-odds of p − log-odds of y), differentiable through the first p alone. (B, C), (B, C) → (B,), of any sign."""
    p, y = (torch.softmax(x if x.dtype == torch.float64 else x.float(), -1) for x in (logits, target))
    odds_p, odds_y = (-(1.0 / (x + STABILISER) - 1.0 + STABILISER).detach().log() for x in (p, y))
    return (2.0 * p * (odds_p - odds_y)).sum(-1)


def smoothness(view: View, delta: Tensor) -> Tensor:
    """The symmetric KL divergence with each target detached: its value, but not its gradient. A regression is not detached."""
    moved = view.logits_at(delta)
    if view.is_regression:
        return smart.squared_error(moved, view.clean)
    return detached_kl(moved, view.clean) + detached_kl(view.clean, moved)


def detached_kl(logits: Tensor, target: Tensor) -> Tensor:
    """KL(target ‖ logits) with the gradient through `logits` alone. (B, C), (B, C) → (B,)."""
    log_p, log_q = (torch.log_softmax(x if x.dtype == torch.float64 else x.float(), -1) for x in (logits, target.detach()))
    return (log_q.exp() * (log_q - log_p)).sum(-1)


MTDNN = Variant(delta, smoothness)
