"""How much a cue tells of the label, in bits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable


def entropy(probabilities: Iterable[float]) -> float:
    """Shannon entropy in bits of a distribution."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0) + 0.0


def mutual_information(pairs: Iterable[tuple[Hashable, Hashable]]) -> float:
    """Mutual information in bits of the pairs' two sides, as they are distributed here; 0 without any."""
    counts = Counter(pairs)
    n = sum(counts.values())
    joint = entropy(count / n for count in counts.values())
    sides = (Counter[Hashable](), Counter[Hashable]())
    for pair, count in counts.items():
        for side, value in zip(sides, pair, strict=True):
            side[value] += count
    marginals = sum(entropy(count / n for count in side.values()) for side in sides)
    return max(marginals - joint, 0.0)


def expected_information(positive: float, rho: float, rate: float) -> float:
    """Mutual information in bits of cue (negative, positive or none) and label by design.

    q·(H(cue | injected) − H₂(ρ)): whether a review has a cue tells nothing of its label. positive: share of label 1.
    """
    cue = positive * rho + (1 - positive) * (1 - rho)
    return rate * (entropy((cue, 1 - cue)) - entropy((rho, 1 - rho)))
