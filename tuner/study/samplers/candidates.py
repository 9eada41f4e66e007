"""What a study may try next: points of the space's grid that are left, or what its sampler draws that no trial has."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import Trial, TrialState

from model.config import TrialConfig
from tuner.study.repeats import MOST_DRAWS, MOST_REPEATS, Known

if TYPE_CHECKING:
    from tuner.space import Space


class Grid:
    """What may be left of a space's grid, in a random order, so that a part of it is a fair sample."""

    def __init__(self, space: Space, seed: int, tried: Iterable[Mapping[str, Any]]) -> None:
        points = list(space.grid_points())
        random.Random(seed).shuffle(points)
        self._points = deque(points)
        self._tried = {frozenset(point.items()) for point in tried}

    def next(self) -> dict[str, Any] | None:
        """A point that was not tried; None when every one was."""
        while self._points and frozenset(self._points[0].items()) in self._tried:
            self._points.popleft()
        return self._points[0] if self._points else None

    def note(self, point: Mapping[str, Any]) -> None:
        """It is tried."""
        self._tried.add(frozenset(point.items()))


class Candidates:
    """Those of one study. What was tried is read from its trials when first needed, and kept."""

    def __init__(self, study: optuna.Study, space: Space, sampler: str, seed: int) -> None:
        self._study, self._space, self._seed = study, space, seed
        self._is_grid = sampler == "grid"

    def enqueue(self, n_repeats: int) -> bool:
        """See to it that what is asked next can be new after `n_repeats` repeats in a row; False where nothing is left."""
        if self._is_grid:
            if self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
                return True
            point = self._grid.next()
        elif n_repeats < MOST_REPEATS:
            return True
        else:
            point = self._known.new_point(self._space, self.config_of, self._seed)
        if point is not None:
            self._study.enqueue_trial(point)
        return point is not None

    def draw(self, trial: Trial) -> dict[str, Any]:
        """The nested values that the sampler gives a trial."""
        values: dict[str, Any] = self._space.suggest(trial)
        if self._is_grid:
            self._grid.note(trial.params)
        return values

    def config_of(self, values: dict[str, Any]) -> TrialConfig:
        """The configuration of nested values of the space, which may leave the seed to the search."""
        values.setdefault("seed", self._seed)
        return self._space.parse(values)

    def is_known(self, trial: Trial, config: TrialConfig) -> bool:
        """Whether another trial has this configuration: then this one is ended from its record."""
        return self._known.tell(trial, config)

    def exhausted(self, n_counted: int, n_trials: int, n_repeats: int) -> str | None:
        """Why a search ends before its total, in a sentence; None for a grid, which ends by itself."""
        if self._is_grid:
            return None
        return (
            f"the search ends after {n_counted} trials, with less than the compute of {n_trials} full ones used: the last "
            f"{n_repeats} configurations asked for were known, and of {MOST_DRAWS} random ones none is new"
        )

    @cached_property
    def _grid(self) -> Grid:
        return Grid(self._space, self._seed, [frozen.params for frozen in self._study.get_trials(deepcopy=False)])

    @cached_property
    def _known(self) -> Known:
        return Known(self._study)
