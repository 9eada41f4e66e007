"""Configurations that a study has already: told from the record, never trained again."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from model.config import ConfigError, TrialConfig
from tuner.study.records import EVALUATION, SAME_AS, frozen_of, pause_of

if TYPE_CHECKING:
    from tuner.space import Space

MOST_REPEATS = 10
"""Repeats in a row after which the sampler is passed over for a random configuration."""
MOST_DRAWS = 1000
"""Random configurations that are looked at for one that no trial has; without one the search is over."""


class Known:
    """Which trained trials of a study have which canonical configuration."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._numbers: defaultdict[str, list[int]] = defaultdict(list)
        for frozen in study.get_trials(deepcopy=False):
            if "config" in frozen.user_attrs and SAME_AS not in frozen.user_attrs:
                self._numbers[_key(frozen.user_attrs["config"])].append(frozen.number)

    def tell(self, trial: Trial, config: TrialConfig) -> bool:
        """End a trial from the record of another with its configuration. False where there is none: it is known from now on.

        The evaluations are copied. Of a trial that still runs there is nothing to copy: the repeat ends as FAIL, from which no
        sampler learns, and the sampler may ask for the configuration again later.
        """
        numbers = self._numbers[_key(config.to_dict())]
        source = original(frozen_of(self._study, number) for number in numbers if number != trial.number)
        if source is None:
            numbers.append(trial.number)
            return False
        if source.state is TrialState.RUNNING:
            self._finish(trial, source, TrialState.FAIL, "which still runs" if pause_of(source) is None else "which is paused")
            return True
        for name, value in source.user_attrs.items():
            if name.startswith(EVALUATION):
                trial.set_user_attr(name, value)
        for step, score in source.intermediate_values.items():
            trial.report(score, step)
        for name, value in source.constraints.items():
            trial.set_constraint(name, value)
        self._finish(trial, source, source.state, source.user_attrs.get("reason"))
        return True

    def _finish(self, trial: Trial, source: FrozenTrial, state: TrialState, why: str | None) -> None:
        same = f"the same configuration as trial {source.number}"
        trial.set_user_attr("reason", f"{same}, {why}" if why else same)
        trial.set_user_attr(SAME_AS, source.number)
        self._study.tell(trial, values=source.values if state is TrialState.COMPLETE else None, state=state)

    def new_point(self, space: Space, config_of: Callable[[dict[str, Any]], TrialConfig], seed: int) -> dict[str, Any] | None:
        """A random assignment of the space whose configuration, by `config_of`, no trial has; None where none is found."""
        rng = random.Random(f"{seed} {len(self._study.get_trials(deepcopy=False))}")  # another one after each search for one
        for _ in range(MOST_DRAWS):
            point: dict[str, Any] = dict(space.draw(rng))
            try:
                if _key(config_of(space.values(point)).to_dict()) not in self._numbers:
                    return point
            except ConfigError:
                continue
        return None


def original(same: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """Of the trained trials of one configuration the one to tell others from: a finished one, else one that runs.

    A failed trial serves for none: its configuration may be tried again.
    """
    trained = list(same)
    order = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return next((frozen for state in order for frozen in trained if frozen.state is state), None)


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)
