"""Conditions between parameters, and the order that they impose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from model.config import field_names, nearest
from tuner.space.document import Node, Problems
from tuner.space.parameters import MIXTURE, Choice, Follow, Int, Parameter, Scalar, Simplex, as_text, label, same


def resolve(
    parameters: Mapping[str, Parameter],
    nodes: Mapping[str, Node],
    declared: Iterable[str],
    settled: Mapping[str, Any],
    fixed: Iterable[str],
    problems: Problems,
) -> tuple[Parameter, ...]:
    """Check every `when` and put parents before children; empty after finding a circle.

    `nodes` are the entries of `search`, `parameters` those that could be read, `declared` all names that are searched
    by the file or the profile, and `settled` the values of those that the profile does not search. A condition on
    one of these is decided here and now: it falls away, or its parameter does. `fixed` are the names of settings with a value.
    """
    for parameter in parameters.values():
        _check_conditions(parameter, nodes[parameter.name], parameters, sorted(declared), problems)
        if isinstance(parameter, Follow):
            _check_leader(parameter, nodes[parameter.name].line, parameters, {*parameters, *settled, *fixed}, problems)
    kept = decide(parameters, settled)
    ordered = _ordered(kept, nodes, problems)
    for parameter in ordered:
        _check_reachable(parameter, kept, nodes[parameter.name], problems)
    return tuple(ordered)


def _check_conditions(
    parameter: Parameter, node: Node, parameters: Mapping[str, Parameter], declared: list[str], problems: Problems
) -> None:
    for parent, allowed in parameter.when.items():
        line = node.items["when"].items[parent].line
        if parent not in field_names():
            others = [name for name in declared if name != parameter.name]
            mend = nearest(parent, others) or f"; it may name {', '.join(others)}"
            problems.add(line, f"{parameter.name}: `when` names the unknown parameter {parent}{mend}")
        elif parent not in declared:
            problems.add(
                line, f"{parameter.name}: `when` names {parent}, which is not searched; search it, or drop the condition"
            )
        elif parent in parameters:
            problems.add(line, *_impossible(parameter.name, parameters[parent], allowed))


def _check_leader(
    parameter: Follow, line: int, parameters: Mapping[str, Parameter], known: Iterable[str], problems: Problems
) -> None:
    """A leader always has a value, and there is one here for each of its labels."""
    leader = parameters.get(parameter.leader)
    if parameter.leader not in known:
        mend = nearest(parameter.leader, sorted(known))
        problems.add(
            line,
            f"{parameter.name}: follows {parameter.leader}, which is neither searched nor fixed{mend}; search it, or fix it",
        )
    elif leader is not None and (leader.when or not isinstance(leader, Choice)):
        problems.add(
            line, f"{parameter.name}: follows {leader.name}; it can follow a choice without `when`, or a fixed setting"
        )
    elif isinstance(leader, Choice):
        missing = [as_text(shown) for shown in leader.labels if as_text(shown) not in parameter.values]
        if missing:
            problems.add(line, f"{parameter.name}: has no value for {leader.name} {' and '.join(missing)}; add one for each")


def _impossible(name: str, parent: Parameter, allowed: Sequence[Scalar]) -> list[str]:
    """Sentences for condition values that the parent cannot take."""
    if not isinstance(parent, Choice | Int):
        return [f"{name}: `when` names {parent.name}, a continuous parameter; conditions are on a choice or an int"]
    if not allowed:
        return [f"{name}: `when` allows no value of {parent.name}; name one, or drop the condition"]
    bad = [value for value in allowed if not _can_be(parent, value)]
    values = (
        ", ".join(str(value) for value in parent.labels) if isinstance(parent, Choice) else f"{parent.low} to {parent.high}"
    )
    return [f"{name}: {parent.name} can never be {value!r}; its values are {values}" for value in bad]


def _can_be(parent: Choice | Int, value: Scalar) -> bool:
    if isinstance(parent, Choice):
        return any(same(value, mine) for mine in parent.labels)
    return parent.picks(value, ()) is not None if isinstance(value, int) else False


def decide(parameters: Mapping[str, Parameter], settled: Mapping[str, Any]) -> dict[str, Parameter]:
    """Drop the conditions that a settled value meets, and the parameters whose condition it does not meet."""
    met = {
        name: {parent for parent, allowed in p.when.items() if parent in settled and _is_in(label(settled[parent]), allowed)}
        for name, p in parameters.items()
    }
    gone = {name for name, p in parameters.items() if (set(p.when) & set(settled)) - met[name]}
    while orphans := {name for name, p in parameters.items() if name not in gone and gone & set(p.when)}:
        gone |= orphans
    return {
        name: replace(p, when={parent: allowed for parent, allowed in p.when.items() if parent not in met[name]})
        for name, p in parameters.items()
        if name not in gone
    }


def _is_in(value: Scalar, allowed: Sequence[Scalar]) -> bool:
    return any(same(value, other) for other in allowed)


def _ordered(parameters: Mapping[str, Parameter], nodes: Mapping[str, Node], problems: Problems) -> list[Parameter]:
    """Parents before children, otherwise in the order of the file; circles are problems."""
    ordered: dict[str, Parameter] = {}
    waiting = dict(parameters)
    while waiting:
        ready = next((name for name, parameter in waiting.items() if not parents_of(parameter) & set(waiting)), None)
        if ready is None:
            circle = _circle(waiting)
            problems.add(
                nodes[circle[0]].line, f"conditions form a circle: {' → '.join([*circle, circle[0]])}; drop one of them"
            )
            return []
        ordered[ready] = waiting.pop(ready)
    return list(ordered.values())


def parents_of(parameter: Parameter) -> set[str]:
    """What must be decided before `parameter` can be."""
    if isinstance(parameter, Follow):
        return {*parameter.when, parameter.leader}
    return set(parameter.when) | ({MIXTURE} if isinstance(parameter, Simplex) else set())


def _circle(waiting: Mapping[str, Parameter]) -> list[str]:
    """The members of one circle among parameters that all wait for another, the first of the file in front."""
    path = [next(iter(waiting))]
    while True:
        parent = next(name for name in waiting if name in parents_of(waiting[path[-1]]))
        if parent in path:
            circle = path[path.index(parent) :]
            first = min(circle, key=list(waiting).index)
            return circle[circle.index(first) :] + circle[: circle.index(first)]
        path.append(parent)


def _check_reachable(parameter: Parameter, parameters: Mapping[str, Parameter], node: Node, problems: Problems) -> None:
    """All conditions on the way up are and-ed, so each ancestor must be left with a value."""
    for name, allowed in _requirements(parameter, parameters).items():
        if not allowed and all(parameter.when.values()):
            problems.add(
                node.line,
                f"{parameter.name}: can never be active: its conditions and its parents' disagree about {name}; change one",
            )


def _requirements(parameter: Parameter, parameters: Mapping[str, Parameter]) -> dict[str, tuple[Scalar, ...]]:
    needed = dict(parameter.when)
    for parent in parameter.when:
        for name, allowed in (_requirements(parameters[parent], parameters) if parent in parameters else {}).items():
            needed[name] = tuple(value for value in needed.get(name, allowed) if _is_in(value, allowed))
    return needed
