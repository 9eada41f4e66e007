"""The facts of a search that its displays, stores and report show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.results.trial_record import TrialRecord

GENERATED_SOURCE = "demo"
"""The data source that the project generates itself; whatever shows its scores says so."""


@dataclass(frozen=True)
class Dataset:
    """The data of a task."""

    source: str
    """`demo`, `hub`, or the folder that they came from."""
    sha256: str
    rows: Mapping[str, int]
    """By split."""


@dataclass(frozen=True)
class SearchFacts:
    """What is known of a search before its first trial."""

    name: str
    run_dir: Path
    """The search's own folder, absolute: `runs/NAME`."""
    space: str
    profile: str
    data_source: str
    """`demo`, `hub`, or the folder that the data came from."""
    data_summary: str
    """One line: the tasks and their numbers of rows."""
    data_sha256: str
    metric: str
    """What the score is, in words."""
    n_trials: int
    """Full trials whose compute the search may use."""
    n_evaluations: int
    """Evaluations of one trial that runs to its end."""
    max_concurrent: int
    """Trials that run at once."""
    sampler: str
    pruner: str
    dashboard_url: str | None
    """Address of the Ray dashboard while the search runs."""
    tracking_uri: str
    git_commit: str | None
    started: str = ""
    """When its first session began, ISO 8601."""
    max_trials: int | None = None
    """Trials at most; None for no limit."""
    finished: tuple[TrialRecord, ...] = ()
    """Trials that earlier sessions of the same search finished (`--resume`)."""
    unfinished: tuple[TrialRecord, ...] = ()
    """Trials that they began, which go on."""
    budget: str = "none"
    """What ends the search besides `n_trials`, in words."""
    confirmation: str = "none"
    """What is trained again after the last trial, in words."""
    requirements: tuple[str, ...] = ()
    """What the champion must meet, such as `quora/accuracy>=0.8`."""
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    """By task."""
    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What each task's control reached: `metric`, `value`, `config`, and whether it was `cached`."""
    gang: Mapping[str, float] = field(default_factory=dict)
    """The ranks of each trial: `cluster.shape.GangShape` as a mapping."""

    @property
    def is_generated(self) -> bool:
        return self.data_source == GENERATED_SOURCE
