"""What the bridge asks of whoever owns the trials: the study of a search, or a fixed list of trainings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

from tuner.results.trial_record import TrialRecord

if TYPE_CHECKING:
    from model.training.evaluation import Evaluation
    from tuner.config.objective import Objective
    from tuner.study import Asked, Verdict


class Trials(Protocol):
    """Gives trials out and judges them; `tuner.study.Study` says what each method does."""

    @property
    def objective(self) -> Objective: ...

    @property
    def ended(self) -> list[int]: ...

    @property
    def best(self) -> TrialRecord | None: ...

    @property
    def front(self) -> Sequence[TrialRecord]: ...

    @property
    def unfinished(self) -> Collection[int]: ...

    @property
    def waits(self) -> bool: ...

    def ask(self) -> Asked | None: ...

    def report(self, number: int, evaluation: Evaluation) -> Verdict: ...

    def release(self, number: int) -> None: ...

    def settle(self, why: str | None = None) -> None: ...

    def complete(self, number: int) -> None: ...

    def prune(self, number: int, reason: str) -> None: ...

    def fail(self, number: int, reason: str) -> None: ...

    def note(self, number: int, note: str) -> None: ...

    def record(self, number: int) -> TrialRecord: ...
