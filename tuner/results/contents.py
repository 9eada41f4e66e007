"""The types of what readers of results.json use, by which a file is checked when it is read; it may hold more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Numbers = dict[str, float | None]


@dataclass(frozen=True)
class EvaluationEntry:
    """An evaluation of a trial."""

    step: int
    score: float | None
    metrics: Numbers
    seconds: float | None = None


@dataclass(frozen=True)
class TrialEntry:
    """An entry of `trials`."""

    number: int
    state: str
    score: float | None
    metrics: Numbers
    evaluations: list[EvaluationEntry]
    config: dict[str, Any]
    seconds: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ChampionEntry:
    """The entry `champion`."""

    number: int | None
    score: float | None
    metrics: Numbers
    config: dict[str, Any]
    confirmed: dict[str, Any] | None = None


@dataclass(frozen=True)
class DataEntry:
    """The entry `data`."""

    source: str
    sha256: str | None
    rows: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Contents:
    """All of results.json."""

    name: str
    space: str
    seed: int
    metric: str
    data: DataEntry
    trials: list[TrialEntry]
    champion: ChampionEntry | None
    finished: str | None
    environment: dict[str, Any]
    mlflow: dict[str, Any]
    optuna: dict[str, Any]
    started: str | None = None
    stopped_by: str | None = None
    unfinished: list[int] = field(default_factory=list)
    front: list[int] = field(default_factory=list)
    confirmation: dict[str, Any] | None = None
