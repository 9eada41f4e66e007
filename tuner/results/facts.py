"""The facts of a search for its displays, stores and report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.results.trial_record import TrialRecord

GENERATED_SOURCE = "demo"
"""The data source that the project generates itself; displays of its scores say so."""


@dataclass(frozen=True)
class Dataset:
    """The data of a task."""

    source: str
    """`demo`, `hub`, or a folder."""
    sha256: str
    rows: Mapping[str, int]
    """By split."""


@dataclass(frozen=True)
class SearchFacts:
    """The facts known before the first trial."""

    name: str
    study_name: str
    """Of the Optuna study and of MLflow's parent run: the search's name when it began."""
    run_dir: Path
    """The search's own folder, absolute: `runs/NAME`."""
    space: str
    profile: str
    data_source: str
    """`demo`, `hub`, or a folder."""
    data_summary: str
    """One line: the tasks and their numbers of rows."""
    data_sha256: str
    metric: str
    """The score in words."""
    n_trials: int
    """Compute budget, in full trials."""
    n_evaluations: int
    """Evaluations of a complete trial."""
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
    """Trials that they began, which continue."""
    budget: str = "none"
    """Limits of the search besides `n_trials`, in words."""
    confirmation: str = "none"
    """The trainings after the last trial, in words."""
    requirements: tuple[str, ...] = ()
    """Requirements on the champion, such as `quora/accuracy>=0.8`."""
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    """By task."""
    controls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Each task's control: `metric`, `value`, `config`, and whether it was `cached`."""
    gang: Mapping[str, float] = field(default_factory=dict)
    """The ranks of each trial: `cluster.shape.GangShape` as a mapping."""
    data_warnings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """`model.data.data_warnings.TaskWarnings` as a mapping, of each task that has any."""

    @property
    def is_generated(self) -> bool:
        return self.data_source == GENERATED_SOURCE
