"""Minimal pairs: a review and its revision for the other label (Kaushik et al. 2020), from `cad/dev_paired.tsv`."""

from __future__ import annotations

import csv
from pathlib import Path

from model.config import ConfigError
from model.data.example import Example
from model.section import shown

FILE = Path("cad") / "dev_paired.tsv"
COLUMNS = ("Sentiment", "Text", "batch_id")
LABELS = {"Negative": 0, "Positive": 1}


def read(path: Path) -> list[Example]:
    """Both reviews of each pair, the negative one first; ids are `BATCH-negative` and `BATCH-positive`.

    The reviews are not scrubbed, which could make the two sides of a pair equal. Raises `ConfigError` with every bad row and
    every pair that lacks a side.
    """
    pairs: dict[str, dict[int, str]] = {}
    problems: list[str] = []
    for line, row in _rows(path):
        problem = _problem(row, pairs)
        if problem:
            problems.append(f"{path}:{line}: {problem}")
            continue
        pairs.setdefault(row["batch_id"], {})[LABELS[row["Sentiment"]]] = row["Text"].strip()
    problems += [
        f"{path}: batch_id {shown(batch)} has one review; a pair needs both" for batch, pair in pairs.items() if len(pair) < 2
    ]
    if problems:
        raise ConfigError(problems)
    return [
        Example(f"{batch}-{name.lower()}", (pairs[batch][label],), float(label))
        for batch in pairs
        for name, label in LABELS.items()
    ]


def batch_of(example_id: str) -> str:
    """The pair of an id that `read` made."""
    return example_id.rpartition("-")[0]


def _problem(row: dict[str, str], pairs: dict[str, dict[int, str]]) -> str | None:
    empty = [column for column in COLUMNS if not (row[column] or "").strip()]
    if empty:
        return f"{', '.join(empty)} is empty"
    if row["Sentiment"] not in LABELS:
        return f"Sentiment is {shown(repr(row['Sentiment']))}; it must be Negative or Positive"
    if LABELS[row["Sentiment"]] in pairs.get(row["batch_id"], {}):
        return f"batch_id {shown(row['batch_id'])} has a second {row['Sentiment']} review"
    return None


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The records, each with the line on which it ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", strict=True)
            missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise ConfigError(
                    [f"{path}: no column {', '.join(missing)}; it must be tab-separated with {', '.join(COLUMNS)}"]
                )
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([f"{path} is not tab-separated UTF-8 ({error}); save it again"]) from None
