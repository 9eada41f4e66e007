"""Draws the landscape of a generated world; the constants are fitted to the recorded sweeps in `synthetic`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.landscape import Failures, Landscape, Plane, beyond
from model.config import TrialConfig
from tuner.commands.simulate.distance import Position, unit
from tuner.space import Space
from tuner.space.distributions import Scalar
from tuner.space.parameters import Choice, Float, Int, Parameter, Simplex, is_in

FLOOR = 0.3
"""Score at chance: the mean of about .26 for sst's five classes, .63 for quora's majority and no correlation for sts."""
LR = "optim.lr"
WEIGHTS = {LR: 0.4}
"""Approximate score lost at one end of a number's range when the optimum is at the other; `OTHER_WEIGHT` for the rest."""
OTHER_WEIGHT = 0.004
DROPS = {"pair_encoding": 0.02, "smart.enabled": 0.015}
"""Approximate score lost by the worse labels of a choice; `OTHER_DROP` for the rest."""
OTHER_DROP = 0.004
LR_SPREAD, OTHER_SPREAD, HARDNESS_SPREAD = 0.4, 1.2, 0.8
"""Standard deviations of the logarithms of the weights: of the learning rate's, of the others', and of a factor common to all
weights and drops of a world."""
NEAR_DEFAULT = 0.1
"""Standard deviation of a number's optimum around the untuned default, in ranges."""
DEFAULT_IS_BEST = 0.7
"""Probability that the default's label of a choice is the best one; switches are on or off with equal probability."""
CROSSING = (0.5, 0.9)
"""Bounds of the spread of learning speeds, in units of the spread of the ends: the more of it, the more curves cross."""
FAILED = (0.26, 0.42)
"""Bounds of the share of sampled learning rates at which most trials fail."""
FAILURE_GAP = 0.12
"""Least distance from the best and the default learning rate to those at which most trials fail, in ranges."""
SHIFT = 0.03
"""Approximate standard deviation of that boundary over the rest of the configuration, in ranges."""


def draw_landscape(space: Space, default: Position, rng: np.random.Generator) -> Landscape:
    """Draw a landscape whose optimum is near `default`, the position of the untuned default, empty when the space has none."""
    points = numeric_points(space)
    labels = {p.name: p.labels for p in space.parameters if isinstance(p, Choice)}
    hardness = float(rng.lognormal(0.0, HARDNESS_SPREAD))
    weights = {}
    for name in points:
        factor = float(rng.lognormal(0.0, LR_SPREAD if name == LR else OTHER_SPREAD))
        weights[name] = hardness * (WEIGHTS.get(name, OTHER_WEIGHT) * factor)
    steep = _failing_number(weights, points)
    optima = {name: _draw_optimum(grid, default.get(name), name == steep, rng) for name, grid in points.items()}
    losses = {name: weights[name] * _mean_square(optima[name], grid) for name, grid in points.items()}
    drops = _draw_drops(space, losses, default, hardness, rng)
    rate, start, noisiness, shift = (_draw_plane(points, labels, rng) for _ in range(4))
    typical = sum(losses.values()) + sum(float(np.mean(list(by_label.values()))) for by_label in drops.values())
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


def numeric_points(space: Space) -> dict[str, list[float] | None]:
    """The possible positions of each number of the space; None for a continuous one."""
    points: dict[str, list[float] | None] = {}
    for parameter in space.parameters:
        if isinstance(parameter, Simplex):
            points.update(dict.fromkeys((f"{parameter.name}[{task}]" for task in all_tasks(space)), None))
        elif isinstance(parameter, Int):
            points[parameter.name] = [unit(parameter, n) for n in range(parameter.low, parameter.high + 1, parameter.step)]
        elif isinstance(parameter, Float):
            points[parameter.name] = None
    return points


def all_tasks(space: Space) -> list[str]:
    """The tasks of all mixtures, in order of their first occurrence."""
    mixtures = [p.values for p in space.parameters if p.name == "mixture" and isinstance(p, Choice)]
    offered = mixtures[0] if mixtures else (space.fixed.get("mixture", TrialConfig().mixture),)
    return list(dict.fromkeys(task for mixture in offered for task in mixture))


def _failing_number(weights: Mapping[str, float], points: Mapping[str, Sequence[float] | None]) -> str | None:
    """The continuous number at whose high end trials fail: the learning rate, else that of the largest weight."""
    continuous = [name for name, grid in points.items() if grid is None]
    return LR if LR in continuous else max(continuous, key=weights.__getitem__, default=None)


def _draw_optimum(grid: Sequence[float] | None, default: object, fails: bool, rng: np.random.Generator) -> float:
    """Draw the best position of a number: near its default, or uniformly except near the ends.

    If trials fail at the high end (`fails`), it is at least `FAILURE_GAP` below the lowest position at which most of them do.
    """
    if isinstance(default, float):
        drawn = float(np.clip(rng.normal(default, NEAR_DEFAULT), 0.05, 0.95))
    else:
        drawn = float(rng.choice(grid) if grid else rng.uniform(0.15, 0.85))
    if grid:
        return min(grid, key=lambda point: abs(point - drawn))
    return min(drawn, 1 - FAILED[0] - FAILURE_GAP) if fails else drawn


def _mean_square(optimum: float, grid: Sequence[float] | None) -> float:
    """Mean of `beyond(u − u*)²` over the positions of a number; over 0 to 1 for a continuous one."""
    if grid:
        return float(np.mean([beyond(point - optimum) ** 2 for point in grid]))
    return (beyond(optimum) ** 3 + beyond(1 - optimum) ** 3) / 3


def _draw_drops(
    space: Space, losses: Mapping[str, float], default: Position, hardness: float, rng: np.random.Generator
) -> dict[str, dict[Scalar, float]]:
    """Drops by choice and label, the smallest of each choice 0; `losses` are the mean drops of the numbers, by coordinate.

    The mean drop of the parameters that a label activates is subtracted from its own drop, so that labels do not get worse by
    having more parameters. Choices that others depend on come last.
    """
    mean_drops = dict.fromkeys((p.name for p in space.parameters), 0.0)
    for key, loss in losses.items():
        mean_drops[key.partition("[")[0]] += loss
    drops: dict[str, dict[Scalar, float]] = {}
    for choice in reversed(space.parameters):
        if not isinstance(choice, Choice):
            continue
        drawn = _draw_labels(choice, default.get(choice.name), hardness, rng)
        net = {shown: drop - _mean_drop(space, choice, shown, mean_drops) for shown, drop in drawn.items()}
        drops[choice.name] = {shown: drop - min(net.values()) for shown, drop in net.items()}
        mean_drops[choice.name] = float(np.mean(list(drops[choice.name].values())))
    return drops


def _draw_labels(choice: Choice, default: object, hardness: float, rng: np.random.Generator) -> dict[Scalar, float]:
    """Draw half-normal drops, 0 for the best label."""
    labels = choice.labels
    drawn = hardness * DROPS.get(choice.name, OTHER_DROP) * np.abs(rng.normal(0.0, 1.0, len(labels)))
    best, is_default_best = int(rng.integers(len(labels))), rng.random() < DEFAULT_IS_BEST
    is_switch = all(isinstance(shown, bool) for shown in labels)
    if is_default_best and not is_switch and default in labels:
        best = labels.index(default)
    drawn[best] = 0.0
    return dict(zip(labels, drawn.tolist(), strict=True))


def _mean_drop(space: Space, choice: Choice, shown: Scalar, mean_drops: Mapping[str, float]) -> float:
    """The mean drop of the parameters that a label activates, weighted by their probability of being active."""
    known = {p.name: p for p in space.parameters}
    return sum(mean_drops[p.name] * _share(p, choice.name, shown, known) for p in space.parameters if p.name != choice.name)


def _share(parameter: Parameter, name: str, shown: Scalar, known: Mapping[str, Parameter]) -> float:
    """The probability that a parameter is active when the choice `name` has the label `shown`."""
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
    """Draw a plane whose values have a standard deviation of about 1 when all coordinates are used."""
    scale = 1 / math.sqrt(max(len(points) + len(labels), 1))
    return Plane(
        {name: float(rng.normal(0.0, math.sqrt(12) * scale)) for name in points},
        {name: dict(zip(shown, rng.normal(0.0, scale, len(shown)).tolist(), strict=True)) for name, shown in labels.items()},
    )


def _draw_failures(
    name: str | None, optima: Mapping[str, float], default: Position, plane: Plane, rng: np.random.Generator
) -> Failures:
    """Draw failures at the high end of a number, at least `FAILURE_GAP` above its best and its default position."""
    share, nan_share = float(rng.uniform(*FAILED)), float(rng.uniform(0.2, 0.8))
    shift = Plane({key: slope for key, slope in plane.slopes.items() if key != name}, plane.offsets).times(SHIFT)
    middle = 1 - share
    if name is not None:
        default_position = float(default.get(name) or 0.0) + shift.at(default)
        middle = max(middle, optima[name] + FAILURE_GAP, default_position + FAILURE_GAP)
    return Failures(name, middle, shift, nan_share)
