"""Whether a trial goes on after an evaluation: a pruner stops it for good, a ladder pauses it and may promote it later."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.study.pruners.pareto import ParetoPruner
from tuner.study.pruners.promotion import Ladder
from tuner.study.pruners.vectors import vector, vectors_of
from tuner.study.records import SAME_AS
from tuner.study.verdict import Verdict

if TYPE_CHECKING:
    from tuner.config.objective import Objective


class Judge(ABC):
    """Judges the trials of one study; it must be called for all that becomes of them."""

    @abstractmethod
    def verdict(self, judged: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        """What becomes of a trial after its evaluation `told`. The last one never stops it: there is nothing left to save."""

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

    def completed(self, frozen: FrozenTrial) -> None:
        if isinstance(self._study.pruner, ParetoPruner):
            self._study.pruner.completed(frozen)


class Promoting(Judge):
    """By the ladder on which all trials of the study stand."""

    def __init__(self, study: optuna.Study, ladder: Ladder, objective: Objective) -> None:
        self._ladder, self._objective = ladder, objective
        ladder.restore(study.get_trials(deepcopy=False), lambda frozen: vectors_of(frozen, objective))

    def verdict(self, judged: FrozenTrial, told: Mapping[str, Any]) -> Verdict:
        goes_on = self._ladder.arrive(judged.number, vector(told, self._objective))
        return Verdict.CONTINUE if goes_on or told["index"] == told["n_evaluations"] else Verdict.PAUSE

    def completed(self, frozen: FrozenTrial) -> None:
        if SAME_AS not in frozen.user_attrs:  # a repeat did not come anywhere itself
            self._ladder.end(frozen.number)

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
