"""The record of a cue data set: settings, counts, SHA-256 of each file, and how much the cue tells of the label."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.cues import layout
from model.cues.carrier import Rewriter
from model.cues.information import expected_information, mutual_information
from model.cues.layout import CuedReview
from model.cues.settings import CueSettings
from model.data.source import DataSummary

FORMAT = 1


def describe(
    made: dict[str, list[CuedReview]],
    contents: dict[str, bytes],
    settings: CueSettings,
    rewriter: Rewriter,
    source: DataSummary,
) -> dict[str, Any]:
    """The manifest of files `made`, with their bytes in `contents`."""
    train = made[layout.TRAIN]
    positive = sum(row.example.label for row in train) / len(train)
    return {
        "format": FORMAT,
        "settings": {**asdict(settings), "words": asdict(settings.words)},
        "rewriter": rewriter.describe(),
        "source": {"data": source.describe(), "sha256": source.sha256, "skipped": source.skipped[layout.TASK.name]},
        "expected_train_mutual_information_bits": expected_information(positive, settings.rho, settings.rate),
        "files": {name: _file(made[name], contents[name]) for name in made},
    }


def _file(rows: Sequence[CuedReview], content: bytes) -> dict[str, Any]:
    labels = [(layout.TASK.label_names[int(row.example.label)], row.cue) for row in rows]
    return {
        "rows": len(rows),
        "sha256": layout.sha256(content),
        "label_by_cue": {f"{label} × {cue}": n for (label, cue), n in sorted(Counter(labels).items())},
        "mutual_information_bits": mutual_information(labels),
    }


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a folder. Raises `ConfigError` where there is none, or where a file is not the one it names."""
    path = folder / layout.MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        named = {name: str(file["sha256"]) for name, file in manifest["files"].items()}
    except OSError:
        raise ConfigError([f"{folder} holds no cue data set: it has no {layout.MANIFEST}; make one with `build`"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError([f"{path} is not the manifest of a cue data set; build it again"]) from None
    problems = [problem for name, digest in named.items() for problem in _differs(folder / name, digest)]
    if problems:
        raise ConfigError(problems)
    return dict(manifest)


def _differs(path: Path, digest: str) -> list[str]:
    if not path.is_file():
        return [f"{path} is missing; build the cue data set again"]
    if layout.sha256(path.read_bytes()) != digest:
        return [f"{path} was changed since it was built; build the cue data set again"]
    return []
