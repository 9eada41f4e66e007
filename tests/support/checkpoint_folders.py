"""Checkpoint folders made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Folder:
    """A stand-in for Tune's checkpoint: a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def as_directory(self) -> Iterator[str]:
        yield str(self.path)


def made(folder: Path, text: str) -> Folder:
    """A checkpoint of two files, one in a folder of its own."""
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "weights.pt").write_text(text)
    (folder / "teacher.safetensors").write_text(text)
    return Folder(folder)
