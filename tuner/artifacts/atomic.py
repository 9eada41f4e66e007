"""Atomic writes: a reader, or a kill, finds the old content or the new one."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Replace the content of `path` by `text`. Raises OSError.

    Bytes of a file name that are not UTF-8 are written as `\\udce9`, from which JSON reads the same name.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def link_or_copy(source: str, target: str) -> None:
    """Hard-link a file that never changes, or copy it where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def print_any_path() -> None:
    """Let stdout escape what its encoding lacks, as stderr does: a path may hold bytes that are not UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
