"""The configuration of somebody who does not search: what a search has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model.config import ConfigError, TrialConfig, field_names, parse
from tuner.space.parameters import MIXTURE, Choice, Parameter, label, mixture_of, nest

if TYPE_CHECKING:
    from tuner.space import Space

SMART = "smart.enabled"


def untuned(space: Space, seed: int) -> TrialConfig:
    """The space's first start configuration, completed with `TrialConfig`'s own defaults over what the space fixes.

    SMART is off where neither of them says anything about it, and a default mixture that the space does not offer gives way to
    its first one. Raises `ConfigError` where the whole is refused, as it is where a needed setting has no default.
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
        mend = "name what is missing in the space's first start configuration"
        refused = [f"the untuned default is refused: {problem}; {mend}" for problem in error.problems]
        raise ConfigError(refused) from None


def _value(parameter: Parameter, picks: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """What a parameter takes: as the start configuration says, or as the space must; None leaves it to `TrialConfig`."""
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
    """`TrialConfig`'s own values by dotted name; None where it has none."""
    whole = TrialConfig().to_dict()

    def look_up(name: str) -> Any:
        found: Any = whole
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    return {name: look_up(name) for name in field_names()}
