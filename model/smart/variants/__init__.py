"""The regularisers R_s that `smart.variant` names, one file each. docs/variants.md says how they differ."""

from __future__ import annotations

from collections.abc import Mapping

from model.smart.config import SmartVariant
from model.smart.variants.mtdnn import MTDNN
from model.smart.variants.paper import PAPER
from model.smart.variants.r3f import R3F
from model.smart.variants.rdrop import RDROP
from model.smart.variants.view import Variant

VARIANTS: Mapping[SmartVariant, Variant] = {"paper": PAPER, "r3f": R3F, "rdrop": RDROP, "mtdnn": MTDNN}
