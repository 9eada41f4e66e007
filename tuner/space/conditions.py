"""Conditions between parameters, and the order that they impose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model.config import field_names, nearest
from tuner.space.distributions import Scalar
from tuner.space.document import Document, Location
from tuner.space.parameters import MIXTURE, Choice, Follow, Int, Parameter, Simplex, as_text, is_in, label


def resolve(
    parameters: Mapping[str, Parameter],
    places: Mapping[str, Location],
    declared: Iterable[str],
    settled: Mapping[str, Any],
    fixed: Iterable[str],
    document: Document,
) -> tuple[Parameter, ...]:
    """Check every `when` and put parents before children; empty where conditions form a cycle.

    `places` are the entries of `search`, `parameters` those that could be read, `declared` all names that are searched
    by the file or the profile, and `settled` the values of those that the profile does not search. A condition on
    one of these is decided here: it is dropped, or its parameter is. `fixed` are the names of settings with a value.
    """
    for name, parameter in parameters.items():
        for parent, allowed in parameter.when.items():
            sentences = _condition_problems(name, parent, allowed, parameters, sorted(declared))
            document.add((*places[name], "when", parent), *sentences)
        if isinstance(parameter, Follow):
            document.add(places[name], *_leader_problems(parameter, parameters, {*parameters, *settled, *fixed}))
    kept = decide(parameters, settled)
    ordered = _ordered(kept, places, document)
    combined: dict[str, dict[str, tuple[Scalar, ...]]] = {}
    for parameter in ordered:
        combined[parameter.name] = _combined_conditions(parameter, combined)
        for name, allowed in combined[parameter.name].items():
            if not allowed and all(parameter.when.values()):
                conflict = f"its conditions and its parents' disagree about {name}; change one"
                document.add(places[parameter.name], f"{parameter.name}: can never be active: {conflict}")
    return tuple(ordered)


def _condition_problems(
    name: str, parent: str, allowed: Sequence[Scalar], parameters: Mapping[str, Parameter], declared: list[str]
) -> list[str]:
    """What is wrong with the condition of the parameter `name` on `parent`, in sentences."""
    if parent not in field_names():
        others = [other for other in declared if other != name]
        fix = nearest(parent, others) or f"; it may name {', '.join(others)}"
        return [f"{name}: `when` names the unknown parameter {parent}{fix}"]
    if parent not in declared:
        return [f"{name}: `when` names {parent}, which is not searched; search it, or drop the condition"]
    if parent not in parameters:
        return []
    decider = parameters[parent]
    if not isinstance(decider, Choice | Int):
        return [f"{name}: `when` names {parent}, a continuous parameter; conditions are on a choice or an int"]
    if not allowed:
        return [f"{name}: `when` allows no value of {parent}; name one, or drop the condition"]
    values = ", ".join(map(str, decider.labels)) if isinstance(decider, Choice) else f"{decider.low} to {decider.high}"
    impossible = [value for value in allowed if not _can_be(decider, value)]
    return [f"{name}: {parent} can never be {value!r}; its values are {values}" for value in impossible]


def _leader_problems(parameter: Follow, parameters: Mapping[str, Parameter], known: Iterable[str]) -> list[str]:
    """Sentences where the leader may have no value, or one of its labels has none here."""
    leader = parameters.get(parameter.leader)
    if parameter.leader not in known:
        what = f"{parameter.leader}, which is neither searched nor fixed{nearest(parameter.leader, sorted(known))}"
        return [f"{parameter.name}: follows {what}; search it, or fix it"]
    if leader is None:
        return []
    if leader.when or not isinstance(leader, Choice):
        return [f"{parameter.name}: follows {leader.name}; it can follow a choice without `when`, or a fixed setting"]
    missing = [as_text(value) for value in leader.labels if as_text(value) not in parameter.values]
    return [f"{parameter.name}: has no value for {leader.name} {' and '.join(missing)}; add one for each"] if missing else []


def _can_be(parent: Choice | Int, value: Scalar) -> bool:
    if isinstance(parent, Choice):
        return is_in(value, parent.labels)
    return isinstance(value, int) and parent.picks(value, ()) is not None


def decide(parameters: Mapping[str, Parameter], settled: Mapping[str, Any]) -> dict[str, Parameter]:
    """Drop the conditions that a settled value meets, and the parameters whose condition it does not meet."""
    met = {
        name: {parent for parent, allowed in p.when.items() if parent in settled and is_in(label(settled[parent]), allowed)}
        for name, p in parameters.items()
    }
    dropped = {name for name, p in parameters.items() if (set(p.when) & set(settled)) - met[name]}
    while orphans := {name for name, p in parameters.items() if name not in dropped and dropped & set(p.when)}:
        dropped |= orphans
    return {
        name: p.model_copy(update={"when": {parent: allowed for parent, allowed in p.when.items() if parent not in met[name]}})
        for name, p in parameters.items()
        if name not in dropped
    }


def _ordered(parameters: Mapping[str, Parameter], places: Mapping[str, Location], document: Document) -> list[Parameter]:
    """Parents before children, otherwise in the order of the file; cycles are problems."""
    ordered: list[Parameter] = []
    waiting = dict(parameters)
    while waiting:
        ready = next((name for name, parameter in waiting.items() if not parents_of(parameter) & set(waiting)), None)
        if ready is None:
            cycle = _cycle(waiting)
            shown = " → ".join([*cycle, cycle[0]])
            document.add(places[cycle[0]], f"conditions form a circle: {shown}; drop one of them")
            return []
        ordered.append(waiting.pop(ready))
    return ordered


def parents_of(parameter: Parameter) -> set[str]:
    """What must be decided before `parameter` can be."""
    if isinstance(parameter, Follow):
        return {*parameter.when, parameter.leader}
    return set(parameter.when) | ({MIXTURE} if isinstance(parameter, Simplex) else set())


def _cycle(waiting: Mapping[str, Parameter]) -> list[str]:
    """The members of one cycle among parameters that all wait for another, the first of the file in front."""
    path = [next(iter(waiting))]
    while True:
        parent = next(name for name in waiting if name in parents_of(waiting[path[-1]]))
        if parent in path:
            cycle = path[path.index(parent) :]
            first = cycle.index(min(cycle, key=list(waiting).index))
            return cycle[first:] + cycle[:first]
        path.append(parent)


def _combined_conditions(
    parameter: Parameter, combined: Mapping[str, Mapping[str, tuple[Scalar, ...]]]
) -> dict[str, tuple[Scalar, ...]]:
    """The values that the parameter's own conditions and those `combined` of its parents allow, by ancestor."""
    allowed = dict(parameter.when)
    for parent in parameter.when:
        for name, labels in combined.get(parent, {}).items():
            allowed[name] = tuple(value for value in allowed.get(name, labels) if is_in(value, labels))
    return allowed
