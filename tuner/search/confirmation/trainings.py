"""The trainings of a confirmation as the bridge drives them: no sampler learns from them, and nothing prunes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from model.training.evaluation import Evaluation
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.execution.fixed_trials import FixedTrials
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import Training
from tuner.search.confirmation.records import Kept
from tuner.study import Suggestion, Verdict


class FinalistTrials(FixedTrials):
    """Each training once, in order, and none that an earlier session finished.

    A finalist of which one training failed is out, and its others are not begun. One that a budget cut, or that failed, is
    begun anew by the next session.
    """

    def __init__(self, trainings: Sequence[Training], kept: Kept, objective: Objective, requirements: Requirements) -> None:
        super().__init__(objective, requirements)
        self.trainings = trainings
        self.kept = kept
        self._by_number = {training.number: training for training in trainings}
        found = [kept.record(number) for number in self._by_number]
        self._records |= {record.number: record for record in found if record and record.state in ("RUNNING", "COMPLETE")}

    @property
    def front(self) -> Sequence[TrialRecord]:
        """Every model that is trained is needed, until it is scored on dev."""
        return [record for record in self._records.values() if record.state == "COMPLETE"]

    @property
    def begun(self) -> list[Suggestion]:
        """What an earlier session began, which goes on from its last checkpoint."""
        begun = (training for training in self.trainings if training.number in self._records)
        return [Suggestion(one.number, one.config) for one in begun if not self.record(one.number).is_finished]

    @property
    def n_missing(self) -> int:
        """Trainings that are not COMPLETE yet."""
        return len(self._by_number) - len(self.front)

    def leave_out(self, numbers: Collection[int]) -> None:
        """Do without these trainings: they are neither begun nor gone on with."""
        self.trainings = [training for training in self.trainings if training.number not in numbers]
        for number in numbers:
            self._by_number.pop(number)
            self._records.pop(number, None)

    def wanted(self) -> Iterator[Suggestion]:
        return (Suggestion(one.number, one.config) for one in self.trainings if not self._is_out(one))

    def _is_out(self, training: Training) -> bool:
        failed = (self._by_number[number] for number, record in self._records.items() if record.state == "FAIL")
        return any(one.finalist.identity == training.finalist.identity for one in failed)

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        verdict = super().report(number, evaluation)
        if verdict is Verdict.CONTINUE:
            self.kept.put(self.record(number))
        return verdict

    def complete(self, number: int) -> None:
        super().complete(number)
        self.kept.put(self.record(number))

    def prune(self, number: int, reason: str) -> None:
        super().prune(number, reason)
        self.kept.drop(number)

    def fail(self, number: int, reason: str) -> None:
        super().fail(number, reason)
        self.kept.drop(number)

    def of(self, number: int) -> Training:
        return self._by_number[number]
