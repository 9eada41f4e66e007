"""SMART as published (Jiang et al. 2020, equations 1 and 2): the worst δ within ‖δ‖∞ ≤ ε, by projected ascent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.smart.variants.view import Variant, View

if TYPE_CHECKING:
    from torch import Tensor


def delta(view: View) -> Tensor:
    """The δ that K projected ascent steps from the random start reach."""
    from model.smart.smoothness import perturb

    settings = {"epsilon": view.epsilon, "eta": view.eta}
    return perturb(view.inner_logits_at, view.clean, view.start(), view.mask, view.divergence, steps=view.steps, **settings)


def smoothness(view: View, delta: Tensor) -> Tensor:
    """ℓ_s(f(x + δ), f(x)), with the gradient through both arguments."""
    return view.divergence(view.logits_at(delta), view.clean)


PAPER = Variant("is SMART as published: the worst δ within ε", delta, smoothness, takes_steps=True, is_bounded=True)
