"""The events of a search: one base class for everything that shows, counts or writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.results.facts import SearchFacts
from tuner.results.trial_record import TrialRecord


class Observer:
    """Receives the events of a search in order, from the driver's one thread; each method does nothing unless overridden.

    Methods must return soon, because the driver waits for them.
    """

    def search_started(self, plan: SearchFacts) -> None:
        pass

    def trial_asked(self, number: int) -> None:
        """The trial has a slot; its gang is set up until `trial_started`."""

    def trial_started(self, number: int, config: TrialConfig) -> None:
        """Also called when an unfinished trial resumes from its checkpoint."""

    def trial_placed(self, number: int, node: str) -> None:
        """The name of the trial's node, known just before its first evaluation there."""

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        pass

    def trial_left(self, number: int, why: str) -> None:
        """The trial has lost its gang without a result and resumes later; `why` is such as `died` or `interrupted`."""

    def trial_noted(self, number: int, note: str) -> None:
        """The trial deviates from its configuration: with smaller micro-batches after running out of memory."""

    def trial_paused(self, record: TrialRecord) -> None:
        """The trial has released its processes at a rung; it resumes when promoted and finishes when it never is."""

    def trial_finished(self, record: TrialRecord) -> None:
        pass

    def search_finished(self, results: dict[str, Any]) -> None:
        """`results` as in results.json; its `finished` is None when the search was interrupted."""

    def tick(self) -> None:
        """Called about once a second."""

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        """The observer of trainings that are not trials: controls or finalists (`kind`), with a name for each number."""
        return Observer()


class Broadcast(Observer):
    """Forwards every event to several observers, in the order given."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        return Broadcast(*(observer.aside(kind, names) for observer in self._observers))


def _forward(event: str) -> Callable[..., None]:
    """The method of `Broadcast` for an event."""

    def forward(self: Broadcast, *arguments: Any) -> None:
        for observer in self._observers:
            getattr(observer, event)(*arguments)

    return forward


for _event in vars(Observer):
    if not _event.startswith("_") and _event not in vars(Broadcast):
        setattr(Broadcast, _event, _forward(_event))
