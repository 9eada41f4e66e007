"""The kinds of a searched parameter: what a space's file says of it, what Optuna draws, and what that means to `TrialConfig`.

A kind is a small frozen model. It names its Optuna distributions, turns the drawn scalars ("picks") into the value of
the setting, and turns a value back into picks.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Generic, Self, TypeVar

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic.types import Strict

from model.config import ConfigError, TrialConfig, describe, field_names, nearest
from tuner.space.distributions import Scalar
from tuner.space.document import Location

MIXTURE = "mixture"
"""The setting that names the tasks of a trial."""

Picks = Mapping[str, Any]
"""What Optuna drew, scalars by Optuna's name."""


def label(value: Any) -> Scalar:
    """The readable scalar under which Optuna stores a choice: `[sst, quora]` becomes `sst+quora`."""
    if isinstance(value, list | tuple):
        return "+".join(str(label(item)) for item in value)
    if isinstance(value, Mapping):
        return "+".join(f"{key}={label(item)}" for key, item in value.items())
    return value  # type: ignore[no-any-return]


def is_in(value: Scalar, labels: Iterable[Scalar]) -> bool:
    """Membership that, unlike Python's, distinguishes `true` and 1."""
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in labels)


def _labels(when: Any) -> Any:
    """The labels of each value, or of each in a list of values. Raises `ValueError` for anything but such a mapping."""
    if not isinstance(when, dict) or not when:
        raise ValueError("`when` must map parameters to values, such as {smart.enabled: true}")
    return {name: tuple(map(label, value if isinstance(value, list) else [value])) for name, value in when.items()}


N = TypeVar("N", int, float)
When = Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_labels)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Bounds = Annotated[tuple[N, N], Strict(False)]


class Parameter(BaseModel, ABC):
    """A setting that is searched, while every condition in `when` holds. The fields are those of an entry in a space's file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    when: When = Field(default_factory=dict)
    """For each parameter this one depends on, the labels under which it is active."""
    name: str = Field(default="", alias="", exclude=True)
    """The setting's dotted name, which a file has as the key of the entry, not in it."""

    def named(self, name: str) -> Self:
        """A copy for the setting `name`."""
        return self.model_copy(update={"name": name})

    def is_active(self, labels: Mapping[str, Scalar]) -> bool:
        """Whether it takes part, given the labels of the active parameters before it."""
        return all(name in labels and is_in(labels[name], allowed) for name, allowed in self.when.items())

    @abstractmethod
    def problems(self) -> Iterator[tuple[Location, str]]:
        """What `TrialConfig` refuses, and rules between the fields: sentences with their place in the entry."""

    @abstractmethod
    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        """What Optuna draws, by Optuna's name, for a mixture of `tasks`."""

    def value(self, picks: Picks, tasks: Sequence[str]) -> Any:
        """The value of the setting for what was drawn."""
        return picks[self.name]

    def picks(self, value: Any, tasks: Sequence[str]) -> dict[str, Scalar] | None:
        """What Optuna would have to draw for `value`; None where it cannot."""
        (distribution,) = self.distributions(tasks).values()
        return {self.name: value} if _is_number(value) and _contains(distribution, value) else None

    def to_dict(self) -> dict[str, Any]:
        """The kind and its range as in a space's file, as JSON values."""
        return self.model_dump(mode="json", by_alias=True, exclude={"when"})

    def _refusals(self, values: Iterable[tuple[Location, Any]]) -> Iterator[tuple[Location, str]]:
        return ((at, sentence) for at, value in values for sentence in value_problems(self.name, value))


class Choice(Parameter):
    """One of `values`, which may be lists."""

    values: Annotated[tuple[Any, ...], Strict(False), Field(alias="choice", min_length=1)]

    @property
    def labels(self) -> list[Scalar]:
        return [label(value) for value in self.values]

    def problems(self) -> Iterator[tuple[Location, str]]:
        seen: set[tuple[bool, Scalar]] = set()
        for index, shown in enumerate(self.labels):
            if (isinstance(shown, bool), shown) in seen:
                yield ("choice", index), f"choice repeats {shown}; keep one"
            seen.add((isinstance(shown, bool), shown))
        yield from self._refusals((("choice", index), value) for index, value in enumerate(self.values))

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        return {self.name: CategoricalDistribution(self.labels)}

    def value(self, picks: Picks, tasks: Sequence[str]) -> Any:
        return self.values[self.labels.index(picks[self.name])]

    def picks(self, value: Any, tasks: Sequence[str]) -> dict[str, Scalar] | None:
        return {self.name: label(value)} if is_in(label(value), self.labels) else None


class Range(Parameter, Generic[N]):
    """A number from `low` to `high`, both included."""

    bounds: Bounds[N]

    @property
    def low(self) -> N:
        return self.bounds[0]

    @property
    def high(self) -> N:
        return self.bounds[1]

    def problems(self) -> Iterator[tuple[Location, str]]:
        low, high = self.bounds
        at = (str(type(self).model_fields["bounds"].alias),)
        if low > high:
            yield at, f"the range [{low:g}, {high:g}] is reversed; write [{high:g}, {low:g}]"
        elif low == high:
            yield at, f"the range [{low:g}, {high:g}] is empty; widen it, or put {low:g} under `fixed`"
        else:
            yield from self._range_problems()

    @abstractmethod
    def _range_problems(self) -> Iterator[tuple[Location, str]]:
        """What is wrong with a range whose ends are in order."""


class Stepped(Range[N]):
    """A range that may be logarithmic, or have steps."""

    log: bool = False
    step: N | None = None

    @property
    def n_values(self) -> float | None:
        """Number of its values; None without steps."""
        return None if self.step is None else (self.high - self.low) / self.step + 1

    def _range_problems(self) -> Iterator[tuple[Location, str]]:
        kind, exact = ("int", int) if isinstance(self, Int) else ("float", _decimal)
        if self.log and self.low <= 0:
            yield (kind,), f"low is {self.low:g}; with `log: true` it must be positive"
        if self.log and "step" in self.model_fields_set:
            yield ("step",), "has both `log` and `step`; keep one"
        elif self.step is not None and self.high - self.step == self.high:
            yield ("step",), f"steps of {self.step:g} are lost in rounding at {self.high:g}; give a larger step, or none"
        elif self.step is not None and (exact(self.high) - exact(self.low)) % exact(self.step) != 0:
            yield (kind,), f"steps of {self.step:g} from {self.low:g} do not end at {self.high:g}; change the end or the step"
        yield from self._refusals(((kind,), end) for end in self.bounds)


class Int(Stepped[int]):
    """A whole number."""

    bounds: Bounds[int] = Field(alias="int")
    step: Annotated[int, Field(gt=0)] = 1

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        return {self.name: IntDistribution(self.low, self.high, log=self.log, step=self.step)}

    def picks(self, value: Any, tasks: Sequence[str]) -> dict[str, Scalar] | None:
        return super().picks(value, tasks) if isinstance(value, int) else None


class Float(Stepped[float]):
    """A real number."""

    bounds: Bounds[Finite] = Field(alias="float")
    step: Annotated[Finite, Field(gt=0)] | None = None

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        return {self.name: FloatDistribution(self.low, self.high, log=self.log, step=self.step)}


class Simplex(Range[float]):
    """Shares of the tasks of the mixture: softmax of one free logit from `low` to `high` for each task.

    The share of a single task is 1 and nothing is drawn.
    """

    bounds: Bounds[Finite] = Field(alias="simplex")

    def _range_problems(self) -> Iterator[tuple[Location, str]]:
        of_tasks = [name for name, setting in field_names().items() if str(setting.annotation).startswith("dict")]
        if self.name not in of_tasks:
            yield ("simplex",), f"a simplex gives one share for each task; it is for {' and '.join(of_tasks)} only"

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        names = [f"{self.name}[{task}]" for task in tasks] if len(tasks) > 1 else []
        return {name: FloatDistribution(self.low, self.high) for name in names}

    def value(self, picks: Picks, tasks: Sequence[str]) -> dict[str, float]:
        weights = [math.exp(picks.get(f"{self.name}[{task}]", 0.0) - self.high) for task in tasks]
        return {task: weight / sum(weights) for task, weight in zip(tasks, weights, strict=True)}

    def picks(self, value: Any, tasks: Sequence[str]) -> dict[str, Scalar] | None:
        """Logits for given shares: log p, shifted to the middle of the range."""
        if not isinstance(value, Mapping) or set(value) != set(tasks):
            return None
        if not all(_is_number(share) and share > 0 for share in value.values()) or abs(sum(value.values()) - 1) > 1e-6:
            return None
        logs = {task: math.log(value[task]) for task in tasks}
        shift = (self.low + self.high - max(logs.values()) - min(logs.values())) / 2
        logits = {name: logs[task] + shift for name, task in zip(self.distributions(tasks), tasks, strict=False)}
        return dict(logits) if all(self.low <= logit <= self.high for logit in logits.values()) else None


class Follow(Parameter):
    """A value for each label of another setting, `leader`, searched or fixed: nothing is drawn."""

    leader: str = Field(alias="follow")
    values: dict[str, Any] = Field(default_factory=dict)
    """By the leader's label as text: `finetune`, `sst+sts`, `true`."""

    def problems(self) -> Iterator[tuple[Location, str]]:
        if self.leader == self.name:
            yield ("follow",), f"follow is {self.leader!r}; it must name another setting, such as mode"
        elif not self.values:
            fix = f"write {{follow: {self.leader}, values: {{LABEL: VALUE, ...}}}}"
            yield ("follow",), f"follows {self.leader} without `values`; {fix}"
        yield from self._refusals((("values", key), value) for key, value in self.values.items())

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        return {}

    def value(self, picks: Picks, tasks: Sequence[str]) -> Any:
        """Raises `ConfigError` where the leader has a label without a value."""
        leading = as_text(picks[self.leader])
        if leading not in self.values:
            known = f"it has values for {', '.join(self.values)}; set it too"
            raise ConfigError([f"{self.name} follows {self.leader}, which is {leading}: {known}"])
        return self.values[leading]

    def picks(self, value: Any, tasks: Sequence[str]) -> dict[str, Scalar] | None:
        return None


def _kind(entry: Any) -> str | None:
    """The kind that an entry has; also of a parameter."""
    return next((key for key in entry if key in KINDS), None) if isinstance(entry, dict) else None


def _check_kind(entry: Any) -> Any:
    """The entry, which must have exactly one kind. Raises `ValueError`."""
    kinds = ", ".join(KINDS)
    if not isinstance(entry, dict):
        raise ValueError(f"{entry!r} is not a parameter; write a kind ({kinds}), such as {{choice: [a, b]}}")
    given = [key for key in entry if key in KINDS]
    unknown = [key for key in entry if key not in (*KINDS, "log", "step", "when", "values")]
    if len(given) > 1:
        raise ValueError(f"has the kinds {', '.join(given)}; keep one")
    if not given and unknown:
        raise ValueError(f"unknown kind {unknown[0]}{nearest(unknown[0], list(KINDS))}; the kinds are {kinds}")
    if not given:
        raise ValueError(f"has no kind; add one of {kinds}")
    return entry


KINDS: dict[str, type[Parameter]] = {"choice": Choice, "int": Int, "float": Float, "simplex": Simplex, "follow": Follow}
"""By the key that an entry of `search` has for the kind."""
Entry = Annotated[
    Annotated[Choice, Tag("choice")]
    | Annotated[Int, Tag("int")]
    | Annotated[Float, Tag("float")]
    | Annotated[Simplex, Tag("simplex")]
    | Annotated[Follow, Tag("follow")],
    Discriminator(_kind),
    BeforeValidator(_check_kind),
]
"""What a space's file has for a searched setting."""


def as_text(value: Scalar) -> str:
    """A label as YAML writes it: `true` for the switch."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def mixture_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks that a flat mapping of settings names, or `TrialConfig`'s default where it names none."""
    mixture = values.get(MIXTURE)
    if isinstance(mixture, list | tuple) and all(isinstance(task, str) for task in mixture):
        return tuple(mixture)
    return tuple(TrialConfig.model_fields[MIXTURE].default)


def _decimal(number: float) -> Decimal:
    """The number as it is written."""
    return Decimal(str(number))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a number is one that the distribution can draw."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not distribution.low <= value <= distribution.high:
        return False
    position = (value - distribution.low) / (distribution.step or 1)
    return distribution.step is None or math.isclose(position, round(position), abs_tol=1e-9)


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


def leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The settings in dotted or nested values, with the keys that lead to each. One may be a mapping, as `mixing.ratios`."""
    for key, value in values.items():
        keys = (*above, key)
        name = ".".join(keys)
        is_section = any(setting.startswith(f"{name}.") for setting in field_names())
        if isinstance(value, Mapping) and name not in field_names() and (value or is_section):
            yield from leaves(value, keys)
        else:
            yield keys, value


def value_problems(name: str, value: Any) -> list[str]:
    """Why `TrialConfig` refuses `value` for the setting `name`, whatever the other settings are.

    Rules between settings are not checked. Types are strict: no number from text, no truth value from a number.
    """
    path = tuple(name.split("."))
    try:
        TrialConfig.model_validate(nest({name: tuple(value) if isinstance(value, list) else value}), strict=True)
    except ValidationError as error:
        pairs = zip(error.errors(), describe(error), strict=True)
        return [sentence + number_hint(value) for item, sentence in pairs if item["loc"][: len(path)] == path]
    return []


def number_hint(value: Any) -> str:
    """How to write a number that YAML 1.1 reads as text, as it does `1e-6`; empty for anything else."""
    if not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    mantissa, _, exponent = repr(number).partition("e")
    number_text = f"{mantissa if '.' in mantissa else mantissa + '.0'}{'e' + exponent if exponent else ''}"
    return f"; YAML reads {value} as text, write {number_text}"
