"""Estimates how much recorded scores depend on each coordinate of the space, to weight distances between configurations.

For each coordinate alone, the rank (0 to 1) of a trial's final score is predicted by the mean of the 5 nearest trials. The
explained share of the ranks' variance, at least 0, is averaged over two rankings: of all trials with the failed ones last, and
of the trials with a score. A weight is the square of that mean share, normalised; with n trials, a part of
`PRIOR / (PRIOR + n)` is distributed equally, so that small records change little. Below `LEAST` trials, and when no coordinate
explains anything, all weights are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tuner.commands.simulate.position import Position

N_NEAREST = 5
PRIOR = 5
LEAST = 10


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
