"""Reads the start configurations of a space's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.config import nearest
from tuner.space.conditions import parents_of
from tuner.space.document import Node, Problems
from tuner.space.parameters import Parameter, Scalar, label, mixture_of

CONFIDENCE = "confidence"
DEFAULT_CONFIDENCE = 0.5


def read_starts(
    node: Node | None, parameters: Sequence[Parameter], fixed: Mapping[str, Any], problems: Problems
) -> tuple[tuple[dict[str, Any], ...], tuple[float, ...]]:
    """The start configurations and their confidences."""
    if node is None:
        return (), ()
    if not isinstance(node.value, list):
        problems.add(node.line, f"start is {node.value!r}; it must be a list of mappings from parameters to values")
        return (), ()
    points = tuple(_read_start(element, parameters, fixed, problems) for element in node.elements)
    return points, tuple(_read_confidence(element, problems) for element in node.elements)


def _read_confidence(node: Node, problems: Problems) -> float:
    """How much a search trusts a start configuration, 0 to 1."""
    if not node.is_mapping or CONFIDENCE not in node.items:
        return DEFAULT_CONFIDENCE
    item = node.items[CONFIDENCE]
    if isinstance(item.value, bool) or not isinstance(item.value, int | float) or not 0 <= item.value <= 1:
        problems.add(item.line, f"start: {CONFIDENCE} {item.value!r} is not a number from 0, not at all, to 1")
        return DEFAULT_CONFIDENCE
    return float(item.value)


def _read_start(node: Node, parameters: Sequence[Parameter], fixed: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """One start configuration in Optuna's names and scalars; what it leaves open is drawn. Adds its problems."""
    if not node.is_mapping:
        problems.add(node.line, f"start: {node.value!r} is not a configuration; write {{parameter: value, ...}}")
        return {}
    names = [parameter.name for parameter in parameters]
    for name, item in node.items.items():
        if name not in (*names, CONFIDENCE):
            problems.add(item.line, f"start: {name} is not searched here{nearest(name, names)}; take it out")
    tasks = mixture_of({**fixed, **node.value})
    picks: dict[str, Any] = {}
    labels: dict[str, Scalar] = {}
    for parameter in parameters:
        if parameter.name not in node.items:
            continue
        item = node.items[parameter.name]
        absent = sorted((parents_of(parameter) & set(names)) - set(node.items))
        drawn = None if absent else parameter.picks(item.value, tasks)
        if absent:
            problems.add(item.line, f"start: {parameter.name} depends on {', '.join(absent)}; name it too, or take it out")
        elif not parameter.is_active(labels):
            needed = " and ".join(f"{name} {' or '.join(map(str, allowed))}" for name, allowed in parameter.when.items())
            problems.add(item.line, f"start: {parameter.name} is inactive here: it needs {needed}; take it out")
        elif drawn is None:
            problems.add(item.line, f"start: {parameter.name} {item.value!r} is outside the space {parameter.to_dict()}")
        picks |= drawn or {}
        labels[parameter.name] = label(item.value)
    return picks
