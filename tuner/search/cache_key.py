"""Keys of the caches beside the runs: hashes of everything that a cached result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from tuner.results import environment

TRAINING_LIBRARIES = ("torch", "transformers", "tokenizers", "deepspeed", "numpy", "scipy", "scikit-learn")
"""Libraries whose versions a training's result depends on."""


def digest(values: object, length: int = 24) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of `values` as JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:length]


def versions_of(libraries: Iterable[str]) -> dict[str, str | None]:
    """The installed version of each library."""
    installed = environment.versions()
    return {name: installed[name] for name in libraries}


def contents_of(folder: Path, *patterns: str) -> dict[str, str]:
    """SHA-256 of each file in `folder` that matches a glob pattern, by name; empty where `folder` is no folder."""
    hashes = {}
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def weights_of(backbone: str) -> dict[str, str]:
    """SHA-256 of a backbone's weights and configuration; empty for a name on the hub."""
    return contents_of(Path(backbone), "*.safetensors", "*.json")
