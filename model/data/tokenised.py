"""The examples as token ids, tokenised once for a whole search, shared between processes and stored in a file.

Texts are stored separately and without special tokens, so that one tokenised data set serves every pair encoding (`collate.py`
adds [CLS] and [SEP]). Everything is a numpy array in a frozen dataclass: pickle protocol 5 passes the buffers without a copy,
and nothing writes to them. The file holds plain arrays, so reading it runs no code.
"""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model.data.example import Example
from model.data.source import DataSet, DataSummary

CHUNK = 4096
"""Texts passed to the tokenizer at once."""
FACTS = "facts"
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error)
IDS = ("cls_id", "sep_id", "pad_id", "vocab_size")


@dataclass(frozen=True)
class Ragged:
    """n rows of different lengths in one array."""

    values: npt.NDArray[np.int32]
    """(total,): the rows one after the other."""
    offsets: npt.NDArray[np.int64]
    """(n + 1,): row i is values[offsets[i] : offsets[i + 1]]."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> npt.NDArray[np.int32]:
        """Row i as a view. i: 0 ≤ i < n."""
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of {len(self)}")
        return self.values[self.offsets[i] : self.offsets[i + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n,): tokens of each row."""
        return np.diff(self.offsets)

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """Pack lists of token ids."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        values = np.fromiter((token for row in rows for token in row), dtype=np.int32, count=int(offsets[-1]))
        return cls(values, offsets)


@dataclass(frozen=True)
class TokenizedSplit:
    """One split of one task, n examples in the order of `DataSet`."""

    texts: tuple[Ragged, ...]
    """One `Ragged` of n rows for a sentence, two for a pair; no special tokens."""
    labels: npt.NDArray[np.float32]
    """(n,)."""

    def __len__(self) -> int:
        return len(self.labels)


TokenizedTask = dict[str, TokenizedSplit]
"""`train`, `select` and `dev` of one task."""


@dataclass(frozen=True)
class TokenizedData:
    """All tasks of a data set."""

    tasks: dict[str, TokenizedTask]
    cls_id: int
    sep_id: int
    pad_id: int
    vocab_size: int
    """Token ids are below this; the backbone's embedding has at least as many rows."""
    summary: DataSummary


def tokenise(dataset: DataSet, tokenizer: Any, max_length: int) -> TokenizedData:
    """Tokenise every text once, cut to max_length - 2 tokens so that [CLS] and [SEP] fit.

    tokenizer: a fast tokenizer of transformers with [CLS], [SEP] and [PAD].
    """

    def of_split(examples: Sequence[Example]) -> TokenizedSplit:
        columns = zip(*(example.texts for example in examples), strict=True)
        labels = np.array([example.label for example in examples], dtype=np.float32)
        return TokenizedSplit(tuple(_tokenise_texts(column, tokenizer, max_length - 2) for column in columns), labels)

    tasks = {task: {split: of_split(examples) for split, examples in splits.items()} for task, splits in dataset.tasks.items()}
    ids = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id)
    return TokenizedData(tasks, *ids, vocab_size=len(tokenizer), summary=dataset.summary)


def _tokenise_texts(texts: Sequence[str], tokenizer: Any, max_tokens: int) -> Ragged:
    rows: list[list[int]] = []
    for start in range(0, len(texts), CHUNK):
        encoded = tokenizer(
            list(texts[start : start + CHUNK]),
            add_special_tokens=False,
            truncation=True,
            max_length=max_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        rows += encoded["input_ids"]
    return Ragged.from_rows(rows)


def save(path: Path, data: TokenizedData) -> None:
    """Write the data to a file atomically. Raises OSError."""
    facts: dict[str, Any] = {name: getattr(data, name) for name in IDS} | {"summary": asdict(data.summary)}
    facts["sides"] = {task: {name: len(split.texts) for name, split in splits.items()} for task, splits in data.tasks.items()}
    arrays: dict[str, np.ndarray[Any, Any]] = {FACTS: np.array(json.dumps(facts))}
    for task, splits in data.tasks.items():
        for name, split in splits.items():
            arrays[f"{task}/{name}/labels"] = split.labels
            for side, texts in enumerate(split.texts):
                arrays[f"{task}/{name}/{side}/values"] = texts.values
                arrays[f"{task}/{name}/{side}/offsets"] = texts.offsets
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> TokenizedData | None:
    """The data of a file that `save` wrote; None if it is missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            facts = json.loads(str(file[FACTS]))
            tasks = {
                task: {split: _load_split(file, f"{task}/{split}", n_sides) for split, n_sides in splits.items()}
                for task, splits in facts["sides"].items()
            }
            return TokenizedData(tasks, **{name: facts[name] for name in IDS}, summary=DataSummary(**facts["summary"]))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, RuntimeError, MemoryError, *ZIP_ERRORS):
        return None


def _load_split(file: Any, name: str, n_sides: int) -> TokenizedSplit:
    texts = tuple(Ragged(file[f"{name}/{side}/values"], file[f"{name}/{side}/offsets"]) for side in range(n_sides))
    return TokenizedSplit(texts, file[f"{name}/labels"])
