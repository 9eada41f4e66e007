"""What a study keeps of a trial in Optuna's user attributes: its evaluations, and the verdicts that came with them."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

EVALUATION = "evaluation/"
"""Prefix of the user attributes that hold the evaluations, by index."""
PRUNED, PAUSED = "pruned", "paused"
"""Keys of the reason in the evaluation at which a trial is pruned, or pauses."""
PROMOTED = "promoted"
"""User attribute: the index of the evaluation from which a trial was promoted last."""


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
