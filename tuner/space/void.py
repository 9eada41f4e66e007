"""Finds searched parameters that change nothing in some of a space's configurations, where they are noise to a sampler."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, parse
from tuner.space.conditions import parents_of
from tuner.space.distributions import Scalar, draw, n_points, points
from tuner.space.parameters import Choice, Int, Parameter, Picks, as_text, mixture_of
from tuner.space.space import Space

N_SAMPLES = 60
"""Random configurations in which each parameter is drawn again."""
N_REDRAWS = 2
"""Other values of a parameter that must change nothing for it to count as void in a configuration."""
MOST_VALUES = 100
"""Values of a parameter that a note may list in a `when`."""

Group = tuple[str, Scalar]
"""A discrete parameter and one of its values: the configurations that have it."""


@dataclass(frozen=True)
class Probe:
    """A parameter redrawn in one random configuration."""

    is_void: bool
    """Whether other values of it have the same canonical form."""
    picks: Picks
    """The configuration, in Optuna's names and scalars."""


def void_notes(space: Space) -> list[str]:
    """A sentence for each parameter that changes nothing somewhere: where, and the `when` that excludes it there.

    Found by sampling: two configurations that differ in that parameter alone and have the same canonical form.
    """
    rng = random.Random(0)
    sampled = [(picks, _form(space, picks)) for picks in (space.draw(rng) for _ in range(N_SAMPLES))]
    notes = []
    for parameter in space.parameters:
        redrawn = [_probe(space, parameter, picks, form, rng) for picks, form in sampled if form is not None]
        probes = [probe for probe in redrawn if probe is not None]
        if any(probe.is_void for probe in probes):
            notes.append(_note(space, parameter, probes))
    return notes


def _form(space: Space, picks: Picks) -> TrialConfig | None:
    """The canonical configuration; None where it is refused, or other parameters are active than there are picks for."""
    try:
        return canonical(parse(space.values(picks)))
    except (ConfigError, KeyError):
        return None


def _probe(space: Space, parameter: Parameter, picks: Picks, form: TrialConfig, rng: random.Random) -> Probe | None:
    """Redraw the parameter in a configuration of canonical form `form`; None where it is inactive or keeps its value."""
    distributions = parameter.distributions(mixture_of(space.values(picks)))
    if not distributions or not distributions.keys() <= picks.keys():
        return None
    redrawn = [
        {**picks, **{name: draw(distribution, rng) for name, distribution in distributions.items()}} for _ in range(N_REDRAWS)
    ]
    others = [other for changed in redrawn if changed != picks and (other := _form(space, changed)) is not None]
    return Probe(all(other == form for other in others), picks) if others else None


def _note(space: Space, parameter: Parameter, probes: Sequence[Probe]) -> str:
    if all(probe.is_void for probe in probes):
        return f"{parameter.name} is searched, but changes nothing in this space: take it out of `search`"
    groups = _explain(_deciders(space, parameter, probes), probes)
    if not groups:
        share = f"{sum(probe.is_void for probe in probes)} of {len(probes)} random configurations"
        return f"{parameter.name} is searched, but changes nothing in {share}: a `when` can exclude it there"
    values = {name: [as_text(value) for value in _values(space, name) if (name, value) in groups] for name, _ in groups}
    where = " or ".join(f"{name} is {' or '.join(names)}" for name, names in values.items())
    narrowed = {name: [as_text(value) for value in allowed] for name, allowed in _narrowed(space, parameter, groups).items()}
    when = ", ".join(f"{name}: {_as_yaml(allowed)}" for name, allowed in narrowed.items())
    return f"{parameter.name} is searched, but changes nothing where {where}: give it `when: {{{when}}}`"


def _deciders(space: Space, parameter: Parameter, probes: Sequence[Probe]) -> list[str]:
    """The discrete parameters a `when` could name: none that depends on this one, or without which it has an effect."""
    below = {parameter.name}
    for other in space.parameters:  # parents come first
        if parents_of(other) & below:
            below.add(other.name)
    discrete = [other for other in space.parameters if isinstance(other, Choice | Int) and other.name not in below]
    names = [other.name for other in discrete if (n_points(*other.distributions(()).values()) or 0) <= MOST_VALUES]
    return [name for name in names if all(name in probe.picks for probe in probes if not probe.is_void)]


def _explain(deciders: Sequence[str], probes: Sequence[Probe]) -> list[Group]:
    """A small set of groups with only void configurations that covers every void one such groups can cover (greedy)."""
    members: dict[Group, set[int]] = {}
    for index, probe in enumerate(probes):
        for name in deciders:
            if name in probe.picks:
                members.setdefault((name, probe.picks[name]), set()).add(index)
    void = {index for index, probe in enumerate(probes) if probe.is_void}
    pure = {group: indices for group, indices in members.items() if indices <= void}
    chosen: list[Group] = []
    while pure and (best := max(pure, key=lambda group: len(pure[group] & void))) and pure[best] & void:
        chosen.append(best)
        void -= pure[best]
    return sorted(chosen, key=lambda group: deciders.index(group[0]))


def _narrowed(space: Space, parameter: Parameter, groups: Sequence[Group]) -> Mapping[str, Sequence[Scalar]]:
    """The parameter's `when` without the groups."""
    when = {name: list(allowed) for name, allowed in parameter.when.items()}
    for name, value in groups:
        when[name] = [allowed for allowed in when.get(name, _values(space, name)) if allowed != value]
    return when


def _values(space: Space, name: str) -> list[Scalar]:
    """Every value of a discrete parameter, as a `when` names them."""
    decider = next(parameter for parameter in space.parameters if parameter.name == name)
    (distribution,) = decider.distributions(()).values()
    return list(points(distribution))


def _as_yaml(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
