"""The landscape of a generated world: final scores over the space, learning curves, noise and failures.

`synthetic` has the formulas; `drawing` draws a landscape from a seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tuner.commands.simulate.distance import Position
from tuner.commands.simulate.replay import SAME_EXAMPLES
from tuner.space.distributions import Scalar

TOLERANCE = 0.08
"""Distance from a number's best value, in ranges, up to which the score does not drop."""
RUN_CORRELATION = 0.6
"""Correlation of the training noise between successive evaluations."""
OWN_EXAMPLES = 0.3
"""Share of the variance from the choice of examples that is specific to a trial and constant over its evaluations. The share
`SAME_EXAMPLES` is common to all trials, the rest independent."""
FAILURE_WIDTH = 0.03
"""Width of the logistic step to failing learning rates, in ranges."""
FAILS_ANYWAY = 0.02
EARLY_FAILURES = 5.0
"""A trial fails at the evaluation `n · v ^ EARLY_FAILURES` for a uniform v: 63 % of them at the first of ten."""


@dataclass(frozen=True)
class Plane:
    """A linear function of the position, 0 on average: `Σ slope · (u − ½)` over numbers, and an offset for each label."""

    slopes: Mapping[str, float]
    offsets: Mapping[str, Mapping[Scalar, float]]

    def at(self, here: Position) -> float:
        numbers = sum(slope * (number(here, name) - 0.5) for name, slope in self.slopes.items() if name in here)
        return numbers + sum(offsets[here[name]] for name, offsets in self.offsets.items() if name in here)

    def times(self, factor: float) -> Plane:
        return Plane(
            {name: factor * slope for name, slope in self.slopes.items()},
            {name: {shown: factor * offset for shown, offset in labels.items()} for name, labels in self.offsets.items()},
        )


@dataclass(frozen=True)
class Failure:
    """When and how a trial fails."""

    at: int
    """Index, from 0, of its first failing evaluation."""
    is_nan: bool
    """Whether it diverges; otherwise it stays at chance from there on."""


@dataclass(frozen=True)
class Failures:
    """Probability of failing: `FAILS_ANYWAY`, plus a logistic step in one number, shifted by the other parameters."""

    name: str | None
    """The number: the learning rate if it is searched; None in a space without numbers."""
    middle: float
    """Its position at which half of the trials fail."""
    shift: Plane
    nan_share: float
    """Share of the failures that diverge."""

    def probability(self, here: Position) -> float:
        if self.name not in here or self.name is None:
            return FAILS_ANYWAY
        excess = number(here, self.name) + self.shift.at(here) - self.middle
        return FAILS_ANYWAY + (1 - FAILS_ANYWAY) / (1 + math.exp(-excess / FAILURE_WIDTH))

    def draw(self, here: Position, n: int, rng: np.random.Generator) -> Failure | None:
        """Draw the failure of a trial of n evaluations; None if it succeeds."""
        fails, when, kind = rng.random(3)
        if fails >= self.probability(here):
            return None
        return Failure(int(n * when**EARLY_FAILURES), bool(kind < self.nan_share))


@dataclass(frozen=True)
class Landscape:
    """The random quantities of one world, for the formulas in `synthetic`."""

    ceiling: float
    optima: Mapping[str, float]
    """u* by coordinate."""
    weights: Mapping[str, float]
    """w by coordinate."""
    partners: Mapping[str, tuple[str, float]]
    """For a number, the other number that its best value depends on, and r."""
    drops: Mapping[str, Mapping[Scalar, float]]
    """By choice and label."""
    begin: float
    """Share of the way from the floor to the end at which an average curve starts."""
    log_rate: float
    """log c of an average curve."""
    rate: Plane
    """Added to log c."""
    start: Plane
    """Added to the log odds of `begin`."""
    noisiness: Plane
    """Log of the factor of the noise of training."""
    sigma: float
    """Standard deviation of the last score between repetitions of a trial."""
    failures: Failures
    luck: tuple[float, float]
    """Deviation common to all trials by the choice of the early examples, and of the rest of select: standard normal."""
    floor: float
    """Score at chance."""

    def drop(self, here: Position) -> float:
        numbers = sum(self.weights[name] * beyond(self._deviation(here, name)) ** 2 for name in self.optima if name in here)
        return numbers + sum(drops[here[name]] for name, drops in self.drops.items() if name in here)

    def end(self, here: Position) -> float:
        """The final score of a successful trial, without noise."""
        height = self.ceiling - self.floor
        return self.floor + height * math.exp(-self.drop(here) / height)

    def curve(self, here: Position, n: int) -> np.ndarray:
        """The scores of a successful trial without noise, (n,)."""
        end = self.end(here)
        odds = self.begin / (1 - self.begin) * math.exp(self.start.at(here))
        start = self.floor + (end - self.floor) * odds / (1 + odds)
        c = min(max(math.exp(self.log_rate + self.rate.at(here)), 0.2), 4.0)
        x = np.arange(1, n + 1) / n
        scores: np.ndarray = end - (end - start) * (x**-c - 1) / ((0.5 / n) ** -c - 1)
        return scores

    def training_noise(self, here: Position, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw the noise of one training, (n,)."""
        drawn = rng.normal(0.0, self.sigma * math.exp(self.noisiness.at(here)), n)
        for i in range(1, n):
            drawn[i] = RUN_CORRELATION * drawn[i - 1] + math.sqrt(1 - RUN_CORRELATION**2) * drawn[i]
        return drawn

    def sampling_noise(self, deviations: np.ndarray, shared: float, rng: np.random.Generator) -> np.ndarray:
        """Draw the noise from the choice of examples, (n,), with these standard deviations over worlds.

        `shared` is the correlation of the last evaluation with the earlier ones: 1 when all use the same examples.
        """
        n = len(deviations)
        fixed = math.sqrt(SAME_EXAMPLES) * np.array(self.luck) + math.sqrt(OWN_EXAMPLES) * rng.normal(0.0, 1.0, 2)
        standard = np.full(n, fixed[0])
        standard[-1] = shared * fixed[0] + math.sqrt(1 - shared**2) * fixed[1]
        drawn: np.ndarray = deviations * (standard + math.sqrt(1 - SAME_EXAMPLES - OWN_EXAMPLES) * rng.normal(0.0, 1.0, n))
        return drawn

    def _deviation(self, here: Position, name: str) -> float:
        deviation = number(here, name) - self.optima[name]
        other, r = self.partners.get(name, ("", 0.0))
        return deviation - r * (number(here, other) - self.optima[other]) if other in here else deviation


def number(here: Position, name: str) -> float:
    return float(here[name])  # type: ignore[arg-type]  # a coordinate of a number holds one


def beyond(deviation: float) -> float:
    """The part of a deviation above the tolerance."""
    return max(abs(deviation) - TOLERANCE, 0.0)
