"""Answers of a language model on disk, by the hash of what was asked: an interrupted build asks for nothing twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import ConfigError


@dataclass(frozen=True)
class Cache:
    """One file for each answer."""

    folder: Path

    def path(self, request: dict[str, Any]) -> Path:
        """The file of a request: SHA-256 of its JSON with sorted keys."""
        return self.folder / f"{hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()}.json"

    def get(self, request: dict[str, Any]) -> str | None:
        """The answer kept for a request, or None; a file that is not whole is none."""
        try:
            answer = json.loads(self.path(request).read_text(encoding="utf-8"))["answer"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return answer if isinstance(answer, str) else None

    def put(self, request: dict[str, Any], answer: str) -> None:
        """Keep an answer; a kill in between leaves no half file under its name. Raises `ConfigError`."""
        path = self.path(request)
        part = path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"answer": answer}), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise ConfigError([f"cannot write to {self.folder}: {error.strerror}; name another folder with --cache"]) from None
