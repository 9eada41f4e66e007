"""What a space's file may hold, as pydantic models, and its problems in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from model.config import SHAPES, nearest, rule_of
from tuner.config.names import name_problem
from tuner.config.objective import MEAN
from tuner.config.options import PRUNER_NAMES, SAMPLER_NAMES
from tuner.space.document import Document, Location
from tuner.space.parameters import KINDS, Entry, number_hint

RULES = {
    **SHAPES,
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "missing": "must be [low, high]",
}
"""The rules that pydantic words in terms of Python; what may be missing is the end of a range."""


class Strict(BaseModel):
    """A mapping in a space's file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Options(Strict):
    """Command-line options for which a space may set defaults."""

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


class Profile(Strict):
    """Changes of a space for a machine, over the base of the file."""

    description: str = ""
    options: Options = Options()
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Settings by dotted name, or nested; None removes what the base fixes."""
    search: dict[str, Entry | None] = Field(default_factory=dict)
    """By dotted name; None removes what the base searches."""
    start: list[Any] = Field(default_factory=list)
    """Configurations to try first, as mappings from parameters to values."""


def _check_name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(f"{problem}, given {name!r}")
    return name


class File(Profile):
    """A space's file: the base, and profiles over it."""

    name: Annotated[str, AfterValidator(_check_name)] = ""
    """Default: the file's name."""
    metric: str = MEAN
    targets: list[str] = Field(default_factory=list)
    """Tasks of the metric `mean`; by default those of the fixed mixture."""
    search: dict[str, Entry] = Field(default_factory=dict)  # type: ignore[assignment]
    renamed: dict[str, str] = Field(default_factory=dict)
    """Current names of settings by their old ones."""
    profiles: dict[str, Profile] = Field(default_factory=dict)


def read_file(document: Document) -> File:
    """The contents of a space's file. What breaks the schema is left out, and is a problem of the document."""
    try:
        return File.model_validate(document.values)
    except ValidationError as error:
        items = error.errors()
    broken = []
    for item in items:
        at, section = item["loc"], 2 if item["loc"][0] == "profiles" else 0
        in_entry = at[section : section + 1] == ("search",)
        place = (*at[: section + 2], *at[section + 3 :]) if in_entry else at  # pydantic also names the entry's kind
        document.add(place, _sentence(item, [str(key) for key in place if isinstance(key, str)]))
        broken.append(at[: section + 2] if in_entry else at)
    return File.model_validate(_without(document.values, broken))


def _without(values: dict[str, Any], broken: Iterable[Location]) -> dict[str, Any]:
    """A copy without the values at the broken locations; a list goes as a whole."""
    kept = {}
    for key, value in values.items():
        inner = [at[1:] for at in broken if at[0] == key]
        if not inner:
            kept[key] = value
        elif isinstance(value, dict) and () not in inner:
            kept[key] = _without(value, inner)
    return kept


def _sentence(item: ErrorDetails, names: list[str]) -> str:
    """What is wrong, with the value given and what is allowed. `names` are the keys that lead to it."""
    if names[0] == "profiles" and len(names) > 1:
        names[:2] = [f"profile {names[1]}"]
    names = [name for name in names if name != "search"] or names
    if item["type"] == "extra_forbidden":
        *names, key = names
        fields = _model_at(item["loc"]).model_fields
        keys = [field.alias or name for name, field in fields.items() if field.alias != ""]  # an entry's name is not in it
        return ": ".join([*names, f"unknown key {key}{nearest(key, keys)}; the keys are {', '.join(keys)}"])
    rule = str(item["ctx"]["error"]) if item["type"] == "value_error" else rule_of(item, RULES) + number_hint(item["input"])
    return ": ".join([*names, rule])


def _model_at(unknown: Location) -> type[BaseModel]:
    """The model that has no key of this name."""
    if len(unknown) == 1:
        return File
    return Profile if unknown[:-2] == ("profiles",) else KINDS.get(str(unknown[-2]), Options)
