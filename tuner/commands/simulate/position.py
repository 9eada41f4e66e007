"""Computes the position of a configuration in its space: numbers in units of their range, and the labels of choices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from model.config import TrialConfig
from tuner.space import Space
from tuner.space.distributions import Scalar
from tuner.space.parameters import Choice, Float, Int, Parameter, Simplex, label

Position = Mapping[str, float | Scalar]
"""By coordinate: 0 to 1 from the low to the high end of a number (of its logarithm on a log scale), or a label. A simplex has a
coordinate for each task, `mixing.ratios[sst]`. Inactive parameters are absent."""


def position(space: Space, config: TrialConfig) -> dict[str, float | Scalar]:
    """The position of a configuration; a number outside its range lies below 0 or above 1."""
    values = config.to_dict()
    labels: dict[str, Scalar] = {}
    coordinates: dict[str, float | Scalar] = {}
    for parameter in space.parameters:
        if parameter.is_active(labels):
            value = setting(values, parameter.name)
            labels[parameter.name] = label(value)
            coordinates.update(_coordinates(parameter, value))
    return coordinates


def setting(values: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name in nested values; None if missing."""
    value: Any = values
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


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


def unit(parameter: Int | Float, value: float) -> float:
    """0 at the low end of the range, 1 at the high one."""
    if parameter.high == parameter.low:
        return 0.5
    scale = math.log if parameter.log else float
    low, high = scale(parameter.low), scale(parameter.high)
    return (scale(value) - low) / (high - low)


def _coordinates(parameter: Parameter, value: Any) -> dict[str, float | Scalar]:
    if isinstance(parameter, Choice):
        return {parameter.name: label(value)}
    if isinstance(parameter, Int | Float):
        return {parameter.name: unit(parameter, value)}
    return _shares(parameter, value) if isinstance(parameter, Simplex) else {}


def _shares(parameter: Simplex, shares: Mapping[str, float]) -> dict[str, float | Scalar]:
    """Each task's log share less their mean, over the width of the logits' range, plus 0.5."""
    logs = {task: math.log(share) for task, share in shares.items()}
    middle, width = sum(logs.values()) / len(logs), parameter.high - parameter.low
    return {f"{parameter.name}[{task}]": 0.5 + (log - middle) / width for task, log in logs.items()}
