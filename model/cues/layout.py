"""The files of a cue data set: their names, writing and reading."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.config import ConfigError
from model.data import arms, files
from model.data.example import Example

TASK = arms.TASK
TRAIN = TASK.train_file
DEV = TASK.dev_file
"""A copy of the clean arm, under the name that `--data DIR` reads."""
ArmSplit = Literal["dev", "select"]
"""Splits that have arms: `dev` for reports, `select` for the trials of a search."""
PAIRS = "ids-cfimdb-dev-pairs.csv"
MANIFEST = "manifest.json"


def arm_file(arm: str, split: ArmSplit = "dev") -> str:
    """`ids-cfimdb-dev-ARM.csv`, or `ids-cfimdb-select-ARM.csv`."""
    return arms.arm_file(TASK, split, arm)


@dataclass(frozen=True)
class CuedReview:
    """One row: an example and the name of its cue."""

    example: Example
    cue: str


def render(rows: Sequence[CuedReview]) -> bytes:
    """The rows in the tab-separated layout of `--data DIR`, with a further column `cue` that trials ignore."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["", "id", *TASK.text_columns, TASK.label_column, "cue"])
    for number, row in enumerate(rows):
        sentence = re.sub(r"[\t\r\n]", " ", row.example.texts[0])  # the layout does not allow both tabs and line ends
        writer.writerow([number, row.example.id, sentence, f"{row.example.label:.0f}", row.cue])
    return text.getvalue().encode()


def read_reviews(path: Path) -> list[Example]:
    """The examples of a file that `render` wrote. Raises `ConfigError` with every bad row."""
    rows = list(files.read_rows(path, TASK))
    problems = [str(row) for row in rows if not isinstance(row, Example)]
    if problems:
        raise ConfigError(problems)
    return [row for row in rows if isinstance(row, Example)]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
