"""The search from Python: `from tuner import search`, then `search(space="smart_mtl", data="DIR", trials=8)`.

Keywords are the fields of `tuner.config.options.Options`. They may hold what Python has for them: paths, a list for what may be given
several times, a mapping for `settings`.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import os
import sys
from collections.abc import Mapping
from typing import Any, Literal, get_type_hints, overload

import yaml
from pydantic import TypeAdapter, ValidationError

from model.config import ConfigError, nearest
from tuner.config.options import LISTS, Options, from_given
from tuner.results.search_result import SearchResult

JOINED = ("tasks", "metric")
"""Options that a command line parts by commas, and Python may give as a list."""
IN_WORDS = {
    "tuple": "a text, or a list of texts",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
}
"""What an option takes, by its type."""


@overload
def search(*, dry_run: Literal[True], **keywords: Any) -> None: ...
@overload
def search(**keywords: Any) -> SearchResult: ...
def search(**keywords: Any) -> SearchResult | None:
    """Run a search as `python -m tuner.search` does, and return what it found.

    It shows what the command line shows; `quiet=True` shows nothing, `dry_run=True` prints the plan and starts nothing. The
    first Ctrl-C ends it cleanly, and the result's `exit_status` is 130. A Ray that runs in this process already is used, and
    goes on.

    Raises `ConfigError` with every problem before anything starts, `StoreAwayError` when a database or disk stays away, and
    KeyboardInterrupt when it is interrupted before it can hand over anything.
    """
    from tuner.search import start

    options = options_of(keywords)
    return start(options, io.StringIO() if options.quiet else sys.stdout)


def options_of(keywords: Mapping[str, Any]) -> Options:
    """The options that keywords name. Raises `ConfigError` for unknown names and for values of another type."""
    valid = [field.name for field in dataclasses.fields(Options)]
    problems = [
        f"search() has no option {name}{nearest(name, valid) or '; the options are ' + ', '.join(valid)}"
        for name in keywords
        if name not in valid
    ]
    given = {name: _as_option(name, value) for name, value in keywords.items() if name in valid and value is not None}
    problems += _type_problems(given)
    if problems:
        raise ConfigError(problems)
    return from_given(given)


def _as_option(name: str, value: Any) -> Any:
    """A value in the form that the command line gives it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "settings" and isinstance(value, Mapping):
        return tuple(f"{setting}={_as_yaml(wanted)}" for setting, wanted in value.items())
    if name in LISTS and isinstance(value, str | list | tuple):
        return (value,) if isinstance(value, str) else tuple(os.fspath(v) if isinstance(v, os.PathLike) else v for v in value)
    if name in JOINED and isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    if name == "time_budget" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return value


def _as_yaml(value: Any) -> str:
    """A setting's value as `--set` reads it."""
    try:
        return yaml.safe_dump([value], default_flow_style=True, width=float("inf")).strip()[1:-1]
    except yaml.YAMLError:
        raise ConfigError(
            [f"settings: {value!r} is no value of a setting; give a text, a number, a list or a mapping"]
        ) from None


def _type_problems(given: Mapping[str, Any]) -> list[str]:
    """A sentence for each value that is of another type than its option's."""
    hints = get_type_hints(Options)
    return [
        f"{name}={value!r}: give {IN_WORDS[next(kind for kind in IN_WORDS if kind in str(hints[name]))]}"
        for name, value in given.items()
        if not _fits(hints[name], value)
    ]


def _fits(hint: Any, value: Any) -> bool:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def signature() -> inspect.Signature:
    """What `help(search)` and a notebook's completion show: every option with its default, as a keyword."""
    plain = inspect.signature(Options)
    keywords = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in plain.parameters.values()]
    return inspect.Signature(keywords, return_annotation="SearchResult")
