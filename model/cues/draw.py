"""Random choices as functions of (seed, purpose, example id): no other row, and no order, changes them."""

from __future__ import annotations

import hashlib


def uniform(seed: int, purpose: str, example_id: str) -> float:
    """A number in [0, 1): the first 53 bits of SHA-256(`seed/purpose/id`) over 2^53."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{example_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def index(seed: int, purpose: str, example_id: str, n: int) -> int:
    """A number from 0 to n − 1, each as likely as the others. n ≥ 1."""
    return int(uniform(seed, purpose, example_id) * n)
