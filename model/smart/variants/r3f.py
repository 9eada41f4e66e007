"""R3F (Aghajanyan et al. 2021, arXiv 2008.03156): a random δ and the symmetric KL divergence, no inner step.

The published δ is N(0, σ²) without a bound; here it is projected to ‖δ‖∞ ≤ ε like SMART's, so that ε means the same.
A regression, which the publication leaves out, has the squared error.
"""

from __future__ import annotations

from torch import Tensor

from model.smart import smoothness
from model.smart.variants import paper
from model.smart.variants.view import Variant, View


def delta(view: View) -> Tensor:
    """The random start, within the bound."""
    return smoothness.project(view.start(), view.mask, view.epsilon)


R3F = Variant(delta, paper.smoothness)
