"""The untuned default configuration, the baseline that a search has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.config import ConfigError, TrialConfig, field_names, parse
from tuner.space.mapping import flatten
from tuner.space.parameters import MIXTURE, Choice, Parameter, label, mixture_of, nest
from tuner.space.space import Space

SMART = "smart.enabled"


def untuned(space: Space, seed: int) -> TrialConfig:
    """The space's first start configuration, completed with `TrialConfig`'s defaults over what the space fixes.

    SMART is off where neither of them sets it, and the space's first mixture replaces a default one that it does not offer.
    Raises `ConfigError` where the configuration is refused, as where a needed setting has no default.
    """
    picks = space.start[0] if space.start else {}
    defaults = _defaults()
    values = dict(space.fixed)
    active: dict[str, Any] = {}
    for parameter in space.parameters:
        if not parameter.is_active(active):
            continue
        known = {**defaults, **values}
        if (value := _value(parameter, picks, known)) is not None:
            values[parameter.name] = value
        active[parameter.name] = label(values.get(parameter.name, defaults.get(parameter.name)))
    values.setdefault(SMART, False)
    values.setdefault("seed", seed)
    try:
        return parse(nest(values))
    except ConfigError as error:
        fix = "name what is missing in the space's first start configuration"
        raise ConfigError([f"the untuned default is refused: {problem}; {fix}" for problem in error.problems]) from None


def _value(parameter: Parameter, picks: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """A parameter's value by the start configuration, or where the space lacks the default; None leaves it to `TrialConfig`."""
    tasks = mixture_of(known)
    names = parameter.distributions(tasks)
    if all(name in picks for name in names):  # also of a parameter that nothing is drawn for
        return parameter.value({**{name: label(value) for name, value in known.items()}, **picks}, tasks)
    if parameter.name == SMART:
        return False if parameter.picks(False, tasks) is not None else None
    if parameter.name == MIXTURE and isinstance(parameter, Choice) and parameter.picks(tasks, tasks) is None:
        return parameter.values[0]
    return None


def _defaults() -> dict[str, Any]:
    """`TrialConfig`'s values by dotted name; None where it has none."""
    flat = flatten(TrialConfig().to_dict())
    return {name: flat.get(name) for name in field_names()}
