"""The regularisers R_s that `smart.variant` names, one file each. docs/variants.md compares them."""

from model.smart.variants.mtdnn import MTDNN
from model.smart.variants.paper import PAPER
from model.smart.variants.r3f import R3F
from model.smart.variants.rdrop import RDROP
from model.smart.variants.view import Variant, View

VARIANTS: dict[str, Variant] = {"paper": PAPER, "r3f": R3F, "rdrop": RDROP, "mtdnn": MTDNN}

__all__ = ["VARIANTS", "Variant", "View"]
