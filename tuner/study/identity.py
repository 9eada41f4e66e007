"""What a study searches: written down when it is new, and the same in every later session."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna

from model.config import ConfigError
from tuner.config.requirements import Requirements

if TYPE_CHECKING:
    from tuner.config.objective import Objective
    from tuner.space import Space

KEY = "searched"
"""Optuna's user attribute of the study."""
OTHERS = {
    "space": "another space",
    "metric": "another metric",
    "data": "other data",
    "requirements": "other requirements",
}
"""What a study has one of."""


def searched(space: Space, objective: Objective, data_sha256: str, requirements: Requirements) -> dict[str, Any]:
    return {
        "space": space.to_dict(),
        "metric": objective.describe(),
        "data": data_sha256,
        "requirements": sorted(requirements.texts),
    }


def check_same(study: optuna.Study, now: Mapping[str, Any]) -> None:
    """Raises `ConfigError` when the study was begun with anything else."""
    before = {"requirements": []} | study.user_attrs[KEY]  # a study begun before there were any
    problems = [
        f"the study {study.study_name} was begun with {other}; go on with that, or give the search a new name"
        for key, other in OTHERS.items()
        if _as_json(now[key]) != _as_json(before[key])
    ]
    if problems:
        raise ConfigError(problems)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
