"""The trials of a study as records: what the rest of the search knows of them."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tuner.results.pareto import Leaders
from tuner.results.trial_record import TrialRecord

SAME_AS = "same_as"
"""User attribute of a repeat: the number of the trial that has its configuration."""

EVALUATION = "evaluation/"
"""Prefix of the user attributes that hold the evaluations, by index."""
PRUNED, PAUSED = "pruned", "paused"
"""Keys of the reason in the evaluation at which a trial is pruned, or pauses."""
PROMOTED = "promoted"
"""User attribute: the index of the evaluation from which a trial was promoted last."""


class Records:
    """The records of one study. Those of finished trials, which do not change any more, are kept."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._finished: dict[int, TrialRecord] = {}
        self._leaders: Leaders | None = None
        """Found of all trials when first asked for."""

    def all(self) -> list[TrialRecord]:
        """Every trial that was asked for, by number."""
        return [self.of(frozen) for frozen in self._study.get_trials(deepcopy=False) if is_asked(frozen)]

    def of(self, frozen: FrozenTrial) -> TrialRecord:
        if not frozen.state.is_finished():
            return record_of(frozen)
        if frozen.number not in self._finished:
            self._finished[frozen.number] = record_of(frozen)
        return self._finished[frozen.number]

    @property
    def leaders(self) -> Leaders:
        if self._leaders is None:
            self._leaders = Leaders(record for record in self.all() if record.state == "COMPLETE")
        return self._leaders

    def completed(self, frozen: FrozenTrial) -> None:
        """A trial has become COMPLETE."""
        if self._leaders is not None:  # else it is among those that they are found of
            self._leaders.add(self.of(frozen))


def is_asked(frozen: FrozenTrial) -> bool:
    """Whether a trial was handed out, as far as can be told: what waits between two sessions shows only when it is paused."""
    return frozen.state is not TrialState.WAITING or pause_of(frozen) is not None


def record_of(frozen: FrozenTrial) -> TrialRecord:
    found = evaluations(frozen)
    last = found[-1] if found else {"score": None, "scores": {}, "metrics": {}, "seconds": 0.0}
    same_as = frozen.user_attrs.get(SAME_AS)
    pause = pause_of(frozen)
    return TrialRecord(
        number=frozen.number,
        # Optuna's names are ours; WAITING has no record
        state=frozen.state.name if pause is None else "PAUSED",  # type: ignore[arg-type]
        score=None if frozen.state is TrialState.FAIL else last["score"],
        metrics=last["metrics"],
        evaluations=found,
        config=frozen.user_attrs.get("config", {}),
        seconds=last["seconds"] if same_as is None else 0.0,
        reason=pause or frozen.user_attrs.get("reason"),
        scores={} if frozen.state is TrialState.FAIL else last.get("scores", {}),  # a study begun before there were any
        requirements={} if frozen.state is TrialState.FAIL else last.get("requirements", {}),
        same_as=same_as,
        note=frozen.user_attrs.get("note"),
        params=frozen.params,
    )


def stored(frozen: FrozenTrial) -> list[dict[str, Any]]:
    """The evaluations with their verdicts, by index."""
    found = [value for key, value in frozen.user_attrs.items() if key.startswith(EVALUATION)]
    return sorted(found, key=lambda evaluation: int(evaluation["index"]))


def evaluations(frozen: FrozenTrial) -> list[dict[str, Any]]:
    """The evaluations as they were reported, with their scores."""
    return [{key: value for key, value in found.items() if key not in (PRUNED, PAUSED)} for found in stored(frozen)]


def pause_of(frozen: FrozenTrial) -> str | None:
    """Why a trial is paused; None for all others. It is RUNNING in Optuna within a session and WAITING between two."""
    if frozen.state not in (TrialState.RUNNING, TrialState.WAITING):
        return None
    found = stored(frozen)
    if not found or frozen.user_attrs.get(PROMOTED) == found[-1]["index"]:
        return None
    reason: str | None = found[-1].get(PAUSED)
    return reason


def frozen_of(study: optuna.Study, number: int) -> FrozenTrial:
    """A trial as it is now; the cost does not depend on how many there are."""
    storage = study._storage
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study._study_id, number))
