"""Draws from Optuna's distributions, without and with a trial of Optuna."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

Scalar = None | bool | int | float | str
WIDTH = 0.15
"""Standard deviation of a draw around a value, as a share of the range."""
SAME_CHOICE = 0.8
"""Probability that a draw around a choice keeps it."""


def suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Scalar:
    """What `trial` draws for one distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def n_points(distribution: BaseDistribution) -> int | None:
    """Number of values of a distribution; None for a continuous one."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return (distribution.high - distribution.low) // distribution.step + 1
    assert isinstance(distribution, FloatDistribution)
    return None if distribution.step is None else round((distribution.high - distribution.low) / distribution.step) + 1


def point(distribution: BaseDistribution, index: int) -> Scalar:
    """A value of a distribution that is not continuous, from 0 for the first."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[index]
    assert isinstance(distribution, IntDistribution | FloatDistribution) and distribution.step is not None
    return distribution.low + index * distribution.step


def points(distribution: BaseDistribution) -> Iterator[Scalar]:
    """Every value of a distribution that is not continuous, in order."""
    return (point(distribution, index) for index in range(n_points(distribution) or 0))


def draw(distribution: BaseDistribution, rng: random.Random) -> Scalar:
    """A random value, uniform over the range or its logarithm."""
    count = n_points(distribution)
    if count is not None:
        return point(distribution, rng.randrange(count))
    assert isinstance(distribution, FloatDistribution)
    if not distribution.log:
        return rng.uniform(distribution.low, distribution.high)
    exponent = rng.uniform(math.log(distribution.low), math.log(distribution.high))
    return min(max(math.exp(exponent), distribution.low), distribution.high)


def draw_near(distribution: BaseDistribution, value: Scalar, rng: random.Random) -> Scalar:
    """A random value around another: within about `WIDTH` of the range or its logarithm's; a choice mostly stays the same."""
    if isinstance(distribution, CategoricalDistribution):
        return value if rng.random() < SAME_CHOICE else rng.choice(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    assert isinstance(value, int | float)
    scale, back = (math.log, math.exp) if distribution.log else (float, float)
    low, high = scale(distribution.low), scale(distribution.high)
    drawn = rng.gauss(scale(value), WIDTH * (high - low))
    near = back(min(max(drawn, low), high))
    if distribution.step is not None:
        near = distribution.low + round((near - distribution.low) / distribution.step) * distribution.step
    return min(max(near, distribution.low), distribution.high)
