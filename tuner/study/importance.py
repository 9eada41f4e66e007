"""Importance of a study's parameters: conditional PED-ANOVA with bootstrap intervals, and what chance alone would give.

A parameter's importance is how far its values among the best trials differ from its values among all (arXiv 2304.10255;
2601.20800 for parameters under a condition), as a share of the sum over parameters.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.study.records import SAME_AS, load_study
from tuner.study.samplers.view import StudyView

Floats = npt.NDArray[np.float64]

FEWEST = 20
"""COMPLETE trials below which there is no estimate: the best quarter would be fewer than the five that the method needs."""
BEST = 0.25
"""Share of the trials that are the best ones."""
RESAMPLES = 100
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Weight:
    """A parameter's importance, as a share of the sum over parameters."""

    name: str
    share: float
    low: float
    high: float
    """95 % bootstrap interval over the trials."""
    chance: float
    """95th percentile of the importance when scores are permuted among the trials."""

    @property
    def stands_out(self) -> bool:
        return self.share > self.chance


@dataclass(frozen=True)
class Importance:
    """The importance of every parameter."""

    weights: tuple[Weight, ...]
    """The most important first; empty where there are too few trials."""
    n_trials: int
    """COMPLETE trials that it is estimated from; repeats do not count."""
    n_needed: int = FEWEST


def read_importance(storage: str, name: str, seed: int = 0) -> Importance:
    """The importance for the study's first goal. Raises `ConfigError` when there is no such study; creates nothing."""
    directions, trials = load_study(storage, name)
    trained = [trial for trial in trials if trial.state is TrialState.COMPLETE and SAME_AS not in trial.user_attrs]
    return importance(trained, directions[0], seed)


def importance(trials: Sequence[FrozenTrial], direction: StudyDirection, seed: int = 0) -> Importance:
    """The importance for the first value of COMPLETE trials."""
    names = sorted({name for trial in trials for name in trial.params})
    if len(trials) < FEWEST or not names:
        return Importance((), len(trials))
    rng = np.random.default_rng(seed)
    values = [trial.values[0] for trial in trials]
    whole = _shares(trials, values, direction, names)
    bootstrapped, permuted = np.zeros((2, RESAMPLES, len(names)))
    for i in range(RESAMPLES):
        chosen = rng.integers(len(trials), size=len(trials))
        bootstrapped[i] = _shares([trials[k] for k in chosen], [values[k] for k in chosen], direction, names)
        permuted[i] = _shares(trials, [values[k] for k in rng.permutation(len(trials))], direction, names)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(bootstrapped, [tail, 1 - tail], axis=0)
    chance = np.quantile(permuted, CONFIDENCE, axis=0)
    weights = [Weight(*row) for row in zip(names, *(column.tolist() for column in (whole, low, high, chance)), strict=True)]
    return Importance(tuple(sorted(weights, key=lambda weight: -weight.share)), len(trials))


def _shares(trials: Sequence[FrozenTrial], values: Sequence[float], direction: StudyDirection, names: Sequence[str]) -> Floats:
    """(n_names,): each parameter's share, summing to 1, if these trials had these values."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # a second of scikit-learn

    copies = [copy.copy(trial) for trial in trials]
    for trial, value in zip(copies, values, strict=True):
        trial.values = [value]
    evaluator = PedAnovaImportanceEvaluator(target_quantile=BEST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of regimes with fewer than two trials, which it leaves out
        study = StudyView(optuna.create_study(direction=direction), copies)  # not stored, because that takes time
        shares = get_param_importances(cast(optuna.Study, study), evaluator=evaluator)
    return np.array([shares.get(name, 0.0) for name in names])
