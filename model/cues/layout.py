"""The files of a cue data set and how they are written and read back."""

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
"""The clean arm again, under the name that `--data DIR` looks for."""
ArmSplit = Literal["dev", "select"]
"""Splits that come in arms: `dev` to report on, `select` for a search to measure its trials on."""
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
    """The rows in the tab-separated layout of `--data DIR`, with a column `cue` that a trial does not read."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["", "id", *TASK.text_columns, TASK.label_column, "cue"])
    for number, row in enumerate(rows):
        sentence = re.sub(r"[\t\r\n]", " ", row.example.texts[0])  # the layout allows no tab beside a line end
        writer.writerow([number, row.example.id, sentence, f"{row.example.label:.0f}", row.cue])
    return text.getvalue().encode()


def read_reviews(path: Path) -> list[Example]:
    """The examples of a file that `render` made. Raises `ConfigError` with every bad row."""
    rows = list(files.read_rows(path, TASK))
    problems = [str(row) for row in rows if not isinstance(row, Example)]
    if problems:
        raise ConfigError(problems)
    return [row for row in rows if isinstance(row, Example)]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
