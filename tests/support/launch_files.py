"""The launch files as documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def compose() -> Document:
    (document,) = documents(ROOT / "mlflow" / "docker-compose.yml")
    return document
