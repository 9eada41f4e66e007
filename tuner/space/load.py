"""Reads a space's file: the base, one profile over it, and every problem in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from model.config import ConfigError, field_names, nearest
from tuner.config.names import valid_name
from tuner.config.objective import MEAN, Objective
from tuner.space.conditions import resolve
from tuner.space.document import Document, Location, read_document
from tuner.space.parameters import Parameter, leaves, mixture_of, value_problems
from tuner.space.schema import File, Profile, read_file
from tuner.space.space import Space
from tuner.space.starts import read_starts

FOLDER = Path(__file__).resolve().parents[2] / "search_spaces"
"""Beside the packages, both in a source checkout and in an installation."""


@dataclass
class Layer:
    """The settings that the base of a file or a profile names, by dotted name. None takes back what the base fixes."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """As the file has them."""
    contents: Profile = field(default_factory=Profile)
    at: Location = ()
    """Where it is in the file."""
    fixed: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Location] = field(default_factory=dict)
    """Where the entries of `search` are, also those that are refused."""
    search: dict[str, Parameter] = field(default_factory=dict)
    not_searched: set[str] = field(default_factory=set)
    """What a profile no longer searches."""


def available() -> list[str]:
    """Names of the spaces that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(path_or_name: str | Path, profile: str | None = None) -> Space:
    """Read a space of `search_spaces/` by name, or any YAML file by path.

    Raises `ConfigError` with every problem as `file:line: sentence`. All profiles are checked, not only the given one.
    """
    path = _find(str(path_or_name))
    try:
        document = read_document(path)
        space = _read(document, profile, valid_name(path.stem))
    except RecursionError:
        raise ConfigError([f"{path} is nested too deeply; write it in fewer levels"]) from None
    document.raise_any()
    refused = (f"a configuration drawn from this space is refused: {sentence}" for sentence in space.refusals())
    document.add(("search",), *refused)
    document.raise_any()
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


def _read(document: Document, profile: str | None, default_name: str) -> Space:
    """The space under `profile`; the base where that is unknown."""
    file = read_file(document)
    base = _layer(document, document.values, file, ())
    if isinstance(document.values.get("search", {}), dict) and not base.places:
        what = "search names no parameter" if "search" in document.values else "the key search is missing"
        document.add(("search",), f"{what}; add one, such as `optim.lr: {{float: [1.0e-5, 1.0e-4]}}`")
    profiles = {
        name: _layer(document, document.values["profiles"][name], contents, ("profiles", name))
        for name, contents in file.profiles.items()
    }
    if profile is not None and profile not in profiles:
        known = f"the profiles are {', '.join(profiles)}" if profiles else "the file has no profiles"
        document.add(("profiles",), f"unknown profile {profile}{nearest(profile, list(profiles))}; {known}")
    space = replace(_space(document, file, base, Layer()), name=file.name or default_name)
    for name, layer in profiles.items():
        new = Document(document.file, lines=document.lines)
        changed = _space(new, file, base, layer)
        for line, sentence in new.problems.keys() - document.problems.keys():
            document.problems[line, f"{sentence} (under the profile {name})"] = None
        if name == profile:
            space = replace(changed, name=space.name, profile=name)
    return space


def _layer(document: Document, values: Mapping[str, Any], contents: Profile, at: Location) -> Layer:
    """Check what the base or a profile says of settings. `values` are its values in the file, at `at`."""
    layer, places = Layer(values, contents, at), dict[str, Location]()
    for keys, value in leaves(contents.fixed):
        name, place = ".".join(keys), (*at, "fixed", *keys)
        document.add(place, *_unknown(name))
        if name in layer.fixed:
            document.add(place, f"{name} is already fixed in line {document.line(places[name])}; keep one")
        if name in field_names():
            layer.fixed[name], places[name] = value, place
            document.add(place, *(value_problems(name, value) if value is not None or not at else []))
    searched = values.get("search")
    for name, entry in searched.items() if isinstance(searched, dict) else ():
        place = (*at, "search", name)
        document.add(place, *_unknown(name))
        if entry is None and name in contents.search:
            layer.not_searched.add(name)
        elif name in field_names():
            layer.places[name] = place
            if layer.fixed.get(name) is not None:
                document.add(place, f"{name} is fixed in line {document.line(places[name])} and searched here; keep one")
            if (parameter := contents.search.get(name)) is not None:
                _check(document, layer, parameter.named(name))
    return layer


def _check(document: Document, layer: Layer, parameter: Parameter) -> None:
    """Add the parameter to the layer, or its problems to the document."""
    problems = list(parameter.problems())
    for inner, sentence in problems:
        profile = f"profile {layer.at[1]}: " if layer.at else ""
        prefix = "" if sentence.startswith(parameter.name) else f"{parameter.name}: "
        document.add((*layer.places[parameter.name], *inner), f"{profile}{prefix}{sentence}")
    if not problems:
        layer.search[parameter.name] = parameter


def _unknown(name: str) -> list[str]:
    """A sentence where there is no setting of this name."""
    if name in field_names():
        return []
    section = [other for other in field_names() if other.startswith(f"{name}.")]
    if section:
        return [f"{name} is a section, not a setting; its settings are {', '.join(section)}"]
    return [f"unknown setting {name}{nearest(name, list(field_names()))}"]


def _space(document: Document, file: File, base: Layer, over: Layer) -> Space:
    """The base with a profile over it, which replaces the base's entries of the same settings."""
    kept = {name: at for name, at in base.places.items() if over.fixed.get(name) is None and name not in over.not_searched}
    places = {**kept, **over.places}
    found = {name: (over if name in over.places else base).search.get(name) for name in places}
    valid = {name: parameter for name, parameter in found.items() if parameter is not None}
    fixed = {name: value for name, value in base.fixed.items() if name not in places} | over.fixed
    fixed = {name: value for name, value in fixed.items() if value is not None}
    declared = {*base.places, *places}
    settled = {name: fixed.get(name, field_names()[name].default) for name in declared - set(places)}
    parameters = resolve(valid, places, declared, settled, fixed, document)
    is_whole = len(valid) == len(places) and bool(parameters or not places)  # else a correct start would be refused
    starting = over if "start" in over.values else base
    start = starting.contents.start if is_whole else []
    points, confidences = read_starts(start, (*starting.at, "start"), parameters, fixed, document)
    targets = tuple(file.targets) if "targets" in file.model_fields_set else mixture_of(fixed)
    for goal, place in {file.metric: "metric", MEAN: "targets"}.items():
        try:
            Objective(goal, targets)
        except ConfigError as error:
            document.add((place,), *error.problems)
    options = base.contents.options.model_dump(exclude_unset=True) | over.contents.options.model_dump(exclude_unset=True)
    return Space(
        file.name, file.description, None, tuple(file.profiles), file.metric, targets, options, fixed, parameters,
        points, confidences, _renamed(document, file),
    )  # fmt: skip


def _renamed(document: Document, file: File) -> dict[str, str]:
    """Current names of settings by their old ones."""
    counts = Counter(file.renamed.values())
    for old, name in file.renamed.items():
        if old in field_names():
            document.add(("renamed", old), f"renamed: {old} is a setting; the left side must be a name that is no longer used")
        elif name not in field_names():
            hint = nearest(name, list(field_names()))
            document.add(("renamed", old), f"renamed: {old} is now {name!r}, which is no setting{hint}")
        elif counts[name] > 1:
            document.add(("renamed", old), f"renamed: {name} has two old names; keep one")
    return dict(file.renamed)
