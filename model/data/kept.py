"""Tokenised data in a file: plain arrays, so that reading them runs no code and takes a moment."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from model.data.source import DataSummary
from model.data.tokenised import Ragged, TokenizedData, TokenizedSplit

FACTS = "facts"
IDS = ("cls_id", "sep_id", "pad_id", "vocab_size")


def write(path: Path, data: TokenizedData) -> None:
    """Keep the data in a file, which appears whole or not at all. Raises OSError."""
    facts: dict[str, Any] = {name: getattr(data, name) for name in IDS} | {"summary": asdict(data.summary)}
    facts["sides"] = {task: {split: len(own.texts) for split, own in splits.items()} for task, splits in data.tasks.items()}
    arrays: dict[str, np.ndarray[Any, Any]] = {FACTS: np.array(json.dumps(facts))}
    for task, splits in data.tasks.items():
        for split, own in splits.items():
            arrays[f"{task}/{split}/labels"] = own.labels
            for side, texts in enumerate(own.texts):
                arrays[f"{task}/{split}/{side}/values"] = texts.values
                arrays[f"{task}/{split}/{side}/offsets"] = texts.offsets
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> TokenizedData | None:
    """What was kept; None where there is no such file, or no whole one."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            facts = json.loads(str(file[FACTS]))
            tasks = {
                task: {split: _split(file, f"{task}/{split}", n_sides) for split, n_sides in splits.items()}
                for task, splits in facts["sides"].items()
            }
            return TokenizedData(tasks, **{name: facts[name] for name in IDS}, summary=DataSummary(**facts["summary"]))
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _split(file: Any, name: str, n_sides: int) -> TokenizedSplit:
    texts = tuple(Ragged(file[f"{name}/{side}/values"], file[f"{name}/{side}/offsets"]) for side in range(n_sides))
    return TokenizedSplit(texts, file[f"{name}/labels"])
