"""Reads one entry of `search` in a space's file, such as `{float: [1.0e-6, 1.0e-4], log: true}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from model.config import field_names, nearest
from tuner.space.document import Node, Problems
from tuner.space.parameters import (
    Choice,
    Float,
    Follow,
    Int,
    Parameter,
    Scalar,
    Simplex,
    is_in,
    label,
    number_hint,
    value_problems,
)

KEYS = {
    "choice": ("when",),
    "int": ("log", "step", "when"),
    "float": ("log", "step", "when"),
    "simplex": ("when",),
    "follow": ("values", "when"),
}
"""The kinds, and what may stand beside each."""

When = Mapping[str, tuple[Scalar, ...]]


def read_parameter(name: str, node: Node, problems: Problems) -> Parameter | None:
    """The parameter that `node` describes, conditions included as written; None after adding what is wrong with it."""
    kind = _kind(name, node, problems)
    if kind is None:
        return None
    before = len(problems.sentences)
    valid = [kind, *KEYS[kind]]
    for key, item in node.items.items():
        if key not in valid:
            others = f"beside {kind} may stand {', '.join(KEYS[kind])}"
            problems.add(item.line, f"{name}: unknown key {key}{nearest(key, valid)}; {others}")
    when = _read_when(name, node, problems)
    if kind == "choice":
        parameter: Parameter | None = _choice(name, node.items["choice"], when, problems)
    elif kind == "follow":
        parameter = _follow(name, node, when, problems)
    else:
        parameter = _range(name, kind, node, when, problems)
    return parameter if len(problems.sentences) == before else None


def _kind(name: str, node: Node, problems: Problems) -> str | None:
    kinds = ", ".join(KEYS)
    if not node.is_mapping:
        fix = f"write a kind ({kinds}), such as {{choice: [a, b]}}"
        problems.add(node.line, f"{name}: {node.value!r} is not a parameter; {fix}")
        return None
    given = [key for key in node.items if key in KEYS]
    if len(given) == 1:
        return given[0]
    modifiers = {key for keys in KEYS.values() for key in keys}
    unknown = [key for key in node.items if key not in KEYS and key not in modifiers]
    if given:
        problems.add(node.line, f"{name}: has the kinds {', '.join(given)}; keep one")
    elif unknown:
        problems.add(node.line, f"{name}: unknown kind {unknown[0]}{nearest(unknown[0], list(KEYS))}; the kinds are {kinds}")
    else:
        problems.add(node.line, f"{name}: has no kind; add one of {kinds}")
    return None


def _read_when(name: str, node: Node, problems: Problems) -> When:
    if "when" not in node.items:
        return {}
    when = node.items["when"]
    if not when.is_mapping or not when.items:
        problems.add(when.line, f"{name}: `when` must map parameters to values, such as {{smart.enabled: true}}")
        return {}
    allowed = {key: item.value if isinstance(item.value, list) else [item.value] for key, item in when.items.items()}
    return {key: tuple(map(label, values)) for key, values in allowed.items()}


def _choice(name: str, node: Node, when: When, problems: Problems) -> Parameter | None:
    if not node.elements:
        problems.add(node.line, f"{name}: choice is {node.value!r}; it must be a list of one or more values")
        return None
    seen: list[Scalar] = []
    for element in node.elements:
        shown = label(element.value)
        if is_in(shown, seen):
            problems.add(element.line, f"{name}: choice repeats {shown}; keep one")
        seen.append(shown)
        problems.add(element.line, *value_problems(name, element.value))
    return Choice(name, when, tuple(node.value))


def _follow(name: str, node: Node, when: When, problems: Problems) -> Parameter | None:
    leader, values = node.items["follow"], node.items.get("values")
    if not isinstance(leader.value, str) or leader.value == name:
        problems.add(leader.line, f"{name}: follow is {leader.value!r}; it must name another setting, such as mode")
        return None
    if values is None or not values.items:
        fix = f"write {{follow: {leader.value}, values: {{LABEL: VALUE, ...}}}}"
        problems.add(node.line, f"{name}: follows {leader.value} without `values`; {fix}")
        return None
    for item in values.items.values():
        problems.add(item.line, *value_problems(name, item.value))
    return Follow(name, when, leader.value, dict(values.value))


def _range(name: str, kind: str, node: Node, when: When, problems: Problems) -> Parameter | None:
    """An int, float or simplex: `[low, high]` with `log` and `step`."""
    bounds = _bounds(name, kind, node.items[kind], problems)
    log, step = _log_and_step(name, kind, node, problems)
    if bounds is None:
        return None
    low, high = bounds
    line = node.items[kind].line
    if log and low <= 0:
        problems.add(line, f"{name}: low is {low:g}; with `log: true` it must be positive")
    if step is not None and (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) != 0:
        problems.add(line, f"{name}: steps of {step:g} from {low:g} do not end at {high:g}; change the end or the step")
    if kind == "simplex":
        return _simplex(name, line, when, low, high, problems)
    for end in (low, high):
        problems.add(line, *value_problems(name, float(end) if kind == "float" else end))
    if kind == "int":
        return Int(name, when, int(low), int(high), log, 1 if step is None else int(step))
    return Float(name, when, float(low), float(high), log, step)


def _bounds(name: str, kind: str, node: Node, problems: Problems) -> tuple[float, float] | None:
    ends = node.value if isinstance(node.value, list) else []
    if len(ends) != 2 or not all(_is_end(kind, end) for end in ends):
        what = "whole numbers" if kind == "int" else "numbers"
        hint = next(filter(None, map(number_hint, ends)), "")
        problems.add(node.line, f"{name}: {kind} is {node.value!r}; it must be [low, high], two {what}{hint}")
        return None
    low, high = ends
    if low > high:
        problems.add(node.line, f"{name}: the range [{low:g}, {high:g}] is reversed; write [{high:g}, {low:g}]")
        return None
    if low == high:
        problems.add(node.line, f"{name}: the range [{low:g}, {high:g}] is empty; widen it, or put {low:g} under `fixed`")
        return None
    return low, high


def _is_end(kind: str, end: Any) -> bool:
    """Whether `end` is a number that bounds a range of this kind."""
    if isinstance(end, bool) or not isinstance(end, int | float):
        return False
    return isinstance(end, int) or (kind != "int" and math.isfinite(end))


def _log_and_step(name: str, kind: str, node: Node, problems: Problems) -> tuple[bool, float | None]:
    log = node.items["log"].value if "log" in node.items else False
    if not isinstance(log, bool):
        problems.add(node.items["log"].line, f"{name}: log is {log!r}; it must be true or false")
    if "step" not in node.items:
        return log is True, None
    step, line = node.items["step"].value, node.items["step"].line
    if not _is_end(kind, step) or step <= 0:
        problems.add(line, f"{name}: step is {step!r}; it must be a positive {'whole ' if kind == 'int' else ''}number")
        return log is True, None
    if log is True:
        problems.add(line, f"{name}: has both `log` and `step`; keep one")
        return True, None
    return False, step


def _simplex(name: str, line: int, when: When, low: float, high: float, problems: Problems) -> Parameter:
    if str(field_names()[name].annotation).partition("[")[0] != "dict":
        of_tasks = [other for other, setting in field_names().items() if str(setting.annotation).startswith("dict")]
        problems.add(line, f"{name}: a simplex gives one share for each task; it is for {' and '.join(of_tasks)} only")
    return Simplex(name, when, float(low), float(high))
