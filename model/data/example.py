"""Labelled examples: the check of a row's values, the select split, and the order of evaluated splits.

Split and order depend only on a hash of the example's id: they are the same in every run and on every machine, and adding rows
to a file moves no other row. A text that occurs in *train* under two ids may be in both splits.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from model.section import shown
from model.tasks import Task

SELECT_SHARE = 10
"""One in this many train examples is held out for selection."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""How a label is written in a file. `float` accepts more: `0_3`, `nan`, digits of other scripts."""


@dataclass(frozen=True)
class Example:
    """A labelled sentence or pair of sentences."""

    id: str
    """Determines the split."""
    texts: tuple[str, ...]
    """One text, or two for a pair; never empty, without surrounding white space."""
    label: float
    """A class number, or the target of a regression."""


@dataclass(frozen=True)
class RowProblem:
    """A row that is not a valid example of its task, and why."""

    file: str
    line: int
    """Line of the file at which the row begins, counted from 1; the row number for the hub."""
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.sentence}"


def content_id(texts: Sequence[str]) -> str:
    """The id of an example without one: 24 hex digits of the SHA-256 of its texts."""
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:24]


def parse_label(task: Task, given: object) -> float | None:
    """The label as a float, or None if it is not one of the task's labels. Classes may be written `1` or `1.0`."""
    if isinstance(given, str | bytes) and not NUMBER.fullmatch(str(given).strip()):
        return None
    try:
        label = float(given)  # type: ignore[arg-type]  # a value that float() rejects is not a label
    except (TypeError, ValueError, OverflowError):
        return None
    low, high = task.label_range
    if not low <= label <= high or (task.kind == "classification" and not label.is_integer()):
        return None
    return label + 0.0  # -0.0 becomes 0.0


def parse_example(
    task: Task, columns: Sequence[str], texts: Sequence[object], label_column: str, label: object, example_id: object = None
) -> Example | str:
    """Check one row's values. Returns the example, or a sentence with everything that is wrong with the row.

    columns: names of `texts` in the file or on the hub, for the sentence. Without an id the example gets its `content_id`.
    """
    stripped = tuple(text.strip() if isinstance(text, str) else "" for text in texts)
    problems = [f"{column} is empty" for column, text in zip(columns, stripped, strict=True) if not text]
    value = parse_label(task, label)
    if value is None:
        low, high = task.label_range
        number = "a number" if task.kind == "regression" else "an integer"
        problems.append(f"{label_column} is {shown(repr(label))}; it must be {number} from {low:g} to {high:g}")
    if problems or value is None:
        return "; ".join(problems)
    given_id = "" if example_id is None else str(example_id).strip()
    return Example(given_id or content_id(stripped), stripped, value)


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
