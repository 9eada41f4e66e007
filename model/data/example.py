"""Labelled examples, and the check of a row's values."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from model.tasks import Task


@dataclass(frozen=True)
class Example:
    """A labelled sentence or pair of sentences."""

    id: str
    """Decides the split (see `split.py`)."""
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
    try:
        label = float(given)  # type: ignore[arg-type]  # a value that float() rejects is not a label
    except (TypeError, ValueError):
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
        problems.append(f"{label_column} is {label!r}; it must be {number} from {low:g} to {high:g}")
    if problems or value is None:
        return "; ".join(problems)
    given_id = "" if example_id is None else str(example_id).strip()
    return Example(given_id or content_id(stripped), stripped, value)
