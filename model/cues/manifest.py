"""The record of a cue data set: settings, counts, SHA-256 of each file, and the information of the cue about the label."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.cues import layout
from model.cues.carrier import Rewriter
from model.cues.cue import CueSettings
from model.cues.layout import CuedReview
from model.data.source import DataSummary
from model.file_contents import read_json

FORMAT = 1


def describe(
    files: dict[str, list[CuedReview]],
    contents: dict[str, bytes],
    settings: CueSettings,
    rewriter: Rewriter,
    source: DataSummary,
) -> dict[str, Any]:
    """The manifest of a data set, from its rows and its bytes by file name."""
    train = files[layout.TRAIN]
    positive = sum(row.example.label for row in train) / len(train)
    return {
        "format": FORMAT,
        "settings": {**asdict(settings), "words": asdict(settings.words)},
        "rewriter": rewriter.describe(),
        "source": {"data": source.describe(), "sha256": source.sha256, "skipped": source.skipped[layout.TASK.name]},
        "expected_train_mutual_information_bits": expected_information(positive, settings.rho, settings.rate),
        "files": {name: _file(rows, contents[name]) for name, rows in files.items()},
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
    """The manifest of a folder. Raises `ConfigError` without one, and for a file that is missing or was changed."""
    path = folder / layout.MANIFEST
    try:
        manifest = read_json(path, dict[str, Any])
        named = {name: str(file["sha256"]) for name, file in manifest["files"].items()}
    except OSError:
        raise ConfigError([f"{folder} is not a cue data set: it has no {layout.MANIFEST}; make one with `build`"]) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError([f"{path} is not the manifest of a cue data set; build it again"]) from None
    problems = [problem for name, digest in named.items() for problem in _differs(folder / name, digest)]
    if problems:
        raise ConfigError(problems)
    return manifest


def _differs(path: Path, digest: str) -> list[str]:
    if not path.is_file():
        return [f"{path} is missing; build the cue data set again"]
    if layout.sha256(path.read_bytes()) != digest:
        return [f"{path} was changed since it was built; build the cue data set again"]
    return []


def entropy(probabilities: Iterable[float]) -> float:
    """Shannon entropy of a distribution in bits."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0) + 0.0


def mutual_information(pairs: Iterable[tuple[Hashable, Hashable]]) -> float:
    """Empirical mutual information in bits of the two sides of pairs; 0 for no pairs."""
    counts = Counter(pairs)
    n = sum(counts.values())
    joint = entropy(count / n for count in counts.values())
    sides = (Counter[Hashable](), Counter[Hashable]())
    for pair, count in counts.items():
        for side, value in zip(sides, pair, strict=True):
            side[value] += count
    marginals = sum(entropy(count / n for count in side.values()) for side in sides)
    return max(marginals - joint, 0.0)


def expected_information(positive: float, rho: float, rate: float) -> float:
    """Expected mutual information in bits of the cue (negative, positive or none) and the label.

    q·(H(cue | injected) − H₂(ρ)), because the presence of a cue is independent of the label. positive: share of label 1.
    """
    cue = positive * rho + (1 - positive) * (1 - rho)
    return rate * (entropy((cue, 1 - cue)) - entropy((rho, 1 - rho)))
