"""Which parameters decided a search: conditional PED-ANOVA with bootstrap intervals, and what chance alone would give.

A parameter's importance is how far its values among the best trials differ from its values among all (arXiv 2304.10255;
2601.20800 for parameters under a condition), as a share of the sum over parameters.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.study.records import SAME_AS, load_study

Floats = npt.NDArray[np.float64]

FEWEST = 20
"""COMPLETE trials below which nothing is said: the best quarter would be fewer than the five that the method asks for."""
BEST = 0.25
"""Share of the trials that are the best ones."""
RESAMPLES = 100
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Weight:
    """How much a parameter decided, as a share of all."""

    name: str
    share: float
    low: float
    high: float
    """95 % interval: percentiles over trials drawn again with replacement."""
    chance: float
    """What it has where scores are dealt out at random: 95 % of such deals stay below."""

    @property
    def stands_out(self) -> bool:
        return self.share > self.chance


@dataclass(frozen=True)
class Importance:
    """Of every parameter, the most important first; empty where there are too few trials."""

    weights: tuple[Weight, ...]
    n_trials: int
    """COMPLETE trials that it is taken from; repeats do not count."""
    n_needed: int = FEWEST


def read_importance(storage: str, name: str, seed: int = 0) -> Importance:
    """Of the study's first goal. Raises `ConfigError` when there is no such study; creates nothing."""
    study = load_study(storage, name)
    trials = [trial for trial in study.trials if trial.state is TrialState.COMPLETE and SAME_AS not in trial.user_attrs]
    return importance(trials, study.directions[0], seed)


def importance(trials: Sequence[FrozenTrial], direction: StudyDirection, seed: int = 0) -> Importance:
    """Of COMPLETE trials by their first value."""
    names = sorted({name for trial in trials for name in trial.params})
    if len(trials) < FEWEST or not names:
        return Importance((), len(trials))
    rng = np.random.default_rng(seed)
    values = [trial.values[0] for trial in trials]
    whole = _shares(trials, values, direction, names)
    drawn, dealt = np.zeros((2, RESAMPLES, len(names)))
    for i in range(RESAMPLES):
        chosen = rng.integers(len(trials), size=len(trials))
        drawn[i] = _shares([trials[k] for k in chosen], [values[k] for k in chosen], direction, names)
        dealt[i] = _shares(trials, [values[k] for k in rng.permutation(len(trials))], direction, names)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    chance = np.quantile(dealt, CONFIDENCE, axis=0)
    found = [Weight(*row) for row in zip(names, *(column.tolist() for column in (whole, low, high, chance)), strict=True)]
    return Importance(tuple(sorted(found, key=lambda weight: -weight.share)), len(trials))


def _shares(trials: Sequence[FrozenTrial], values: Sequence[float], direction: StudyDirection, names: Sequence[str]) -> Floats:
    """(n_names,): each parameter's share, summing to 1, where these trials have these values."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # a second of scikit-learn

    study = Drawn([_with_value(trial, value) for trial, value in zip(trials, values, strict=True)], direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of regimes with fewer than two trials, which it leaves out
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST))
    return np.array([found.get(name, 0.0) for name in names])


def _with_value(trial: FrozenTrial, value: float) -> FrozenTrial:
    dealt = copy.copy(trial)
    dealt.values = [value]
    return dealt


class Drawn(optuna.Study):
    """A study that holds these COMPLETE trials, of which some may be the same, without the time that storing them takes."""

    def __init__(self, trials: list[FrozenTrial], direction: StudyDirection) -> None:
        empty = optuna.create_study(direction=direction)
        self.__dict__.update(empty.__dict__)
        self._drawn = trials

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return self._drawn
