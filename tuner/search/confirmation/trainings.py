"""The trainings of a confirmation for the bridge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from model.training.evaluation import Evaluation
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.execution.fixed_trials import FixedTrials
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import Finalist, Training
from tuner.search.confirmation.records import ConfirmationRecords
from tuner.study import Suggestion, Verdict


class FinalistTrials(FixedTrials):
    """Gives out each training once, in order, without those that an earlier session completed.

    After a failed training, the finalist's other trainings do not start. The next session repeats trainings that failed or
    that a budget cut.
    """

    def __init__(
        self, trainings: Sequence[Training], records: ConfirmationRecords, objective: Objective, requirements: Requirements
    ) -> None:
        super().__init__(objective, requirements)
        self.trainings = trainings
        self._files = records
        self._by_number = {training.number: training for training in trainings}
        stored = [records.record(number) for number in self._by_number]
        self._records |= {record.number: record for record in stored if record and record.state in ("RUNNING", "COMPLETE")}

    @property
    def front(self) -> Sequence[TrialRecord]:
        """All complete trainings: every model is kept until it is evaluated on dev."""
        return [record for record in self._records.values() if record.state == "COMPLETE"]

    @property
    def begun(self) -> list[Suggestion]:
        """Trainings that an earlier session began, which continue from their last checkpoints."""
        begun = (training for training in self.trainings if training.number in self._records)
        return [Suggestion(one.number, one.config) for one in begun if not self.record(one.number).is_finished]

    @property
    def n_missing(self) -> int:
        """Trainings that are not COMPLETE yet."""
        return len(self._by_number) - len(self.front)

    def leave_out(self, numbers: Collection[int]) -> None:
        """Remove these trainings."""
        self.trainings = [training for training in self.trainings if training.number not in numbers]
        for number in numbers:
            self._by_number.pop(number)
            self._records.pop(number, None)

    def wanted(self) -> Iterator[Suggestion]:
        return (Suggestion(one.number, one.config) for one in self.trainings if not self._has_failed(one.finalist))

    def _has_failed(self, finalist: Finalist) -> bool:
        failed = (self._by_number[number] for number, record in self._records.items() if record.state == "FAIL")
        return any(training.finalist.identity == finalist.identity for training in failed)

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        verdict = super().report(number, evaluation)
        if verdict is Verdict.CONTINUE:
            self._files.put(self.record(number))
        return verdict

    def complete(self, number: int) -> None:
        super().complete(number)
        self._files.put(self.record(number))

    def prune(self, number: int, reason: str) -> None:
        super().prune(number, reason)
        self._files.drop(number)

    def fail(self, number: int, reason: str) -> None:
        super().fail(number, reason)
        self._files.drop(number)

    def training(self, number: int) -> Training:
        return self._by_number[number]
