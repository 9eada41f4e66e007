"""R3F (Aghajanyan et al. 2021, arXiv 2008.03156): a random δ and the symmetric KL divergence, no inner step.

The published δ is N(0, σ²) without a bound; here it is projected to ‖δ‖∞ ≤ ε like SMART's, so that ε means the same.
A regression, which the publication does not cover, uses the squared error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.smart.variants import paper
from model.smart.variants.view import Variant, View

if TYPE_CHECKING:
    from torch import Tensor


def delta(view: View) -> Tensor:
    """The random start, within the bound."""
    from model.smart.smoothness import project

    return project(view.start(), view.mask, view.epsilon)


R3F = Variant("takes a random δ within ε and no inner step", delta, paper.smoothness, is_bounded=True)
