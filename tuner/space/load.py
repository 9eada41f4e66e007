"""Reading a space's file: the base, one profile over it, and every problem in one message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from model.config import ConfigError, field_names, nearest
from tuner.config.objective import MEAN, Objective
from tuner.space.conditions import parents_of, resolve
from tuner.space.document import Node, Problems, read_document
from tuner.space.options import Options
from tuner.space.parameters import Parameter, Scalar, label, mixture_of, value_problems
from tuner.space.space import Space
from tuner.space.specs import read_parameter

CONFIDENCE = "confidence"
USUAL_CONFIDENCE = 0.5
"""Of a start configuration that names none."""

FOLDER = Path(__file__).resolve().parents[2] / "search_spaces"
"""Beside the packages, in a source checkout as in an installation."""

PROFILE_KEYS = ("description", "options", "fixed", "search", "start")
FILE_KEYS = ("name", "description", "metric", "targets", "options", "fixed", "search", "start", "renamed", "profiles")


@dataclass
class Layer:
    """The base of a file, or a profile: settings by dotted name. In a profile null takes away what the base says."""

    options: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, Node] = field(default_factory=dict)
    search: dict[str, Node] = field(default_factory=dict)
    start: Node | None = None


def available() -> list[str]:
    """Names of the spaces that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(path_or_name: str | Path, profile: str | None = None) -> Space:
    """Read a space of `search_spaces/` by name, or any YAML file by path.

    Raises `ConfigError` with every problem as `file:line: sentence`. All profiles are checked, whichever is asked for.
    """
    path = _find(str(path_or_name))
    problems = Problems(str(path))
    root = read_document(path, problems)
    space = _read(root, profile, problems) if root is not None else None
    problems.raise_any()
    assert space is not None and root is not None, "a file without a space has problems"
    refused = (f"a configuration drawn from this space is refused: {sentence}" for sentence in space.refusals())
    problems.add(root.items["search"].line, *refused)
    problems.raise_any()
    return space


def _find(given: str) -> Path:
    if given in available():
        return FOLDER / f"{given}.yaml"
    if Path(given).is_file():
        return Path(given)
    if Path(given).suffix in (".yaml", ".yml") or len(Path(given).parts) > 1:
        raise ConfigError([f"there is no file {given}; give the path of a YAML file, or one of {', '.join(available())}"])
    known = f"the spaces are {', '.join(available())}, or give the path of a YAML file"
    raise ConfigError([f"there is no space {given}{nearest(given, available())}; {known}"])


def _read(root: Node, profile: str | None, problems: Problems) -> Space | None:
    """The space under `profile`; None where problems leave nothing to build."""
    _check_keys("", root, FILE_KEYS, problems)
    _check_texts(root, problems)
    base = _layer(root, "", problems)
    profiles = _profiles(root, problems)
    if profile is not None and profile not in profiles:
        line = root.items["profiles"].line if "profiles" in root.items else 1
        known = f"the profiles are {', '.join(profiles)}" if profiles else "the file has no profiles"
        problems.add(line, f"unknown profile {profile}{nearest(profile, list(profiles))}; {known}")
    plain = _space(root, None, base, Layer(), problems)
    spaces: dict[str | None, Space] = {None: plain}
    for name, layer in profiles.items():
        found = Problems(problems.file)
        spaces[name] = _space(root, name, base, layer, found)
        new = [item for item in found.found if item not in problems.found]
        for line, sentence in new:
            problems.add(line, f"{sentence} (under the profile {name})")
    return spaces.get(profile)


def _check_keys(where: str, node: Node, valid: tuple[str, ...], problems: Problems) -> None:
    for key, item in node.items.items():
        if key not in valid:
            problems.add(item.line, f"{where}unknown key {key}{nearest(key, list(valid))}; the keys are {', '.join(valid)}")


def _check_texts(root: Node, problems: Problems) -> None:
    for key in ("name", "search"):
        if key not in root.items:
            problems.add(1, f"the key {key} is missing; add it")
    for key in ("name", "description", "metric"):
        if key in root.items and not isinstance(root.items[key].value, str):
            problems.add(root.items[key].line, f"{key} is {root.items[key].value!r}; it must be text")


def _profiles(root: Node, problems: Problems) -> dict[str, Layer]:
    if "profiles" not in root.items:
        return {}
    profiles = {}
    for name, node in _entries(root, "profiles", "", problems).items():
        if not node.is_mapping:
            problems.add(node.line, f"profile {name} is {node.value!r}; it must map {', '.join(PROFILE_KEYS)}")
            continue
        _check_keys(f"profile {name}: ", node, PROFILE_KEYS, problems)
        profiles[name] = _layer(node, f"profile {name}: ", problems)
    return profiles


def _entries(node: Node, key: str, where: str, problems: Problems) -> Mapping[str, Node]:
    """The entries of the mapping under `key`; empty where it is absent or, a problem, something else."""
    if key not in node.items:
        return {}
    if not node.items[key].is_mapping:
        problems.add(node.items[key].line, f"{where}{key} is {node.items[key].value!r}; it must be a mapping")
    return node.items[key].items


def _layer(node: Node, where: str, problems: Problems) -> Layer:
    layer = Layer(start=node.items.get("start"))
    layer.options = _options(node, where, problems)
    layer.fixed = _fixed(_entries(node, "fixed", where, problems), "", is_profile=bool(where), problems=problems)
    layer.search = _searched(_entries(node, "search", where, problems), problems)
    for name, item in layer.search.items():
        if name in layer.fixed and item.value is not None and layer.fixed[name].value is not None:
            problems.add(item.line, f"{name} is fixed in line {layer.fixed[name].line} and searched here; keep one")
    if not where and "search" in node.items and node.items["search"].is_mapping and not layer.search:
        problems.add(
            node.items["search"].line, "search names no parameter; add one, such as `optim.lr: {float: [1.0e-5, 1.0e-4]}`"
        )
    return layer


def _options(node: Node, where: str, problems: Problems) -> dict[str, Any]:
    good = {}
    for key, item in _entries(node, "options", where, problems).items():
        if key not in Options.model_fields:
            valid = list(Options.model_fields)
            problems.add(item.line, f"{where}unknown option {key}{nearest(key, valid)}; the options are {', '.join(valid)}")
            continue
        try:
            good[key] = getattr(Options.model_validate({key: item.value}), key)
        except ValidationError as error:
            rule = error.errors()[0]["msg"]
            problems.add(item.line, f"{where}option {key}: {rule[0].lower()}{rule[1:]}, given {item.value!r}")
    return good


def _fixed(items: Mapping[str, Node], prefix: str, *, is_profile: bool, problems: Problems) -> dict[str, Node]:
    """Settings by dotted name, from dotted or nested ones."""
    fixed: dict[str, Node] = {}
    for key, item in items.items():
        name = prefix + key
        section = [other for other in field_names() if other.startswith(f"{name}.")]
        if name in field_names():
            inner = {name: item}
            if not (is_profile and item.value is None):
                problems.add(item.line, *value_problems(name, item.value))
        elif section and item.is_mapping:
            inner = _fixed(item.items, f"{name}.", is_profile=is_profile, problems=problems)
        else:
            inner = {}
            problems.add(item.line, _unknown(name, section))
        for twice in inner.keys() & fixed.keys():
            problems.add(inner[twice].line, f"{twice} is already fixed in line {fixed[twice].line}; keep one")
        fixed |= inner
    return fixed


def _searched(items: Mapping[str, Node], problems: Problems) -> dict[str, Node]:
    for name, item in items.items():
        if name not in field_names():
            problems.add(item.line, _unknown(name, [other for other in field_names() if other.startswith(f"{name}.")]))
    return {name: item for name, item in items.items() if name in field_names()}


def _unknown(name: str, section: list[str]) -> str:
    if section:
        return f"{name} is a section, not a setting; its settings are {', '.join(section)}"
    return f"unknown setting {name}{nearest(name, list(field_names()))}"


def _space(root: Node, profile: str | None, base: Layer, over: Layer, problems: Problems) -> Space:
    """The base with a profile over it: what the profile says of a setting replaces what the base says."""
    search = {name: node for name, node in base.search.items() if name not in over.fixed or over.fixed[name].value is None}
    search = {
        name: node for name, node in {**search, **over.search}.items() if node.value is not None or name not in over.search
    }
    fixed = {name: node for name, node in {**base.fixed, **over.fixed}.items() if name not in search or name in over.fixed}
    values = {name: node.value for name, node in fixed.items() if node.value is not None}
    read = {name: read_parameter(name, node, problems) for name, node in search.items()}
    declared = {*base.search, *search}
    settled = {name: values.get(name, field_names()[name].default) for name in declared - set(search)}
    good = {name: parameter for name, parameter in read.items() if parameter is not None}
    parameters = resolve(good, search, declared, settled, values, problems)
    start = over.start or base.start
    points = _starts(start, parameters, declared & set(search), values, problems) if len(good) == len(read) else ()
    confidences = tuple(read_confidence(element, problems) for element in start.elements) if points and start else ()
    metric, targets = _metric(root, values, problems)
    texts = {key: str(root.items[key].value) if key in root.items else "" for key in ("name", "description")}
    profiles = tuple(root.items["profiles"].items) if "profiles" in root.items else ()
    options = {**base.options, **over.options}
    renamed = _renamed(root, problems)
    return Space(
        **texts, profile=profile, profiles=profiles, metric=metric, targets=targets, options=options, fixed=values,
        parameters=parameters, start=points, confidences=confidences, renamed=renamed,
    )  # fmt: skip


def _starts(
    node: Node | None, parameters: tuple[Parameter, ...], searched: set[str], fixed: Mapping[str, Any], problems: Problems
) -> tuple[dict[str, Any], ...]:
    if node is None:
        return ()
    if not isinstance(node.value, list):
        problems.add(node.line, f"start is {node.value!r}; it must be a list of mappings from parameters to values")
        return ()
    if not parameters and searched:
        return ()
    return tuple(read_start(element, parameters, fixed, problems) for element in node.elements)


def _renamed(root: Node, problems: Problems) -> dict[str, str]:
    """Today's names of settings by their old ones."""
    renamed: dict[str, str] = {}
    for old, item in _entries(root, "renamed", "", problems).items():
        if old in field_names():
            problems.add(item.line, f"renamed: {old} is a setting today; the left side is a name that is used no longer")
        elif item.value not in field_names():
            mend = nearest(str(item.value), list(field_names()))
            problems.add(item.line, f"renamed: {old} is now {item.value!r}, which is no setting{mend}")
        elif item.value in renamed.values():
            problems.add(item.line, f"renamed: {item.value} has two old names; keep one")
        else:
            renamed[old] = item.value
    return renamed


def _metric(root: Node, fixed: Mapping[str, Any], problems: Problems) -> tuple[str, tuple[str, ...]]:
    metric = root.items.get("metric")
    targets = root.items.get("targets")
    name = str(metric.value) if metric else MEAN
    if targets is not None and not (isinstance(targets.value, list) and all(isinstance(task, str) for task in targets.value)):
        problems.add(targets.line, f"targets is {targets.value!r}; it must be a list of tasks")
        return name, ()
    tasks = tuple(targets.value) if targets else mixture_of(fixed)
    for given, node in {name: metric, MEAN: targets}.items():
        try:
            Objective(given, tasks)
        except ConfigError as error:
            problems.add((node or root).line, *error.problems)
    return name, tasks


def read_confidence(node: Node, problems: Problems) -> float:
    """How much a search believes a start configuration, 0 to 1."""
    if not node.is_mapping or CONFIDENCE not in node.items:
        return USUAL_CONFIDENCE
    item = node.items[CONFIDENCE]
    if isinstance(item.value, bool) or not isinstance(item.value, int | float) or not 0 <= item.value <= 1:
        problems.add(item.line, f"start: {CONFIDENCE} {item.value!r} is not a number from 0, not at all, to 1")
        return USUAL_CONFIDENCE
    return float(item.value)


def read_start(node: Node, parameters: Sequence[Parameter], fixed: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """One start configuration in Optuna's names and scalars; what it leaves open is drawn. Adds what is wrong with it."""
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
        if parameter.name in node.items:
            item = node.items[parameter.name]
            absent = sorted((parents_of(parameter) & set(names)) - set(node.items))
            drawn = None if absent else parameter.picks(item.value, tasks)
            if absent:
                problems.add(item.line, f"start: {parameter.name} depends on {', '.join(absent)}; name it too, or take it out")
            elif not parameter.is_active(labels):
                problems.add(item.line, f"start: {parameter.name} is inactive here: {_conditions(parameter)}; take it out")
            elif drawn is None:
                problems.add(item.line, f"start: {parameter.name} {item.value!r} is outside the space {parameter.to_dict()}")
            picks |= drawn or {}
            labels[parameter.name] = label(item.value)
    return picks


def _conditions(parameter: Parameter) -> str:
    return "it needs " + " and ".join(f"{name} {' or '.join(map(str, allowed))}" for name, allowed in parameter.when.items())
