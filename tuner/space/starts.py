"""Reads the start configurations of a space's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model.config import nearest
from tuner.space.conditions import parents_of
from tuner.space.distributions import Scalar
from tuner.space.document import Document, Location
from tuner.space.parameters import Parameter, label, mixture_of

CONFIDENCE = "confidence"
DEFAULT_CONFIDENCE = 0.5


def read_starts(
    starts: Sequence[Any], at: Location, parameters: Sequence[Parameter], fixed: Mapping[str, Any], document: Document
) -> tuple[tuple[dict[str, Any], ...], tuple[float, ...]]:
    """The start configurations and their confidences, from the list at a location of a file. Adds its problems."""
    picks, confidences = [], []
    for index, start in enumerate(starts):
        if not isinstance(start, dict):
            document.add((*at, index), f"start: {start!r} is not a configuration; write {{parameter: value, ...}}")
            continue
        for name, sentence in _problems(start, parameters, fixed):
            document.add((*at, index, name), f"start: {sentence}")
        tasks = mixture_of({**fixed, **start})
        named = [parameter for parameter in parameters if parameter.name in start]
        picks.append({key: pick for one in named for key, pick in (one.picks(start[one.name], tasks) or {}).items()})
        confidences.append(start.get(CONFIDENCE, DEFAULT_CONFIDENCE))
    return tuple(picks), tuple(confidences)


def _problems(start: Mapping[str, Any], parameters: Sequence[Parameter], fixed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with a start configuration: names of its entries, and sentences."""
    names = [parameter.name for parameter in parameters]
    for name in start:
        if name not in (*names, CONFIDENCE):
            yield name, f"{name} is not searched here{nearest(name, names)}; take it out"
    confidence = start.get(CONFIDENCE, DEFAULT_CONFIDENCE)
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
        yield CONFIDENCE, f"{CONFIDENCE} {confidence!r} is not a number from 0, not at all, to 1"
    tasks = mixture_of({**fixed, **start})
    labels: dict[str, Scalar] = {}
    for parameter in (parameter for parameter in parameters if parameter.name in start):
        name, value = parameter.name, start[parameter.name]
        absent = sorted((parents_of(parameter) & set(names)) - set(start))
        if absent:
            yield name, f"{name} depends on {', '.join(absent)}; name it too, or take it out"
        elif not parameter.is_active(labels):
            needed = " and ".join(f"{other} {' or '.join(map(str, allowed))}" for other, allowed in parameter.when.items())
            yield name, f"{name} is inactive here: it needs {needed}; take it out"
        elif parameter.picks(value, tasks) is None:
            yield name, f"{name} {value!r} is outside the space {parameter.to_dict()}"
        labels[name] = label(value)
