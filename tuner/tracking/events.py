"""The one stream of events of a search, from the driver's one thread to whoever shows or writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.results.facts import SearchFacts
from tuner.results.trial_record import TrialRecord


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
