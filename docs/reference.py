"""Generates the reference: `python -m docs.reference` writes docs/reference.md.

It lists every setting of a trial with its type, range, default and meaning, from the schema (`model.config`) and the texts
under its fields, and every command with its options, from their parsers.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from model.config import TrialConfig
from tuner.config.options import Options, table
from tuner.results.search_result import EXIT_STATUSES
from tuner.study import PRUNERS, SAMPLERS
from tuner.study.pruners.base import Pruner
from tuner.study.samplers.base import Sampler

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
BOUNDS = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
HEAD = """# Reference

Made by `python -m docs.reference` from the schema, the registries and the parsers; a test says when it is stale.

## Settings of a trial

In a space's `fixed` and `search`, with `--set NAME=VALUE`, and in the file of `python -m model.train --config FILE`. Where the
default is empty, the setting is absent.
"""
SEARCH = """## Options of a search

For `python -m tuner.search`, `smart-tuner search` and `python -m tuner doctor`, and as keywords of `search(...)` in Python.
Budgets are totals over all sessions of a search: `--resume` continues the count, and accepts a larger one. They include the
confirmation: once a trial is complete, the search reserves the expected cost of the confirmation, at most half."""
SEARCHES = ("python -m tuner.search", "python -m tuner doctor")


def page() -> str:
    """The whole page as Markdown."""
    sections = [_section_of("", TrialConfig), *_sections(TrialConfig)]
    tables = [_table("Samplers", SAMPLERS), _table("Pruners", PRUNERS)]
    commands = [_command(parser) for parser in sorted(parsers(), key=lambda parser: parser.prog) if parser.prog not in SEARCHES]
    return (
        "\n\n".join(
            [HEAD.rstrip("\n"), *sections, search_options(), "## Samplers and pruners", *tables, "## Other commands", *commands]
        )
        + "\n"
    )


def search_options() -> str:
    """The options of a search, a table for each group, and its exit statuses."""
    texts, lines = meanings(Options), [SEARCH]
    for group in dict.fromkeys(option.group for option in table().values()):
        lines += ["", f"### {group[0].upper()}{group[1:]}", "", "| option | keyword | meaning |", "|---|---|---|"]
        for name, option in table().items():
            if option.group == group:
                given = option.flag if option.metavar is None else f"{option.flag} {option.metavar}"
                meaning = f"{option.help}. {texts[name]}" if name in texts else option.help
                lines.append(f"| `{_cell(given)}` | `{name}` | {_cell(meaning)} |")
    lines += ["", "### Exit status", "", "| status | means |", "|---|---|"]
    return "\n".join([*lines, *(f"| {status} | {meaning} |" for status, meaning in EXIT_STATUSES.items())])


def _table(title: str, registry: Mapping[str, Sampler] | Mapping[str, Pruner]) -> str:
    """The entries of a registry, and which of its capabilities each has."""
    names = {
        "has_model": "learns from results", "conditions": "models conditional parameters", "constraints": "knows requirements",
        "several_goals": "several goals", "history": "uses `--warm-start`", "by_rank": "several goals and requirements",
        "promotes": "promotes",
    }  # fmt: skip
    columns = [name for name in names if hasattr(next(iter(registry.values())), name)]
    header = ["name", "rule", *(names[column] for column in columns)]
    rows = [
        [f"`{name}`", entry.description, *("yes" if getattr(entry, column) else "no" for column in columns)]
        for name, entry in registry.items()
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([f"### {title}", "", lines[0], "|---" * len(header) + "|", *lines[1:]])


def _sections(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """A table for each section of a model, and for those in it."""
    texts = meanings(model)
    for name, field in model.model_fields.items():
        if _is_section(field.annotation):
            dotted = f"{prefix}{field.alias or name}"
            yield _section_of(dotted, field.annotation, texts.get(name))  # type: ignore[arg-type]
            yield from _sections(field.annotation, f"{dotted}.")  # type: ignore[arg-type]


def _section_of(prefix: str, model: type[BaseModel], summary: str | None = None) -> str:
    texts = meanings(model)
    lines = [f"### {prefix or 'The trial'}", "", summary or inspect.cleandoc(model.__doc__ or ""), ""]
    lines += ["| setting | type | range | default | meaning |", "|---|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if not _is_section(field.annotation):
            dotted = f"{prefix}.{field.alias or name}".lstrip(".")
            meaning = (
                texts.get(name) or field.description or f"The same, for {name} alone."
            )  # a number for each task, made while running
            cells = (f"`{dotted}`", type_text(field.annotation), bounds(field), _default(field), meaning)
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(lines)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def meanings(class_: type) -> dict[str, str]:
    """The text under each field in a class's source, in one line; a subclass overrides its bases."""
    texts: dict[str, str] = {}
    for base in reversed([base for base in class_.__mro__ if base not in (object, BaseModel)]):
        try:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        except (OSError, TypeError):  # created at run time, such as the fields for each task
            continue
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return texts


def type_text(annotation: Any) -> str:
    """A type in words: `number`, `list of text`, `cosine, cross`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is Union or str(origin) == "<class 'types.UnionType'>":
        return " or ".join(type_text(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return f"list of {type_text(arguments[0])}"
    if origin is dict:
        return f"mapping from tasks to {type_text(arguments[1])}"
    if origin is not None:  # Annotated
        return type_text(arguments[0])
    return {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}[annotation]


def bounds(field: FieldInfo) -> str:
    """The rules of a field, such as `≥ 1, ≤ 1024`; empty without any."""
    texts = []
    for rule in [*field.metadata, *_inner_rules(field.annotation)]:
        if isinstance(rule, MinLen):
            texts.append("not empty")
        for kind, (sign, name) in BOUNDS.items():
            if isinstance(rule, kind):
                texts.append(f"{sign} {getattr(rule, name):.12g}")
    return ", ".join(dict.fromkeys(texts))


def _inner_rules(annotation: Any) -> list[Any]:
    """The rules of the numbers inside a union or mapping."""
    rules: list[Any] = []
    for argument in get_args(annotation):
        for rule in getattr(argument, "__metadata__", ()):
            rules += getattr(rule, "metadata", [rule])
    return rules


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def parsers() -> list[argparse.ArgumentParser]:
    """The parser of every command of the project, found by its function `parser`."""
    files = [path for package in ("model", "tuner", "cluster") for path in sorted((ROOT / package).rglob("*.py"))]
    with_parser = [path for path in files if "\ndef parser() -> argparse.ArgumentParser:" in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in with_parser]
    return [importlib.import_module(name).parser() for name in names]


def _command(parser: argparse.ArgumentParser) -> str:
    """A table of a command's options, then those of its subcommands."""
    lines = [f"### {parser.prog}", "", parser.description or "", "", "| option | meaning |", "|---|---|"]
    inner = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            inner = [_command(sub) for sub in action.choices.values()]
        elif not isinstance(action, argparse._HelpAction):
            lines.append(f"| `{_cell(_usage(action))}` | {_cell(action.help or '')} |")
    return "\n\n".join(inner if len(lines) == 6 and inner else ["\n".join(lines), *inner])


def _usage(action: argparse.Action) -> str:
    """An option on the command line."""
    name = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    if action.nargs == 0 or not action.option_strings:
        return name
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    return f"{name} {value}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)} is up to date\n")
