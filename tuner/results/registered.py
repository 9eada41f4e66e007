"""A champion in the model registry, as results.json records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Registered:
    """What became of a champion in the registry."""

    model: str
    version: int
    is_champion: bool
    """Whether it has the alias now."""
    said: str
    """Why, in a sentence."""


def model_name(found: Mapping[str, Any]) -> str:
    """The registered model of a search, from the contents of its results.json."""
    return f"{found['space']}-{found['data']['sha256'][:8]}"


def score_of(champion: Mapping[str, Any]) -> float:
    """What a champion is judged by: the confirmed mean over its fresh seeds, and its own score where nothing was confirmed."""
    confirmed = champion.get("confirmed")
    return float(confirmed["mean"] if confirmed else champion["score"])


def describe(registered: Mapping[str, Any]) -> str:
    """Such as `registered as smart_mtl-6ca11080, version 2, now champion: its score of …`."""
    has = ", now champion" if registered["is_champion"] else ""
    return f"registered as {registered['model']}, version {registered['version']}{has}: {registered['said']}"
