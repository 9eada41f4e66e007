"""Options from Python keywords, which may be lists, paths or mappings where the command line has a text."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Mapping
from typing import Any, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

from model.config import ConfigError, nearest
from tuner.config.options import Options, from_given, is_list

JOINED = ("tasks", "metric")
"""Options whose commas on the command line may be a list in Python."""
IN_WORDS = {
    "tuple": "a text, or a list of texts",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
}
"""The values of an option, by its type."""


def options_of(keywords: Mapping[str, Any]) -> Options:
    """The options of these keywords. Raises `ConfigError` for unknown names and for values of another type."""
    valid = [field.name for field in dataclasses.fields(Options)]
    problems = [
        f"search() has no option {name}{nearest(name, valid) or '; the options are ' + ', '.join(valid)}"
        for name in keywords
        if name not in valid
    ]
    given = {name: _as_option(name, value) for name, value in keywords.items() if name in valid and value is not None}
    hints = get_type_hints(Options)
    problems += [
        f"{name}={value!r}: give {IN_WORDS[next(kind for kind in IN_WORDS if kind in str(hints[name]))]}"
        for name, value in given.items()
        if not _fits(hints[name], value)
    ]
    if problems:
        raise ConfigError(problems)
    return from_given(given)


def _as_option(name: str, value: Any) -> Any:
    """A keyword's value as the command line would give it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "settings" and isinstance(value, Mapping):
        return tuple(f"{setting}={_as_yaml(wanted)}" for setting, wanted in value.items())
    if is_list(name) and isinstance(value, str | list | tuple):
        return (value,) if isinstance(value, str) else tuple(os.fspath(v) if isinstance(v, os.PathLike) else v for v in value)
    if name in JOINED and isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if name == "time_budget" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return value


def _as_yaml(value: Any) -> str:
    """A setting's value as the text that `--set` reads."""
    try:
        return yaml.safe_dump([value], default_flow_style=True, width=float("inf")).strip()[1:-1]
    except yaml.YAMLError:
        raise ConfigError([f"settings: {value!r} is not a valid value; give a text, a number, a list or a mapping"]) from None


def _fits(hint: Any, value: Any) -> bool:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def signature() -> inspect.Signature:
    """The signature for `help(search)` and notebooks: every option as a keyword with its default."""
    plain = inspect.signature(Options)
    keywords = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in plain.parameters.values()]
    return inspect.Signature(keywords, return_annotation="SearchResult")
