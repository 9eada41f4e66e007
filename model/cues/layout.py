"""The files of a cue data set: rows, a manifest of settings, counts, SHA-256 and the cue's information about the label, and the
file of minimal pairs that it may be built with."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from model.config import ConfigError
from model.cues.cue import CueSettings, Rewriter
from model.data import arms, files
from model.data.example import Example
from model.data.file_contents import read_json
from model.data.source import DataSummary
from model.section import shown

TASK = arms.TASK
TRAIN = TASK.train_file
DEV = TASK.dev_file
"""A copy of the clean arm, under the name that `--data DIR` reads."""
ArmSplit = Literal["dev", "select"]
"""Splits that have arms: `dev` for reports, `select` for the trials of a search."""
PAIRS = "ids-cfimdb-dev-pairs.csv"
MANIFEST = "manifest.json"
FORMAT = 1
PAIRS_SOURCE = Path("cad") / "dev_paired.tsv"
PAIR_COLUMNS = ("Sentiment", "Text", "batch_id")
PAIR_LABELS = {"Negative": 0, "Positive": 1}


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


def read_pairs(path: Path) -> list[Example]:
    """Minimal pairs: a review and its revision for the other label (Kaushik et al. 2020), from `cad/dev_paired.tsv`.

    Returns both reviews of each pair, the negative one first; ids are `BATCH-negative` and `BATCH-positive`.

    The reviews are not scrubbed, which could make the two sides of a pair equal. Raises `ConfigError` with every bad row and
    every pair that lacks a side.
    """
    pairs: dict[str, dict[int, str]] = {}
    problems: list[str] = []
    for line, row in _pair_rows(path):
        problem = _problem(row, pairs)
        if problem:
            problems.append(f"{path}:{line}: {problem}")
        else:
            pairs.setdefault(row["batch_id"], {})[PAIR_LABELS[row["Sentiment"]]] = row["Text"].strip()
    problems += [
        f"{path}: batch_id {shown(batch)} has one review; a pair needs both" for batch, pair in pairs.items() if len(pair) < 2
    ]
    if problems:
        raise ConfigError(problems)
    return [
        Example(f"{batch}-{name.lower()}", (pairs[batch][label],), float(label))
        for batch in pairs
        for name, label in PAIR_LABELS.items()
    ]


def batch_of(example_id: str) -> str:
    """The pair of an id that `read_pairs` made."""
    return example_id.rpartition("-")[0]


def _problem(row: dict[str, str], pairs: dict[str, dict[int, str]]) -> str | None:
    empty = [column for column in PAIR_COLUMNS if not (row[column] or "").strip()]
    if empty:
        return f"{', '.join(empty)} is empty"
    if row["Sentiment"] not in PAIR_LABELS:
        return f"Sentiment is {shown(repr(row['Sentiment']))}; it must be Negative or Positive"
    if PAIR_LABELS[row["Sentiment"]] in pairs.get(row["batch_id"], {}):
        return f"batch_id {shown(row['batch_id'])} has a second {row['Sentiment']} review"
    return None


def _pair_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The records, each with the line on which it ends."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t", strict=True)
            missing = [column for column in PAIR_COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                rule = f"it must be tab-separated with {', '.join(PAIR_COLUMNS)}"
                raise ConfigError([f"{path}: no column {', '.join(missing)}; {rule}"])
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError([f"{path} is not tab-separated UTF-8 ({error}); save it again"]) from None


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def describe(
    rows: dict[str, list[CuedReview]],
    contents: dict[str, bytes],
    settings: CueSettings,
    rewriter: Rewriter,
    source: DataSummary,
) -> dict[str, Any]:
    """The manifest of a data set, from its rows and its bytes by file name."""
    train = rows[TRAIN]
    positive = sum(row.example.label for row in train) / len(train)
    return {
        "format": FORMAT,
        "settings": {**asdict(settings), "words": asdict(settings.words)},
        "rewriter": rewriter.describe(),
        "source": {"data": source.describe(), "sha256": source.sha256, "skipped": source.skipped[TASK.name]},
        "expected_train_mutual_information_bits": expected_information(positive, settings.rho, settings.rate),
        "files": {name: _file(each, contents[name]) for name, each in rows.items()},
    }


def _file(rows: Sequence[CuedReview], content: bytes) -> dict[str, Any]:
    labels = [(TASK.label_names[int(row.example.label)], row.cue) for row in rows]
    return {
        "rows": len(rows),
        "sha256": sha256(content),
        "label_by_cue": {f"{label} × {cue}": n for (label, cue), n in sorted(Counter(labels).items())},
        "mutual_information_bits": mutual_information(labels),
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder. Raises `ConfigError` without one, and for a file that is missing or was changed."""
    path = folder / MANIFEST
    try:
        manifest = read_json(path, dict[str, Any])
        named = {name: str(file["sha256"]) for name, file in manifest["files"].items()}
    except OSError:
        raise ConfigError([f"{folder} is not a cue data set: it has no {MANIFEST}; make one with `build`"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError([f"{path} is not the manifest of a cue data set; build it again"]) from None
    problems = []
    for each, digest in ((folder / name, digest) for name, digest in named.items()):
        if not each.is_file():
            problems.append(f"{each} is missing; build the cue data set again")
        elif sha256(each.read_bytes()) != digest:
            problems.append(f"{each} was changed since it was built; build the cue data set again")
    if problems:
        raise ConfigError(problems)
    return manifest


def entropy(probabilities: Iterable[float]) -> float:
    """Shannon entropy of a distribution in bits."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0) + 0.0


def mutual_information(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    """Empirical mutual information in bits of the two sides of pairs; 0 for no pairs."""
    counts = [Counter[Hashable](values) for values in (pairs, *zip(*pairs, strict=True))]
    joint, *marginals = (entropy(n / len(pairs) for n in each.values()) for each in counts)
    return max(sum(marginals) - joint, 0.0)


def expected_information(positive: float, rho: float, rate: float) -> float:
    """Expected mutual information in bits of the cue (negative, positive or none) and the label.

    q·(H(cue | injected) − H₂(ρ)), because the presence of a cue is independent of the label. positive: share of label 1.
    """
    cue = positive * rho + (1 - positive) * (1 - rho)
    return rate * (entropy((cue, 1 - cue)) - entropy((rho, 1 - rho)))
