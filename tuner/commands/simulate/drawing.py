"""Draws landscapes: the numbers of a generated world, chosen for the recorded sweeps that `synthetic` names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tuner.commands.simulate.landscape import Failures, Landscape, Plane, beyond
from tuner.commands.simulate.position import Position, numeric_points
from tuner.space import Space
from tuner.space.parameters import Choice, Int, Parameter, Scalar, is_in

FLOOR = 0.3
"""Score at chance: the mean of about .26 for sst's five classes, .63 for quora's majority and no correlation for sts."""
LR = "optim.lr"
WEIGHTS = {LR: 0.4}
"""Score lost at one end of a number's range when the best is at the other, about; `OTHER_WEIGHT` for the rest."""
OTHER_WEIGHT = 0.004
DROPS = {"pair_encoding": 0.02, "smart.enabled": 0.015}
"""Score lost by a choice's wrong labels, about; `OTHER_DROP` for the rest."""
OTHER_DROP = 0.004
LR_SPREAD, OTHER_SPREAD, HARDNESS_SPREAD = 0.4, 1.2, 0.8
"""Standard deviations of the logarithms of the weights: of the learning rate's, of the others', and of a factor common to all
weights and drops of a world."""
NEAR_DEFAULT = 0.1
"""Standard deviation of a number's best value around the untuned default, in ranges."""
DEFAULT_IS_BEST = 0.7
"""Probability that the default's label of a choice is the best one; a switch is as likely on as off."""
CROSSING = (0.5, 0.9)
"""Bounds of the spread of learning speeds, in units of the spread of the ends: the more of it, the more curves cross."""
FAILED = (0.26, 0.42)
"""Bounds of the share of learning rates, of those that are drawn, at which most trials fail."""
FAILURE_GAP = 0.12
"""The least distance from the best and the default learning rate to those at which most trials fail, in ranges."""
SHIFT = 0.03
"""Standard deviation of what the rest of a configuration shifts that boundary by, in ranges, about."""


def draw_landscape(space: Space, default: Position, rng: np.random.Generator) -> Landscape:
    """A landscape over a space whose good values lie about `default`, the position of its untuned default, where it has one."""
    points = numeric_points(space)
    labels = {p.name: p.labels for p in space.parameters if isinstance(p, Choice)}
    hardness = float(rng.lognormal(0.0, HARDNESS_SPREAD))
    weights = {name: hardness * _draw_weight(name, rng) for name in points}
    steep = _failing_number(weights, points)
    optima = {name: _draw_optimum(grid, default.get(name), name == steep, rng) for name, grid in points.items()}
    losses = {name: weights[name] * _mean_square(optima[name], grid) for name, grid in points.items()}
    drops = _draw_drops(space, losses, default, hardness, rng)
    rate, start, noisiness, shift = (_draw_plane(points, labels, rng) for _ in range(4))
    typical = sum(losses.values()) + sum(float(np.mean(list(found.values()))) for found in drops.values())
    spread = min(float(rng.uniform(*CROSSING)) * typical / 0.1, 1.0)
    return Landscape(
        floor=FLOOR,
        ceiling=float(rng.uniform(0.7, 0.8)),
        optima=optima,
        weights=weights,
        partners=_draw_partners([p.name for p in space.parameters if not p.when and p.name in points], rng),
        drops=drops,
        begin=float(rng.uniform(0.4, 0.6)),
        log_rate=float(rng.normal(0.0, 0.25)),
        rate=rate.times(0.5 * spread),
        start=start.times(spread),
        noisiness=noisiness.times(0.5),
        sigma=float(rng.uniform(0.002, 0.006)),
        failures=_draw_failures(steep, optima, default, shift, rng),
        luck=(float(rng.normal()), float(rng.normal())),
    )


def _failing_number(weights: Mapping[str, float], points: Mapping[str, Sequence[float] | None]) -> str | None:
    """The continuous number at whose high end trials fail: the learning rate where it is searched, else the heaviest one."""
    continuous = [name for name, grid in points.items() if grid is None]
    return LR if LR in continuous else max(continuous, key=weights.__getitem__, default=None)


def _draw_optimum(grid: Sequence[float] | None, default: object, fails: bool, rng: np.random.Generator) -> float:
    """The best position of a number: about the default's where it has one, else anywhere but near the ends.

    Where trials fail at the high end, `fails`, the best is `FAILURE_GAP` below the lowest position at which most of them do.
    """
    if isinstance(default, float):
        drawn = float(np.clip(rng.normal(default, NEAR_DEFAULT), 0.05, 0.95))
    else:
        drawn = float(rng.choice(grid) if grid else rng.uniform(0.15, 0.85))
    if grid:
        return min(grid, key=lambda point: abs(point - drawn))
    return min(drawn, 1 - FAILED[0] - FAILURE_GAP) if fails else drawn


def _draw_weight(name: str, rng: np.random.Generator) -> float:
    spread = LR_SPREAD if name == LR else OTHER_SPREAD
    return WEIGHTS.get(name, OTHER_WEIGHT) * float(rng.lognormal(0.0, spread))


def _mean_square(optimum: float, grid: Sequence[float] | None) -> float:
    """Mean of `beyond(u − u*)²` over the positions of a number; over 0 to 1 for a continuous one."""
    if grid:
        return float(np.mean([beyond(point - optimum) ** 2 for point in grid]))
    return (beyond(optimum) ** 3 + beyond(1 - optimum) ** 3) / 3


def _draw_drops(
    space: Space, losses: Mapping[str, float], default: Position, hardness: float, rng: np.random.Generator
) -> dict[str, dict[Scalar, float]]:
    """Drops by choice and label, the least of each choice 0; `losses` are the mean drops of the numbers, by coordinate.

    What a label brings along, the mean drop of the parameters that it activates, is taken off its own drop: a label is
    better or worse by what is drawn for it, not by how many parameters it has. Choices that others depend on come last.
    """
    brought = {p.name: sum(loss for key, loss in losses.items() if key.partition("[")[0] == p.name) for p in space.parameters}
    drops: dict[str, dict[Scalar, float]] = {}
    for choice in reversed(space.parameters):
        if not isinstance(choice, Choice):
            continue
        drawn = _draw_labels(choice, default.get(choice.name), hardness, rng)
        net = {shown: drop - _brought(space, choice, shown, brought) for shown, drop in drawn.items()}
        drops[choice.name] = {shown: drop - min(net.values()) for shown, drop in net.items()}
        brought[choice.name] = float(np.mean(list(drops[choice.name].values())))
    return drops


def _draw_labels(choice: Choice, default: object, hardness: float, rng: np.random.Generator) -> dict[Scalar, float]:
    """Half-normal drops, 0 for one of the labels."""
    labels = choice.labels
    drawn = hardness * DROPS.get(choice.name, OTHER_DROP) * np.abs(rng.normal(0.0, 1.0, len(labels)))
    best, believed = int(rng.integers(len(labels))), rng.random() < DEFAULT_IS_BEST
    is_switch = all(isinstance(shown, bool) for shown in labels)
    if believed and not is_switch and default in labels:
        best = labels.index(default)
    drawn[best] = 0.0
    return dict(zip(labels, drawn.tolist(), strict=True))


def _brought(space: Space, choice: Choice, shown: Scalar, brought: Mapping[str, float]) -> float:
    """The mean drop of the parameters that this label activates, those that depend on another one's value in proportion."""
    known = {p.name: p for p in space.parameters}
    return sum(brought[p.name] * _share(p, choice.name, shown, known) for p in space.parameters if p.name != choice.name)


def _share(parameter: Parameter, name: str, shown: Scalar, known: Mapping[str, Parameter]) -> float:
    """The probability that a parameter is active where the choice `name` is `shown`."""
    share = 1.0
    for other, allowed in parameter.when.items():
        if other == name:
            share *= is_in(shown, allowed)
        else:
            share *= min(len(allowed) / _n_values(known[other]), 1.0) * _share(known[other], name, shown, known)
    return share


def _n_values(parameter: Parameter) -> int:
    if isinstance(parameter, Choice):
        return len(parameter.labels)
    return len(range(parameter.low, parameter.high + 1, parameter.step)) if isinstance(parameter, Int) else 1


def _draw_partners(names: Sequence[str], rng: np.random.Generator) -> dict[str, tuple[str, float]]:
    if len(names) < 2:
        return {}
    return {
        name: (str(rng.choice([other for other in names if other != name])), float(rng.uniform(-0.4, 0.4))) for name in names
    }


def _draw_plane(points: Mapping[str, object], labels: Mapping[str, list[Scalar]], rng: np.random.Generator) -> Plane:
    """A plane whose values over the space have a standard deviation of about 1, were all its coordinates used."""
    scale = 1 / math.sqrt(max(len(points) + len(labels), 1))
    return Plane(
        {name: float(rng.normal(0.0, math.sqrt(12) * scale)) for name in points},
        {name: dict(zip(shown, rng.normal(0.0, scale, len(shown)).tolist(), strict=True)) for name, shown in labels.items()},
    )


def _draw_failures(
    name: str | None, optima: Mapping[str, float], default: Position, plane: Plane, rng: np.random.Generator
) -> Failures:
    """Failures at the high end of a number, `FAILURE_GAP` or more above its best and its default position."""
    share, nan_share = float(rng.uniform(*FAILED)), float(rng.uniform(0.2, 0.8))
    shift = Plane({key: slope for key, slope in plane.slopes.items() if key != name}, plane.offsets).times(SHIFT)
    middle = 1 - share
    if name is not None:
        usual = float(default.get(name) or 0.0) + shift.at(default)
        middle = max(middle, optima[name] + FAILURE_GAP, usual + FAILURE_GAP)
    return Failures(name, middle, shift, nan_share)
