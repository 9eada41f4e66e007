"""Maps an earlier configuration to a point of a new space: the inverse of `Space.suggest`, by the names of settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, field_names, parse
from tuner.space.distributions import Scalar
from tuner.space.parameters import MIXTURE, Choice, Follow, Parameter, label, leaves, mixture_of, nest
from tuner.space.space import Space

WITHOUT_EFFECT = ("seed", "watch", "optim.accumulation", "engine.zero_stage", "engine.allow_zero3")
"""Settings that may differ between comparable scores: randomness, further measurements, and how the same sums are computed."""


@dataclass(frozen=True)
class Mapped:
    """A point of the new space."""

    picks: Mapping[str, Scalar]
    """What Optuna would have drawn, by its names."""
    distributions: Mapping[str, BaseDistribution]
    differs: tuple[str, ...]
    """Settings in which the new search's configuration differs, so that its score cannot be compared with the earlier one's."""


class UnmappableError(Exception):
    """A configuration is outside the space; the reason is in a few words that follow "5 trials"."""


def map_config(space: Space, config: Mapping[str, Any]) -> Mapped:
    """The point of the space that corresponds to a nested configuration, which may be of an older version.

    Settings that `space.renamed` names are read under their new names; settings that did not exist yet have their default, as
    they had in effect. Values outside a range are not clipped: the clipped configuration was never measured. Raises
    `UnmappableError`.
    """
    flat = {space.renamed.get(name, name): value for name, value in flatten(config).items()}
    unknown = sorted(flat.keys() - field_names().keys())
    with _refused("today"):
        old = parse(nest({name: value for name, value in flat.items() if name in field_names()}))
    picks, distributions = _invert(space, flatten(old.to_dict()))
    with _refused("here"):
        new = space.config(picks)
    return Mapped(picks, distributions, (*_differences(old, new), *unknown))


@contextmanager
def _refused(where: str) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise UnmappableError(f"would be refused {where}: {error.problems[0]}") from None


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings by dotted name; a setting that is itself a mapping, as `mixing.ratios`, stays whole."""
    return {".".join(keys): value for keys, value in leaves(values)}


def _invert(space: Space, old: Mapping[str, Any]) -> tuple[dict[str, Scalar], dict[str, BaseDistribution]]:
    """Picks and distributions of the active parameters, for settings by dotted name."""
    picks: dict[str, Scalar] = {}
    distributions: dict[str, BaseDistribution] = {}
    labels: dict[str, Scalar] = {}
    tasks = mixture_of(old if any(parameter.name == MIXTURE for parameter in space.parameters) else space.fixed)
    for parameter in space.parameters:
        if not parameter.is_active(labels):
            continue
        value = old.get(parameter.name)
        pick = {} if isinstance(parameter, Follow) else parameter.picks(value, tasks)
        if pick is None:
            raise UnmappableError(f"lie outside {parameter.name} {_range_text(parameter)}")
        picks |= pick
        distributions |= parameter.distributions(tasks)
        labels[parameter.name] = label(value)
    return picks, distributions


def _range_text(parameter: Parameter) -> str:
    if isinstance(parameter, Choice):
        return ", ".join(map(str, parameter.labels))
    low, high = next(iter(parameter.to_dict().values()))
    return f"{low:g} to {high:g}"


def _differences(old: TrialConfig, new: TrialConfig) -> list[str]:
    """Names of the settings whose difference changes the training."""
    left, right = flatten(canonical(old).to_dict()), flatten(canonical(new).to_dict())
    names = sorted((left.keys() | right.keys()) - set(WITHOUT_EFFECT))
    return [name for name in names if not _equal(left.get(name), right.get(name))]


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, float) and isinstance(right, int | float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
    return bool(left == right)
