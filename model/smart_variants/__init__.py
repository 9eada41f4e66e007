"""The regularisers R_s that `smart.variant` names, one file each. docs/variants.md says how they differ."""

from __future__ import annotations

from collections.abc import Mapping

from model.smart_config import SmartVariant
from model.smart_variants.mtdnn import MTDNN
from model.smart_variants.paper import PAPER
from model.smart_variants.r3f import R3F
from model.smart_variants.rdrop import RDROP
from model.smart_variants.view import Variant

VARIANTS: Mapping[SmartVariant, Variant] = {"paper": PAPER, "r3f": R3F, "rdrop": RDROP, "mtdnn": MTDNN}
