"""A folder in a store that is whole or not there, and unchanged or not used.

Its name ends with the digest of its manifest, which has the digest of every file: whoever was told the name notices a torn
upload, and a change by somebody else who may write to the store. That matters because checkpoints hold pickles, which run code
when they are loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tuner.artifacts.store import PIECE, Store

MANIFEST = "manifest.json"
"""Written last."""
N_DIGITS = 32
"""Of a SHA-256, in a name: 128 bits."""


class NotAsWrittenError(OSError):
    """What the store holds is not what was written."""


@dataclass(frozen=True)
class StoredFolder:
    """A folder in a store, by its name alone."""

    store: Store
    key: str

    def put(self, folder: Path, files: Mapping[str, str]) -> None:
        """Bring files of a folder into the store; those of several nodes come one by one."""
        for name in files:
            self.store.put(folder / name, f"{self.key}/{name}")

    def finish(self, files: Mapping[str, str]) -> None:
        """Write the manifest: from now on the folder is there."""
        self.store.write(f"{self.key}/{MANIFEST}", _manifest(files))

    def is_there(self) -> bool:
        return self.store.has(f"{self.key}/{MANIFEST}")

    def fetch(self, target: Path) -> None:
        """Copy all files to `target`. Raises OSError, `NotAsWrittenError` among them, when they cannot be had as they were."""
        manifest = self.store.read(f"{self.key}/{MANIFEST}")
        if not self.key.endswith(_digest(manifest)):
            raise NotAsWrittenError(f"{self.store.url}/{self.key} is not what was written: its manifest was changed")
        target.mkdir(parents=True, exist_ok=True)
        for name, digest in json.loads(manifest)["files"].items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            if self.store.fetch(f"{self.key}/{name}", target / name) != digest:
                raise NotAsWrittenError(f"{self.store.url}/{self.key} is not what was written: {name} was changed")


def named(store: Store, prefix: str, files: Mapping[str, str]) -> StoredFolder:
    """The folder that these files are to become."""
    return StoredFolder(store, f"{prefix}_{_digest(_manifest(files))}")


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder, by path; empty for a folder that is not there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _digest_of(path) for path in files}


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _manifest(files: Mapping[str, str]) -> bytes:
    return json.dumps({"files": dict(sorted(files.items()))}, indent=1).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:N_DIGITS]
