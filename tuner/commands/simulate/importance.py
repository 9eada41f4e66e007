"""Estimates how much recorded scores depend on each coordinate of the space, to weight distances between configurations.

For one coordinate alone, each trial's end is predicted by the mean of the 5 trials nearest in it, in ranks from 0 to 1. The
share of the ranks' variance that this explains, 0 where it explains nothing, is averaged over two rankings: of all trials with
the failed ones last, and of those that end with a number. A weight is the square of that mean share, over their sum; of n
trials, a part of `PRIOR / (PRIOR + n)` is the same for all coordinates, so that small records change little. Below `LEAST`
trials, and where no coordinate explains anything, all weights are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tuner.commands.simulate.position import Position

N_NEAREST = 5
PRIOR = 5
LEAST = 10


def weights(positions: Sequence[Position], ends: np.ndarray) -> dict[str, float]:
    """A weight for each coordinate that any position has, 1 in sum. `ends`: (n_trials,), NaN for a failed trial."""
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
    found: np.ndarray = np.sqrt(squares)
    return found


def differences(positions: Sequence[Position], name: str, n_rows: int | None = None) -> np.ndarray:
    """Between the first `n_rows` positions, by default all, and all of them, in one coordinate: (n_rows, n_positions).

    The difference of numbers, at most 1; 1 for different labels, and where only one of both positions has the coordinate.
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
    found: np.ndarray = np.where(both, between, either.astype(float))
    return found


def _dependence(between: np.ndarray, ends: np.ndarray) -> float:
    """Mean share of variance explained, 0 to 1, over the rankings of all trials and of those that end with a number."""
    sound = np.isfinite(ends)
    everything = _explained(between, np.where(sound, ends, -np.inf))
    return (everything + _explained(between[np.ix_(sound, sound)], ends[sound])) / 2


def _explained(between: np.ndarray, ends: np.ndarray) -> float:
    """Share of the variance of the ranks of `ends` that the nearest trials explain; 0 where there are too few trials."""
    if len(ends) <= N_NEAREST or np.ptp(place := _places(ends)) == 0:
        return 0.0
    apart = between + np.diag(np.full(len(ends), np.inf))
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :N_NEAREST]
    error = np.mean((place[nearest].mean(axis=1) - place) ** 2)
    return max(0.0, 1.0 - float(error / (np.var(place) * (1 + 1 / N_NEAREST))))


def _places(values: np.ndarray) -> np.ndarray:
    """Ranks over 0 to 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[places] / len(values)
    return found
