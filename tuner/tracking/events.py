"""The one stream of events of a search, from the driver's one thread to whoever shows or writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from model.config import TrialConfig
from model.training.evaluation import Evaluation
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


class Observer(Protocol):
    """Hears everything that happens in a search, in order. Calls must return soon: the driver waits for them."""

    def search_started(self, plan: SearchFacts) -> None: ...

    def trial_asked(self, number: int) -> None:
        """It is handed out: from now until `trial_started` its gang is set up."""

    def trial_started(self, number: int, config: TrialConfig) -> None:
        """Also called when an unfinished trial goes on from its checkpoint."""

    def trial_placed(self, number: int, node: str) -> None:
        """The name of the node it runs on: before its first evaluation there, which is when it is known."""

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None: ...

    def trial_left(self, number: int, why: str) -> None:
        """It has lost its gang without a result, and goes on later: such as `died` or `interrupted`."""

    def trial_noted(self, number: int, note: str) -> None:
        """The trial runs differently from what its configuration says: with smaller micro-batches, for want of memory."""

    def trial_paused(self, record: TrialRecord) -> None:
        """The trial has given its processes back at a rung; it starts again if it is promoted, and finishes if it never is."""

    def trial_finished(self, record: TrialRecord) -> None: ...

    def search_finished(self, results: dict[str, Any]) -> None:
        """`results` as in results.json; its `finished` is None when the search was interrupted."""

    def tick(self) -> None:
        """Called about once a second, whether anything happened or not."""

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        """Who hears of trainings that are no trials, each a `control` or a `finalist` with a name, as of trials."""


class SilentObserver:
    """Hears everything and does nothing: the base of observers that care for some events only."""

    def search_started(self, plan: SearchFacts) -> None:
        return

    def trial_asked(self, number: int) -> None:
        return

    def trial_started(self, number: int, config: TrialConfig) -> None:
        return

    def trial_placed(self, number: int, node: str) -> None:
        return

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        return

    def trial_left(self, number: int, why: str) -> None:
        return

    def trial_noted(self, number: int, note: str) -> None:
        return

    def trial_paused(self, record: TrialRecord) -> None:
        return

    def trial_finished(self, record: TrialRecord) -> None:
        return

    def search_finished(self, results: dict[str, Any]) -> None:
        return

    def tick(self) -> None:
        return

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        return SilentObserver()


class Broadcast:
    """Passes every event on to several observers, in the order in which they were given."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def search_started(self, plan: SearchFacts) -> None:
        for observer in self._observers:
            observer.search_started(plan)

    def trial_asked(self, number: int) -> None:
        for observer in self._observers:
            observer.trial_asked(number)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        for observer in self._observers:
            observer.trial_started(number, config)

    def trial_placed(self, number: int, node: str) -> None:
        for observer in self._observers:
            observer.trial_placed(number, node)

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        for observer in self._observers:
            observer.evaluated(number, evaluation, score)

    def trial_left(self, number: int, why: str) -> None:
        for observer in self._observers:
            observer.trial_left(number, why)

    def trial_noted(self, number: int, note: str) -> None:
        for observer in self._observers:
            observer.trial_noted(number, note)

    def trial_paused(self, record: TrialRecord) -> None:
        for observer in self._observers:
            observer.trial_paused(record)

    def trial_finished(self, record: TrialRecord) -> None:
        for observer in self._observers:
            observer.trial_finished(record)

    def search_finished(self, results: dict[str, Any]) -> None:
        for observer in self._observers:
            observer.search_finished(results)

    def tick(self) -> None:
        for observer in self._observers:
            observer.tick()

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        return Broadcast([observer.aside(kind, names) for observer in self._observers])


def broadcast(*observers: Observer) -> Observer:
    """One observer that passes every event on to all of `observers`."""
    return Broadcast(observers)
