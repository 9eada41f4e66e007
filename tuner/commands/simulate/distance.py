"""Distances between configurations of a space, by which recorded trials predict one that was not recorded.

A configuration's position has its numbers in units of their range and the labels of its choices. Each coordinate is weighted by
how much recorded scores depend on it. For each coordinate alone, the rank (0 to 1) of a trial's final score is predicted by the
mean of the 5 nearest trials. The explained share of the ranks' variance, at least 0, is averaged over two rankings: of all
trials with the failed ones last, and of the trials with a score. A weight is the square of that mean share, normalised; with n
trials, a part of `PRIOR / (PRIOR + n)` is distributed equally, so that small records change little. Below `LEAST` trials, and
when no coordinate explains anything, all weights are equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model.config import TrialConfig
from tuner.space import Space
from tuner.space.distributions import Scalar
from tuner.space.mapping import flatten
from tuner.space.parameters import Choice, Float, Int, Simplex, label

N_NEAREST = 5
PRIOR = 5
LEAST = 10
Position = Mapping[str, float | Scalar]
"""By coordinate: 0 to 1 from the low to the high end of a number (of its logarithm on a log scale), or a label. A simplex has a
coordinate for each task, `mixing.ratios[sst]`. Inactive parameters are absent."""


def position(space: Space, config: TrialConfig) -> dict[str, float | Scalar]:
    """The position of a configuration; a number outside its range lies below 0 or above 1."""
    values = flatten(config.to_dict())
    labels: dict[str, Scalar] = {}
    coordinates: dict[str, float | Scalar] = {}
    for parameter in space.parameters:
        if not parameter.is_active(labels):
            continue
        value: Any = values.get(parameter.name)
        labels[parameter.name] = label(value)
        if isinstance(parameter, Choice):
            coordinates[parameter.name] = label(value)
        elif isinstance(parameter, Int | Float):
            coordinates[parameter.name] = unit(parameter, value)
        elif isinstance(parameter, Simplex):
            coordinates |= _shares(parameter, value)
    return coordinates


def unit(parameter: Int | Float, value: float) -> float:
    """0 at the low end of the range, 1 at the high one."""
    if parameter.high == parameter.low:
        return 0.5
    scale = math.log if parameter.log else float
    low, high = scale(parameter.low), scale(parameter.high)
    return (scale(value) - low) / (high - low)


def _shares(parameter: Simplex, shares: Mapping[str, float]) -> dict[str, float]:
    """Each task's log share less their mean, over the width of the logits' range, plus 0.5."""
    logs = {task: math.log(share) for task, share in shares.items()}
    middle, width = sum(logs.values()) / len(logs), parameter.high - parameter.low
    return {f"{parameter.name}[{task}]": 0.5 + (log - middle) / width for task, log in logs.items()}


def weights(positions: Sequence[Position], ends: np.ndarray) -> dict[str, float]:
    """A weight for each coordinate of any position; they sum to 1. `ends`: final scores (n_trials,), NaN for a failed trial."""
    names = sorted({name for here in positions for name in here})
    equal = dict.fromkeys(names, 1 / max(len(names), 1))
    if len(positions) < LEAST:
        return equal
    squares = {name: _dependence(differences(positions, name), ends) ** 2 for name in names}
    total, common = sum(squares.values()), PRIOR / (PRIOR + len(positions))
    if total == 0:
        return equal
    return {name: (1 - common) * square / total + common * equal[name] for name, square in squares.items()}


def distances(here: Position, positions: Sequence[Position], by: Mapping[str, float]) -> np.ndarray:
    """Root of the weighted mean of squared differences, (n_positions,): 0 for equal positions, 1 for opposite ones."""
    squares = np.zeros(len(positions))
    for name, weight in by.items():
        squares += weight * differences([here, *positions], name, n_rows=1)[0, 1:] ** 2
    return np.sqrt(squares)


def differences(positions: Sequence[Position], name: str, n_rows: int | None = None) -> np.ndarray:
    """Differences of the first `n_rows` positions, by default all, to all positions in one coordinate: (n_rows, n_positions).

    The difference of numbers, at most 1; 1 for different labels, and when only one of the two positions has the coordinate.
    """
    has = np.array([name in here for here in positions])
    values = [here.get(name) for here in positions]
    if all(isinstance(value, float) for value, known in zip(values, has, strict=True) if known):
        numbers = np.array([value if known else 0.0 for value, known in zip(values, has, strict=True)], dtype=float)
        between = np.minimum(np.abs(numbers[:n_rows, None] - numbers), 1.0)
    else:
        order = {value: code for code, value in enumerate(dict.fromkeys(values))}
        codes = np.array([order[value] for value in values])
        between = (codes[:n_rows, None] != codes).astype(float)
    both, either = has[:n_rows, None] & has, has[:n_rows, None] | has
    result: np.ndarray = np.where(both, between, either.astype(float))
    return result


def _dependence(between: np.ndarray, ends: np.ndarray) -> float:
    """Mean share of variance explained, 0 to 1, over the rankings of all trials and of those with a score."""
    sound = np.isfinite(ends)
    everything = _explained(between, np.where(sound, ends, -np.inf))
    return (everything + _explained(between[np.ix_(sound, sound)], ends[sound])) / 2


def _explained(between: np.ndarray, ends: np.ndarray) -> float:
    """Share of the variance of the ranks of `ends` that the nearest trials explain; 0 where there are too few trials."""
    from scipy.stats import rankdata

    if len(ends) <= N_NEAREST or np.ptp(ranks := rankdata(ends) / len(ends)) == 0:
        return 0.0
    apart = between + np.diag(np.full(len(ends), np.inf))
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :N_NEAREST]
    error = np.mean((ranks[nearest].mean(axis=1) - ranks) ** 2)
    return max(0.0, 1.0 - float(error / (np.var(ranks) * (1 + 1 / N_NEAREST))))
