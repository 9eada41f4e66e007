"""Proposes configurations that no trial of a study has, so that none is trained twice."""

from __future__ import annotations

import json
import random
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from model.config import ConfigError, TrialConfig
from tuner.space import Space
from tuner.study.evaluations import EVALUATION, pause_reason
from tuner.study.records import SAME_AS, trial_of
from tuner.study.samplers import SAMPLERS
from tuner.study.samplers.prior import Prior

MAX_REPEATS = 10
"""Repeats in a row after which a random configuration takes the place of the sampler's."""
MAX_DRAWS = 1000
"""Random configurations among which one is sought that no trial has; without one the search is over."""


class Proposals:
    """What one study tries next: points of the grid, draws around start configurations, or what the sampler draws.

    What was tried is read from the study's trials when first needed, and kept.
    """

    def __init__(self, study: optuna.Study, space: Space, sampler: str, seed: int) -> None:
        self._study, self._space, self._seed = study, space, seed
        self._is_grid = sampler == "grid"
        self._prior = Prior(space, seed) if SAMPLERS[sampler].has_model else None

    def enqueue(self, n_repeats: int) -> bool:
        """Enqueue a point to try next in the sampler's place, after `n_repeats` in a row. False where none is left."""
        if self._is_grid:
            if self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                return True
            points, tried = self._grid
            while points and frozenset(points[0].items()) in tried:
                points.popleft()
            point = points[0] if points else None
        elif n_repeats < MAX_REPEATS:
            if self._prior is not None and not self._prior.enqueue(self._study):
                self._prior = None
            return True
        else:
            point = self._new_point()
        if point is not None:
            self._study.enqueue_trial(point)
        return point is not None

    def _new_point(self) -> dict[str, Any] | None:
        """A random assignment of the space whose configuration no trial has; None where none is drawn."""
        rng = random.Random(f"{self._seed} {len(self._study.get_trials(deepcopy=False))}")  # different draws at each call
        for _ in range(MAX_DRAWS):
            point: dict[str, Any] = dict(self._space.draw(rng))
            try:
                if _key(self.config_of(self._space.values(point)).to_dict()) not in self._trained:
                    return point
            except ConfigError:
                continue
        return None

    def draw(self, trial: Trial) -> dict[str, Any]:
        """The nested values that the sampler gives a trial."""
        values: dict[str, Any] = self._space.suggest(trial)
        if self._is_grid:
            self._grid[1].add(frozenset(trial.params.items()))
        return values

    def config_of(self, values: dict[str, Any]) -> TrialConfig:
        """The configuration of nested values of the space, which may leave the seed to the search."""
        values.setdefault("seed", self._seed)
        return self._space.parse(values)

    def end_repeat(self, trial: Trial, config: TrialConfig) -> bool:
        """End a trial from the record of another with its configuration. False where there is none: it is to be trained.

        The evaluations are copied. Of a trial that still runs there is nothing to copy: the repeat ends as FAIL, from which no
        sampler learns, and the sampler may suggest the configuration again later.
        """
        numbers = self._trained[_key(config.to_dict())]
        source = _original(trial_of(self._study, number) for number in numbers if number != trial.number)
        if source is None:
            numbers.append(trial.number)
            return False
        state, why = source.state, source.user_attrs.get("reason")
        if state is TrialState.RUNNING:
            state, why = TrialState.FAIL, "which still runs" if pause_reason(source) is None else "which is paused"
        else:
            _copy_evaluations(source, trial)
        same = f"the same configuration as trial {source.number}"
        trial.set_user_attr("reason", f"{same}, {why}" if why else same)
        trial.set_user_attr(SAME_AS, source.number)
        self._study.tell(trial, values=source.values if state is TrialState.COMPLETE else None, state=state)
        return True

    def exhausted(self, n_counted: int, n_trials: int, n_repeats: int) -> str | None:
        """Why a search ends before its total, in a sentence; None for a grid, which ends by itself."""
        if self._is_grid:
            return None
        return (
            f"the search ends after {n_counted} trials, with less than the compute of {n_trials} full ones used: the last "
            f"{n_repeats} suggested configurations were repeats, and {MAX_DRAWS} random ones held no new one"
        )

    @cached_property
    def _grid(self) -> tuple[deque[dict[str, Any]], set[frozenset[tuple[str, Any]]]]:
        """The points of the grid that are left, in a random order, so that a part of it is a fair sample; those tried."""
        points = list(self._space.grid_points())
        random.Random(self._seed).shuffle(points)
        return deque(points), {frozenset(trial.params.items()) for trial in self._study.get_trials(deepcopy=False)}

    @cached_property
    def _trained(self) -> defaultdict[str, list[int]]:
        """The numbers of the trained trials by canonical configuration."""
        numbers = defaultdict(list)
        for trial in self._study.get_trials(deepcopy=False):
            if "config" in trial.user_attrs and SAME_AS not in trial.user_attrs:
                numbers[_key(trial.user_attrs["config"])].append(trial.number)
        return numbers


def _copy_evaluations(source: FrozenTrial, trial: Trial) -> None:
    """Give a trial the evaluations, scores and constraints of another."""
    for name, value in source.user_attrs.items():
        if name.startswith(EVALUATION):
            trial.set_user_attr(name, value)
    for step, score in source.intermediate_values.items():
        trial.report(score, step)
    for name, value in source.constraints.items():
        trial.set_constraint(name, value)


def _original(trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """Of the trained trials of one configuration the one to copy: a finished one, else one that runs.

    A failed trial is not copied: its configuration may be tried again.
    """
    trained = list(trials)
    order = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    return next((trial for state in order for trial in trained if trial.state is state), None)


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)
