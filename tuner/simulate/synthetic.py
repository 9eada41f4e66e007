"""Generated learning curves over a space: a landscape of end scores, and power laws that lead there.

A world is drawn from its seed, and a course is a pure function of the world and the configuration. Positions u are in units
of the parameters' ranges (`position`).

- End: `floor + (ceiling − floor) · exp(−drop / (ceiling − floor))`. The drop sums, over the coordinates that a configuration
  uses, `w · (u − u* − r · (v − v*))²` for numbers, where v is another number's position, and a label's own drop for choices,
  0 for one of them. It is 0 at u*, so the ceiling is reached, and regret needs no search for the best.
- Curve: at the share x of the budget `end − (end − start) · (x^−c − 1) / (x₀^−c − 1)`, a power law of rate c through `start` at
  x₀, half the first evaluation, and through `end` at 1. Rate and start depend on the position independently of the end: curves
  cross, and slow learners win.
- Noise: at the last evaluation normal; before, where fewer examples are looked at, three times as wide and correlated from one
  evaluation to the next; both grow with the noisiness of the position.
- Failures: a share of the trials becomes NaN at a random evaluation, more of them where the most important number is too high.
- Seconds: `costs`, and a trial's own luck of some percent.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.config import TrialConfig
from model.evaluation import Evaluation
from tuner.objective import Objective
from tuner.simulate import costs
from tuner.simulate.position import Position, numeric_points, position
from tuner.simulate.world import Course, scored_metrics
from tuner.space import Space
from tuner.space.parameters import Choice, Scalar

WEIGHTS = {"optim.lr": 0.5, "optim.head_lr": 0.12, "smart.lambda": 0.15, "smart.epsilon": 0.08, "smart.steps": 0.03}
"""Score lost at one end of a number's range when the best is at the other, about; `OTHER_WEIGHT` for the rest."""
OTHER_WEIGHT = 0.05
DROPS = {"pair_encoding": 0.15}
"""Score lost by a choice's wrong labels, about; `OTHER_DROP` for the rest."""
OTHER_DROP = 0.03
FAILURE_RATE = 0.02
DIVERGENCE_RATE = 0.5
"""Additional failures where the most important number lies `SAFE` of its range above the best, per range."""
SAFE = 0.35
EARLY_NOISE, CORRELATION = 3.0, 0.6
SECONDS_JITTER = 0.05


@dataclass(frozen=True)
class Synthetic:
    """The world of a seed."""

    space: Space
    objective: Objective
    seed: int
    flops_per_s: float
    """Speed of one slot."""

    @property
    def best(self) -> float:
        return self._landscape.ceiling

    @cached_property
    def _landscape(self) -> Landscape:
        return draw_landscape(self.space, np.random.default_rng(self.seed))

    def true_score(self, config: TrialConfig) -> float:
        return self._landscape.end(position(self.space, config))

    def course(self, config: TrialConfig) -> Course:
        here, land = position(self.space, config), self._landscape
        rng = np.random.default_rng([self.seed, zlib.crc32(json.dumps(config.to_dict(), sort_keys=True).encode())])
        n = config.budget.evaluations
        scores = land.curve(here, n) + land.noise(here, n, rng)
        fails_at = land.fails_at(here, n, rng)
        scores[fails_at:] = math.nan
        data = costs.summary()
        luck = math.exp(rng.normal(0.0, SECONDS_JITTER))
        seconds = [luck * s for s in costs.seconds(config, data, self.flops_per_s)]
        n_steps = costs.n_steps(config, data)
        names, computes = scored_metrics(self.objective, config), costs.compute(config, data)
        evaluations = tuple(
            Evaluation(
                i,
                n,
                i * n_steps // n,
                n_steps,
                i * n_steps // n,
                dict.fromkeys(names, float(score)),
                {},
                second,
                compute=compute,
            )
            for i, (score, second, compute) in enumerate(zip(scores, seconds, computes, strict=True), start=1)
        )
        return Course(evaluations, land.end(here))


@dataclass(frozen=True)
class Plane:
    """A linear function of the position, 0 on average: `Σ slope · (u − ½)` over numbers, and an offset for each label."""

    slopes: Mapping[str, float]
    offsets: Mapping[str, Mapping[Scalar, float]]

    def at(self, here: Position) -> float:
        numbers = sum(slope * (_number(here, name) - 0.5) for name, slope in self.slopes.items() if name in here)
        return numbers + sum(offsets[here[name]] for name, offsets in self.offsets.items() if name in here)


@dataclass(frozen=True)
class Landscape:
    """What a seed draws; the module's docstring has the formulas."""

    floor: float
    ceiling: float
    optima: Mapping[str, float]
    """u* by coordinate."""
    weights: Mapping[str, float]
    """w by coordinate."""
    partners: Mapping[str, tuple[str, float]]
    """For a number the other one that its best value depends on, and r."""
    drops: Mapping[str, Mapping[Scalar, float]]
    """By choice and label."""
    rate: Plane
    """log c."""
    start: Plane
    """Log odds of the share of the way to the end that the curve begins at."""
    noisiness: Plane
    """Log of the noise's factor."""
    sigma: float
    """Standard deviation of the last score between repetitions of a trial."""

    def drop(self, here: Position) -> float:
        numbers = sum(self.weights[name] * self._deviation(here, name) ** 2 for name in self.optima if name in here)
        return numbers + sum(drops[here[name]] for name, drops in self.drops.items() if name in here)

    def end(self, here: Position) -> float:
        height = self.ceiling - self.floor
        return self.floor + height * math.exp(-self.drop(here) / height)

    def curve(self, here: Position, n: int) -> np.ndarray:
        """The scores without noise, (n,)."""
        end = self.end(here)
        start = self.floor + (end - self.floor) / (1 + math.exp(-self.start.at(here)))
        c = min(max(math.exp(self.rate.at(here)), 0.2), 4.0)
        x = np.arange(1, n + 1) / n
        scores: np.ndarray = end - (end - start) * (x**-c - 1) / ((0.5 / n) ** -c - 1)
        return scores

    def noise(self, here: Position, n: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) with zero mean."""
        sigma = self.sigma * math.exp(self.noisiness.at(here))
        drawn = rng.normal(0.0, sigma, n)
        for i in range(1, n - 1):
            drawn[i] = CORRELATION * drawn[i - 1] + math.sqrt(1 - CORRELATION**2) * drawn[i]
        drawn[: n - 1] *= EARLY_NOISE
        return drawn

    def fails_at(self, here: Position, n: int, rng: np.random.Generator) -> int:
        """Index, from 0, of the evaluation at which the trial fails; n for a sound one."""
        steepest = max(self.weights, key=self.weights.__getitem__, default=None)
        excess = _number(here, steepest) - self.optima[steepest] - SAFE if steepest in here and steepest is not None else 0.0
        fails = rng.random() < FAILURE_RATE + DIVERGENCE_RATE * max(excess, 0.0)
        when = int(rng.integers(n))
        return when if fails else n

    def _deviation(self, here: Position, name: str) -> float:
        own = _number(here, name) - self.optima[name]
        other, r = self.partners.get(name, ("", 0.0))
        return own - r * (_number(here, other) - self.optima[other]) if other in here else own


def draw_landscape(space: Space, rng: np.random.Generator) -> Landscape:
    """A landscape over a space."""
    points = numeric_points(space)
    labels = {p.name: p.labels for p in space.parameters if isinstance(p, Choice)}
    optima = {name: float(rng.choice(grid) if grid else rng.uniform(0.15, 0.85)) for name, grid in points.items()}
    weights = {name: WEIGHTS.get(name, OTHER_WEIGHT) * float(rng.lognormal(0.0, 0.5)) for name in points}
    always = [p.name for p in space.parameters if not p.when and p.name in points]
    partners = {
        name: (str(rng.choice([other for other in always if other != name])), float(rng.uniform(-0.6, 0.6)))
        for name in (always if len(always) > 1 else [])
    }
    return Landscape(
        floor=0.2,
        ceiling=float(rng.uniform(0.7, 0.8)),
        optima=optima,
        weights=weights,
        partners=partners,
        drops={name: _draw_drops(DROPS.get(name, OTHER_DROP), shown, rng) for name, shown in labels.items()},
        rate=_draw_plane(points, labels, 0.35, rng),
        start=_draw_plane(points, labels, 0.5, rng),
        noisiness=_draw_plane(points, labels, 0.25, rng),
        sigma=float(rng.uniform(0.002, 0.006)),
    )


def _draw_drops(scale: float, labels: list[Scalar], rng: np.random.Generator) -> dict[Scalar, float]:
    """Drops of the labels, half-normal, 0 for one of them."""
    drops = np.abs(rng.normal(0.0, scale, len(labels)))
    drops[rng.integers(len(labels))] = 0.0
    return dict(zip(labels, drops.tolist(), strict=True))


def _draw_plane(
    points: Mapping[str, object], labels: Mapping[str, list[Scalar]], spread: float, rng: np.random.Generator
) -> Plane:
    return Plane(
        {name: float(rng.normal(0.0, 2 * spread)) for name in points},
        {name: dict(zip(shown, rng.normal(0.0, spread, len(shown)).tolist(), strict=True)) for name, shown in labels.items()},
    )


def _number(here: Position, name: str | None) -> float:
    return float(here[name])  # type: ignore[arg-type,index]  # a coordinate of a number holds one
