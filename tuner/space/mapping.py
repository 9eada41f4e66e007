"""An earlier configuration as a point of the new space: the inverse of `Space.suggest`, by settings, not by Optuna's names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, field_names, parse
from tuner.space.parameters import MIXTURE, Choice, Follow, Parameter, Scalar, label, mixture_of, nest
from tuner.space.space import Space

WITHOUT_EFFECT = ("seed", "watch", "optim.accumulation", "engine.zero_stage", "engine.allow_zero3")
"""Settings that may differ between scores that are compared: chance, what else is measured, and how the same sums are made."""


@dataclass(frozen=True)
class Mapped:
    """A point of the new space."""

    picks: Mapping[str, Scalar]
    """What Optuna would have drawn, by its names."""
    distributions: Mapping[str, BaseDistribution]
    differs: tuple[str, ...]
    """Settings in which the new search's configuration is another one: its score cannot be compared with the earlier one's."""


class UnmappableError(Exception):
    """Why a configuration has no place in the space, in a few words that follow "5 trials"."""


def map_config(space: Space, config: Mapping[str, Any]) -> Mapped:
    """The point of the space that stands for a nested configuration, which may be of an older version.

    Settings that `space.renamed` names are read under their new names; settings that were not there yet have their default, as
    they had in effect. Values outside a range are not moved into it: nobody measured the configuration that would make. Raises
    `UnmappableError`.
    """
    flat = {space.renamed.get(name, name): value for name, value in flatten(config).items()}
    strange = sorted(name for name in flat if name not in field_names())
    old = _parsed({name: value for name, value in flat.items() if name in field_names()})
    picks, distributions = _invert(space, flatten(old.to_dict()))
    return Mapped(picks, distributions, (*_differences(old, _built(space, picks)), *strange))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; a setting that is itself a mapping, as `mixing.ratios`, stays whole."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping) and dotted not in field_names():
            flat |= flatten(value, f"{dotted}.")
        else:
            flat[dotted] = value
    return flat


def _parsed(flat: Mapping[str, Any]) -> TrialConfig:
    """The configuration with every default filled in."""
    try:
        return parse(nest(flat))
    except ConfigError as error:
        raise UnmappableError(f"would be refused today: {error.problems[0]}") from None


def _built(space: Space, picks: Mapping[str, Scalar]) -> TrialConfig:
    try:
        return space.config(picks)
    except ConfigError as error:
        raise UnmappableError(f"would be refused here: {error.problems[0]}") from None


def _invert(space: Space, old: Mapping[str, Any]) -> tuple[dict[str, Scalar], dict[str, BaseDistribution]]:
    """Picks and distributions of the active parameters, for settings by dotted name."""
    picks: dict[str, Scalar] = {}
    distributions: dict[str, BaseDistribution] = {}
    labels: dict[str, Scalar] = {}
    tasks = mixture_of(old if _searches_mixture(space) else space.fixed)
    for parameter in space.parameters:
        if parameter.is_active(labels):
            picks |= _picks(parameter, old, tasks)
            distributions |= parameter.distributions(tasks)
            labels[parameter.name] = label(old.get(parameter.name))
    return picks, distributions


def _searches_mixture(space: Space) -> bool:
    return any(parameter.name == MIXTURE for parameter in space.parameters)


def _picks(parameter: Parameter, old: Mapping[str, Any], tasks: tuple[str, ...]) -> dict[str, Scalar]:
    if isinstance(parameter, Follow):
        return {}
    found = parameter.picks(old.get(parameter.name), tasks)
    if found is None:
        raise UnmappableError(f"lie outside {parameter.name} {_range(parameter)}")
    return found


def _range(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return ", ".join(map(str, parameter.labels))
    low, high = next(iter(parameter.to_dict().values()))
    return f"{low:g} to {high:g}"


def _differences(old: TrialConfig, new: TrialConfig) -> list[str]:
    """Settings, by name, in which two configurations train something else."""
    left, right = flatten(canonical(old).to_dict()), flatten(canonical(new).to_dict())
    names = sorted((left.keys() | right.keys()) - set(WITHOUT_EFFECT))
    return [name for name in names if not _equal(left.get(name), right.get(name))]


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    return bool(left == right)
