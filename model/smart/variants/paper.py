"""SMART as published (Jiang et al. 2020, equations 1 and 2): the worst δ within ‖δ‖∞ ≤ ε, by projected ascent."""

from __future__ import annotations

from torch import Tensor

from model.smart import smoothness as smart
from model.smart.variants.view import Variant, View


def delta(view: View) -> Tensor:
    """The δ that K projected ascents from the random start reach."""
    return smart.perturb(
        view.inner_logits_at,
        view.clean,
        view.start(),
        view.mask,
        view.divergence,
        epsilon=view.epsilon,
        eta=view.eta,
        steps=view.steps,
    )


def smoothness(view: View, delta: Tensor) -> Tensor:
    """ℓ_s(f(x + δ), f(x)), with the gradient through both arguments."""
    return view.divergence(view.logits_at(delta), view.clean)


PAPER = Variant(delta, smoothness)
