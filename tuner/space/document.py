"""Reads a YAML file as a tree with line numbers, and collects the problems of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError


@dataclass(frozen=True)
class Node:
    """A value and its line. `items` are the entries of a mapping, `elements` those of a list."""

    value: Any
    line: int
    """From 1; for an entry of a mapping the line of its key."""
    items: Mapping[str, Node] = field(default_factory=dict)
    elements: tuple[Node, ...] = ()

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)


@dataclass
class Problems:
    """Sentences with their lines, each kept once."""

    file: str
    sentences: dict[tuple[int, str], None] = field(default_factory=dict)

    def add(self, line: int, *sentences: str) -> None:
        self.sentences.update(dict.fromkeys((line, sentence) for sentence in sentences))

    def raise_any(self) -> None:
        """Raise `ConfigError` with every problem as `file:line: sentence`, in the order of the file."""
        if self.sentences:
            raise ConfigError([f"{self.file}:{line}: {sentence}" for line, sentence in sorted(self.sentences)])


def read_document(path: Path, problems: Problems) -> Node | None:
    """The tree of the mapping in `path`; None after adding the problem where it holds none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"]) from None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}")
        return None
    except yaml.YAMLError as error:
        problems.add(1, f"not YAML: {' '.join(str(error).split())}")
        return None
    if not isinstance(root, yaml.MappingNode):
        problems.add(1, "a space is a mapping with the keys `name` and `search`")
        return None
    return _Reader(loader, problems).node(root, 1)


@dataclass
class _Reader:
    """Converts PyYAML's nodes into `Node`."""

    loader: yaml.SafeLoader
    problems: Problems
    open: list[yaml.Node] = field(default_factory=list)
    """The nodes being read, outermost first: one met again contains itself."""

    def node(self, raw: yaml.Node, line: int) -> Node:
        if any(raw is outer for outer in self.open):
            self.problems.add(line, "an alias that contains itself; write its value out")
            return Node(None, line)
        self.open.append(raw)
        try:
            return self._read(raw, line)
        finally:
            self.open.pop()

    def _read(self, raw: yaml.Node, line: int) -> Node:
        if isinstance(raw, yaml.MappingNode):
            items = dict(self._items(raw.value))
            return Node({key: item.value for key, item in items.items()}, line, items)
        if isinstance(raw, yaml.SequenceNode):
            elements = tuple(self.node(element, element.start_mark.line + 1) for element in raw.value)
            return Node([element.value for element in elements], line, elements=elements)
        return Node(self._scalar(raw), line)

    def _items(self, pairs: Iterable[tuple[yaml.Node, yaml.Node]]) -> Iterable[tuple[str, Node]]:
        first_line: dict[str, int] = {}
        for raw_key, raw_value in pairs:
            line = raw_key.start_mark.line + 1
            key = self._scalar(raw_key) if isinstance(raw_key, yaml.ScalarNode) else None
            if not isinstance(key, str):
                self.problems.add(line, f"the key {getattr(raw_key, 'value', '')!s} must be text; put it in quotes")
            elif key in first_line:
                self.problems.add(line, f"{key} is already given in line {first_line[key]}; keep one of them")
            else:
                first_line[key] = line
                yield key, self.node(raw_value, line)

    def _scalar(self, raw: yaml.Node) -> Any:
        try:
            return self.loader.construct_object(raw)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # `!!int ''`, `!!timestamp x`
            reason = getattr(error, "problem", None) or error
            self.problems.add(raw.start_mark.line + 1, f"not a value: {reason}; put text in quotes")
            return None
