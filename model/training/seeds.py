"""Seeds as functions of their purpose, step and example, so that a step does not depend on earlier random draws."""

from __future__ import annotations

import numpy as np

NOISE, DROPOUT, HEALTH = 0, 1, 2
"""Second part of every seed: its purpose. No two uses of a trial's seed share random numbers."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(*parts: int | np.ndarray) -> np.ndarray:
    """A 63-bit hash of integers and integer arrays, broadcast against each other: uint64, any shape.

    SplitMix64 (Steele, Lea & Flood 2014) chained over the parts: neighbouring inputs give unrelated seeds.
    """
    state: np.ndarray = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            z = (state ^ np.asarray(part).astype(np.uint64)) + _GOLDEN
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = z ^ (z >> np.uint64(31))
    return np.asarray(state >> np.uint64(1))
