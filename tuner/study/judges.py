"""Who goes on after an evaluation: a pruner stops a trial for good, a ladder pauses it and may promote it later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.study.answers import Verdict
from tuner.study.ladder import Ladder, Place
from tuner.study.repeats import SAME_AS
from tuner.study.running_pruners import Running
from tuner.study.standing import curve
from tuner.study.stored import evaluations as evaluations_of

if TYPE_CHECKING:
    from tuner.objective import Objective


class Judge(ABC):
    """Judges the trials of one study, and hears what becomes of them."""

    @abstractmethod
    def verdict(self, judged: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        """What becomes of a trial after its evaluation `told`. The last one never stops it: there is nothing left to save."""

    @abstractmethod
    def reported(self, judged: FrozenTrial) -> None:
        """The evaluation of the last verdict is stored."""

    @abstractmethod
    def completed(self, frozen: FrozenTrial) -> None:
        """A trial, or a repeat of one, has become COMPLETE."""

    @property
    def paused(self) -> list[int]:
        """The trials that are paused and hold no processes, by number."""
        return []

    @property
    def is_moving(self) -> bool:
        """Whether what runs may make room for a paused trial."""
        return False

    def begin(self, number: int) -> None:
        """A new trial runs."""
        return

    def end(self, number: int, state: TrialState) -> None:
        """A trial has ended without becoming COMPLETE."""
        return

    def promote(self) -> int | None:
        """The most promising paused trial that may go on, which runs from now on."""
        return None


class Stopping(Judge):
    """By the pruner that the study has."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def verdict(self, judged: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        is_last = told["index"] == told["n_evaluations"]
        return Verdict.CONTINUE if is_last or not self._study.pruner.prune(self._study, judged) else Verdict.PRUNE

    def reported(self, judged: FrozenTrial) -> None:
        if isinstance(self._study.pruner, Running):
            self._study.pruner.reported(judged)

    def completed(self, frozen: FrozenTrial) -> None:
        if isinstance(self._study.pruner, Running):
            self._study.pruner.completed(frozen)


class Promoting(Judge):
    """By the ladder on which all trials of the study stand."""

    def __init__(self, study: optuna.Study, ladder: Ladder, objective: Objective, rung_resource: str) -> None:
        self._ladder, self._objective, self._rung_resource = ladder, objective, rung_resource
        ladder.restore(study.get_trials(deepcopy=False), lambda frozen: self._places(evaluations_of(frozen)))

    def verdict(self, judged: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        goes_on = self._ladder.arrive(judged.number, *self._places([told]))
        return Verdict.CONTINUE if goes_on or told["index"] == told["n_evaluations"] else Verdict.PAUSE

    def reported(self, judged: FrozenTrial) -> None:
        return

    def completed(self, frozen: FrozenTrial) -> None:
        if SAME_AS not in frozen.user_attrs:  # a repeat did not come anywhere itself
            self._ladder.complete(frozen.number)

    @property
    def paused(self) -> list[int]:
        return self._ladder.paused

    @property
    def is_moving(self) -> bool:
        return self._ladder.is_moving

    def begin(self, number: int) -> None:
        self._ladder.begin(number)

    def end(self, number: int, state: TrialState) -> None:
        self._ladder.fail(number) if state is TrialState.FAIL else self._ladder.end(number)

    def promote(self) -> int | None:
        return self._ladder.promote()

    def release(self, number: int) -> None:
        """A trial that pauses has given its processes back."""
        self._ladder.release(number)

    def _places(self, evaluations: Sequence[Mapping[str, Any]]) -> list[Place]:
        """What evaluations are compared by."""
        places = curve(evaluations, self._objective)
        if self._rung_resource == "compute":
            return places
        return [(float(told["index"]), vector) for told, (_, vector) in zip(evaluations, places, strict=True)]
