"""The select split of *train*, and the order of evaluated splits.

Both depend only on a hash of the example's id: they are the same in every run and on every machine, and adding rows to a file
moves no other row. A text that occurs in *train* under two ids may be in both splits.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from model.data.example import Example

SELECT_SHARE = 10
"""One in this many train examples is held out for selection."""


def position(task: str, example_id: str) -> int:
    """A uniform number in [0, 2^64): the first eight bytes of SHA-256(`task/id`), big-endian."""
    return int.from_bytes(hashlib.sha256(f"{task}/{example_id}".encode()).digest()[:8], "big")


def is_select(task: str, example_id: str) -> bool:
    """Whether an example of the task's train file belongs to the `select` split (one tenth of them)."""
    return position(task, example_id) < 2**64 // SELECT_SHARE


def stratified_order(task: str, examples: Sequence[Example]) -> list[Example]:
    """The examples in an order of which every prefix is a random subset with proportional labels.

    Within a label (the integer part of a regression's target) examples are ordered by hash; the k-th of m gets the rank
    (k + ½)/m.
    """
    strata: dict[int, list[tuple[int, Example]]] = defaultdict(list)
    for example in examples:
        strata[int(example.label)].append((position(task, example.id), example))
    ranked: list[tuple[float, int, Example]] = []
    for stratum in strata.values():
        stratum.sort(key=lambda pair: pair[0])
        ranked += [((k + 0.5) / len(stratum), place, example) for k, (place, example) in enumerate(stratum)]
    ranked.sort(key=lambda item: item[:2])
    return [example for _, _, example in ranked]
