"""Single settings against `TrialConfig`, by dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from model.config import TrialConfig, describe


def nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"smart.steps": 1}` as `{"smart": {"steps": 1}}`."""
    nested: dict[str, Any] = {}
    for dotted, value in values.items():
        *sections, name = dotted.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = value
    return nested


def value_problems(name: str, value: Any) -> list[str]:
    """Why `TrialConfig` refuses `value` for the setting `name`, whatever the other settings are.

    Rules between settings are not looked at. Types are strict: no number from text, no truth value from a number.
    """
    path = tuple(name.split("."))
    try:
        TrialConfig.model_validate(nest({name: tuple(value) if isinstance(value, list) else value}), strict=True)
    except ValidationError as error:
        pairs = zip(error.errors(), describe(error), strict=True)
        own = [sentence for item, sentence in pairs if item["loc"][: len(path)] == path]
        return [sentence + number_hint(value) for sentence in own]
    return []


def number_hint(value: Any) -> str:
    """How to write a number that YAML 1.1 reads as text, as it does `1e-6`; empty for anything else."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    mantissa, _, exponent = repr(number).partition("e")
    mend = f"{mantissa if '.' in mantissa else mantissa + '.0'}{'e' + exponent if exponent else ''}"
    return f"; YAML reads {value} as text, write {mend}"
