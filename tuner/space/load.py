"""Reads a space's file: the base, one profile over it, and every problem in one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.config import ConfigError, field_names, nearest
from tuner.config.objective import MEAN, Objective
from tuner.config.options import PRUNER_NAMES, SAMPLER_NAMES
from tuner.space.conditions import resolve
from tuner.space.document import Node, Problems, read_document
from tuner.space.parameters import mixture_of, value_problems
from tuner.space.space import Space
from tuner.space.specs import read_parameter
from tuner.space.starts import read_starts

FOLDER = Path(__file__).resolve().parents[2] / "search_spaces"
"""Beside the packages, both in a source checkout and in an installation."""

PROFILE_KEYS = ("description", "options", "fixed", "search", "start")
FILE_KEYS = ("name", "description", "metric", "targets", "options", "fixed", "search", "start", "renamed", "profiles")


class Options(BaseModel):
    """Command-line options for which a space may set defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    trials: Annotated[int, Field(ge=1)] | None = None
    """Compute that a search may use, in full trials."""
    max_trials: Annotated[int, Field(ge=1)] | None = None
    """Trials at most, however early they end."""
    sampler: Literal[SAMPLER_NAMES] | None = None  # type: ignore[valid-type]
    pruner: Literal[PRUNER_NAMES] | None = None  # type: ignore[valid-type]
    finalists: Annotated[int, Field(ge=0)] | None = None
    """Best trials that are trained again on fresh seeds, besides the untuned default; 0 leaves the confirmation out."""
    seeds: Annotated[int, Field(ge=1)] | None = None
    """Fresh seeds of each finalist."""
    workers_per_trial: Annotated[int, Field(ge=1)] | None = None
    """DeepSpeed ranks of one trial."""
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = None
    gpus_per_worker: Annotated[float, Field(ge=0.0)] | None = None
    """GPUs of one rank; a fraction lets ranks share one."""


@dataclass
class Layer:
    """The base of a file, or a profile: settings by dotted name. In a profile null removes what the base has."""

    options: dict[str, Any] = field(default_factory=dict)
    fixed: dict[str, Node] = field(default_factory=dict)
    search: dict[str, Node] = field(default_factory=dict)
    start: Node | None = None


def available() -> list[str]:
    """Names of the spaces that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(path_or_name: str | Path, profile: str | None = None) -> Space:
    """Read a space of `search_spaces/` by name, or any YAML file by path.

    Raises `ConfigError` with every problem as `file:line: sentence`. All profiles are checked, not only the given one.
    """
    path = _find(str(path_or_name))
    problems = Problems(str(path))
    try:
        root = read_document(path, problems)
        space = _read(root, profile, problems) if root is not None else None
    except RecursionError:
        raise ConfigError([f"{path} is nested too deeply; write it in fewer levels"]) from None
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
    spaces = f"the spaces are {', '.join(available())}, or give the path of a YAML file"
    raise ConfigError([f"there is no space {given}{nearest(given, available())}; {spaces}"])


def _read(root: Node, profile: str | None, problems: Problems) -> Space | None:
    """The space under `profile`; None where that is unknown."""
    _check_keys("", root, FILE_KEYS, problems)
    _check_texts(root, problems)
    base = _layer(root, "", problems)
    profiles = _profiles(root, problems)
    if profile is not None and profile not in profiles:
        line = root.items["profiles"].line if "profiles" in root.items else 1
        known = f"the profiles are {', '.join(profiles)}" if profiles else "the file has no profiles"
        problems.add(line, f"unknown profile {profile}{nearest(profile, list(profiles))}; {known}")
    spaces: dict[str | None, Space] = {None: _space(root, None, base, Layer(), problems)}
    for name, layer in profiles.items():
        new = Problems(problems.file)
        spaces[name] = _space(root, name, base, layer, new)
        for line, sentence in [item for item in new.sentences if item not in problems.sentences]:
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
    profiles = {}
    for name, node in _entries(root, "profiles", "", problems).items():
        if not node.is_mapping:
            problems.add(node.line, f"profile {name} is {node.value!r}; it must map {', '.join(PROFILE_KEYS)}")
            continue
        _check_keys(f"profile {name}: ", node, PROFILE_KEYS, problems)
        profiles[name] = _layer(node, f"profile {name}: ", problems)
    return profiles


def _entries(node: Node, key: str, where: str, problems: Problems) -> Mapping[str, Node]:
    """The entries of the mapping under `key`; empty where it is absent. Anything else is a problem."""
    item = node.items.get(key)
    if item is None:
        return {}
    if not item.is_mapping:
        problems.add(item.line, f"{where}{key} is {item.value!r}; it must be a mapping")
    return item.items


def _layer(node: Node, where: str, problems: Problems) -> Layer:
    layer = Layer(
        _options(node, where, problems),
        _fixed(_entries(node, "fixed", where, problems), "", is_profile=bool(where), problems=problems),
        _searched(_entries(node, "search", where, problems), problems),
        node.items.get("start"),
    )
    for name, item in layer.search.items():
        if name in layer.fixed and item.value is not None and layer.fixed[name].value is not None:
            problems.add(item.line, f"{name} is fixed in line {layer.fixed[name].line} and searched here; keep one")
    if not where and "search" in node.items and node.items["search"].is_mapping and not layer.search:
        example = "`optim.lr: {float: [1.0e-5, 1.0e-4]}`"
        problems.add(node.items["search"].line, f"search names no parameter; add one, such as {example}")
    return layer


def _options(node: Node, where: str, problems: Problems) -> dict[str, Any]:
    options = {}
    for key, item in _entries(node, "options", where, problems).items():
        if key not in Options.model_fields:
            valid = list(Options.model_fields)
            problems.add(item.line, f"{where}unknown option {key}{nearest(key, valid)}; the options are {', '.join(valid)}")
            continue
        try:
            options[key] = getattr(Options.model_validate({key: item.value}), key)
        except ValidationError as error:
            rule = error.errors()[0]["msg"]
            problems.add(item.line, f"{where}option {key}: {rule[0].lower()}{rule[1:]}, given {item.value!r}")
    return options


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
    """The base with a profile over it, which replaces the base's entries of the same settings."""
    search = {name: node for name, node in base.search.items() if name not in over.fixed or over.fixed[name].value is None}
    search = {
        name: node for name, node in {**search, **over.search}.items() if node.value is not None or name not in over.search
    }
    fixed = {name: node for name, node in {**base.fixed, **over.fixed}.items() if name not in search or name in over.fixed}
    values = {name: node.value for name, node in fixed.items() if node.value is not None}
    read = {name: read_parameter(name, node, problems) for name, node in search.items()}
    declared = {*base.search, *search}
    settled = {name: values.get(name, field_names()[name].default) for name in declared - set(search)}
    valid = {name: parameter for name, parameter in read.items() if parameter is not None}
    parameters = resolve(valid, search, declared, settled, values, problems)
    is_whole = len(valid) == len(read) and bool(parameters or not search)  # else a correct start would be refused
    points, confidences = read_starts(over.start or base.start, parameters, values, problems) if is_whole else ((), ())
    metric, targets = _metric(root, values, problems)
    texts = {key: str(root.items[key].value) if key in root.items else "" for key in ("name", "description")}
    profiles = tuple(root.items["profiles"].items) if "profiles" in root.items else ()
    options = {**base.options, **over.options}
    renamed = _renamed(root, problems)
    return Space(
        **texts, profile=profile, profiles=profiles, metric=metric, targets=targets, options=options, fixed=values,
        parameters=parameters, start=points, confidences=confidences, renamed=renamed,
    )  # fmt: skip


def _renamed(root: Node, problems: Problems) -> dict[str, str]:
    """Current names of settings by their old ones."""
    renamed: dict[str, str] = {}
    for old, item in _entries(root, "renamed", "", problems).items():
        if old in field_names():
            problems.add(item.line, f"renamed: {old} is a setting; the left side must be a name that is no longer used")
        elif item.value not in field_names():
            hint = nearest(str(item.value), list(field_names()))
            problems.add(item.line, f"renamed: {old} is now {item.value!r}, which is no setting{hint}")
        elif item.value in renamed.values():
            problems.add(item.line, f"renamed: {item.value} has two old names; keep one")
        else:
            renamed[old] = item.value
    return renamed


def _metric(root: Node, fixed: Mapping[str, Any], problems: Problems) -> tuple[str, tuple[str, ...]]:
    metric, targets = root.items.get("metric"), root.items.get("targets")
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
