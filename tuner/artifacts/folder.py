"""Folders in a store that are verified when they are fetched.

A folder's name ends with the digest of its manifest, which lists the digest of every file, so that a reader detects partial
uploads and changes by others who can write to the store. Checkpoints hold pickles, which run code when they are loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner.artifacts.store import Store

MANIFEST = "manifest.json"
"""Written last: a folder without it is incomplete."""
N_DIGITS = 32
"""Hexadecimal digits of the SHA-256 in a name: 128 bits."""


class NotAsWrittenError(OSError):
    """The store's content differs from what was written."""


@dataclass(frozen=True)
class StoredFolder:
    """A folder in a store, identified by its key."""

    store: Store
    key: str

    def put(self, folder: Path, files: Mapping[str, str]) -> None:
        """Upload files of a local folder; each node uploads its own."""
        for name in files:
            self.store.put(folder / name, f"{self.key}/{name}")

    def finish(self, files: Mapping[str, str]) -> None:
        """Write the manifest, which completes the folder."""
        self.store.write(f"{self.key}/{MANIFEST}", _manifest(files))

    def is_there(self) -> bool:
        return self.store.has(f"{self.key}/{MANIFEST}")

    def fetch(self, target: Path) -> None:
        """Copy all files to `target` and verify them. Raises OSError, and `NotAsWrittenError` for a changed file."""
        manifest = self.store.read(f"{self.key}/{MANIFEST}")
        if not self.key.endswith(_digest(manifest)):
            raise NotAsWrittenError(f"{self.store.url}/{self.key} is not what was written: its manifest was changed")
        target.mkdir(parents=True, exist_ok=True)
        for name, digest in json.loads(manifest)["files"].items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if self.store.fetch(f"{self.key}/{name}", target / name) != digest:
                raise NotAsWrittenError(f"{self.store.url}/{self.key} is not what was written: {name} was changed")


def named(store: Store, prefix: str, files: Mapping[str, str]) -> StoredFolder:
    """The folder for these files, given as SHA-256 by path."""
    return StoredFolder(store, f"{prefix}_{_digest(_manifest(files))}")


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a local folder, by path; empty for a missing folder."""
    digests = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def _manifest(files: Mapping[str, str]) -> bytes:
    return json.dumps({"files": dict(sorted(files.items()))}, indent=1).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:N_DIGITS]
