"""Reads a YAML file as plain values with the line of each, and collects the problems of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError

MOST_VALUES = 100_000
"""In a file: aliases of lists of aliases can stand for more than memory holds."""
Location = tuple[str | int, ...]
"""The keys of mappings and the indices of lists that lead to a value: `("search", "optim.lr", "float", 0)`."""


@dataclass
class Document:
    """The mapping that a YAML file holds, and the problems found in it, each kept once."""

    file: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Location, int] = field(default_factory=lambda: {(): 1})
    """From 1; for an entry of a mapping the line of its key."""
    problems: dict[tuple[int, str], None] = field(default_factory=dict)
    """Sentences with their lines."""

    def line(self, at: Location) -> int:
        """The line of a value; of what contains it where the file does not have it."""
        while at not in self.lines:
            at = at[:-1]
        return self.lines[at]

    def add(self, at: Location, *sentences: str) -> None:
        """Add problems with the value at a location."""
        self.problems.update(dict.fromkeys((self.line(at), sentence) for sentence in sentences))

    def raise_any(self) -> None:
        """Raise `ConfigError` with every problem as `file:line: sentence`, in the order of the file."""
        if self.problems:
            raise ConfigError([f"{self.file}:{line}: {sentence}" for line, sentence in sorted(self.problems)])


def read_document(path: Path) -> Document:
    """The mapping in `path`. Raises `ConfigError` where it holds none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"]) from None
    document = Document(str(path))
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        document.lines[()] = mark.line + 1 if mark else 1
        document.add((), f"not YAML: {getattr(error, 'problem', None) or ' '.join(str(error).split())}")
        document.raise_any()
    if isinstance(root, yaml.MappingNode):
        document.values = _value(loader, document, root, (), [])
    else:
        document.add((), "a space is a mapping with the keys `name` and `search`")
        document.raise_any()
    return document


def _value(loader: yaml.SafeLoader, document: Document, node: yaml.Node, at: Location, outer: Sequence[yaml.Node]) -> Any:
    """The value of a YAML node, whose line and inner lines are noted. `outer` are the nodes around it."""
    document.lines.setdefault(at, node.start_mark.line + 1)
    if len(document.lines) > MOST_VALUES:
        document.add((), f"it has more than {MOST_VALUES} values, repeated aliases included; write fewer")
        document.raise_any()
    if any(node is other for other in outer):
        document.add(at, "an alias that contains itself; write its value out")
        return None
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, document, inner, (*at, index), (*outer, node)) for index, inner in enumerate(node.value)]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(loader, document, node)
    values: dict[str, Any] = {}
    for key_node, inner in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(loader, document, key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            sentence = f"the key {getattr(key_node, 'value', '')!s} must be text; put it in quotes"
            document.problems[line, sentence] = None
        elif key in values:
            document.problems[line, f"{key} is already given in line {document.line((*at, key))}; keep one of them"] = None
        else:
            document.lines[*at, key] = line
            values[key] = _value(loader, document, inner, (*at, key), (*outer, node))
    return values


def _scalar(loader: yaml.SafeLoader, document: Document, node: yaml.Node) -> Any:
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # `!!int ''`, `!!timestamp x`
        reason = getattr(error, "problem", None) or error
        document.problems[node.start_mark.line + 1, f"not a value: {reason}; put text in quotes"] = None
        return None
