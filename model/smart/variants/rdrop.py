"""R-Drop (Liang et al. 2021, arXiv 2106.14448): two passes that differ by their dropout masks, and by no δ.

R_s = ½ (KL(P‖Q) + KL(Q‖P)): published with the factor ½, which SMART's ℓ_s does not have. Publication and code also add the
supervised loss of the second pass; here the supervised loss is the clean pass's, as in every variant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.smart.variants.view import Variant, View

if TYPE_CHECKING:
    from torch import Tensor


def delta(view: View) -> Tensor:
    """One zero, which broadcasts."""
    return view.embeddings.new_zeros((1,) * view.embeddings.ndim)


def smoothness(view: View, delta: Tensor) -> Tensor:
    """Half the divergence of two classifications; the squared error of two regressions."""
    value = view.divergence(view.logits_at(delta), view.clean)
    return value if view.is_regression else 0.5 * value


RDROP = Variant("compares two passes with different dropout masks and no δ", delta, smoothness, moves_input=False)
