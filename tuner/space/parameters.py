"""The kinds of a searched parameter: what Optuna draws for it and what that means to `TrialConfig`.

A kind is a small frozen class. It names its Optuna distributions, turns the drawn scalars ("picks") into the value of
the setting, and turns a value back into picks.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial
from pydantic import ValidationError

from model.config import ConfigError, TrialConfig, describe

WIDTH = 0.15
"""Standard deviation of a draw around a value, as a share of the range."""
SAME_CHOICE = 0.8
"""Probability that a draw around a choice keeps it."""
MIXTURE = "mixture"
"""The setting that names the tasks of a trial."""

Scalar = None | bool | int | float | str
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


@dataclass(frozen=True)
class Parameter(ABC):
    """A setting that is searched, while every condition in `when` holds."""

    name: str
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """For each parameter this one depends on, the labels under which it is active."""

    def is_active(self, labels: Mapping[str, Scalar]) -> bool:
        """Whether it takes part, given the labels of the active parameters before it."""
        return all(name in labels and is_in(labels[name], allowed) for name, allowed in self.when.items())

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

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The kind and its range as in a space's file."""


@dataclass(frozen=True)
class Choice(Parameter):
    """One of `values`, which may be lists."""

    values: tuple[Any, ...] = ()

    @property
    def labels(self) -> list[Scalar]:
        return [label(value) for value in self.values]

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        return {self.name: CategoricalDistribution(self.labels)}

    def value(self, picks: Picks, tasks: Sequence[str]) -> Any:
        return self.values[self.labels.index(picks[self.name])]

    def picks(self, value: Any, tasks: Sequence[str]) -> dict[str, Scalar] | None:
        return {self.name: label(value)} if is_in(label(value), self.labels) else None

    def to_dict(self) -> dict[str, Any]:
        return {"choice": list(self.values)}


@dataclass(frozen=True)
class Int(Parameter):
    """A whole number from `low` to `high`, both included."""

    low: int = 0
    high: int = 0
    log: bool = False
    step: int = 1

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        return {self.name: IntDistribution(self.low, self.high, log=self.log, step=self.step)}

    def picks(self, value: Any, tasks: Sequence[str]) -> dict[str, Scalar] | None:
        return super().picks(value, tasks) if isinstance(value, int) else None

    def to_dict(self) -> dict[str, Any]:
        return {"int": [self.low, self.high], "log": self.log, "step": self.step}


@dataclass(frozen=True)
class Float(Parameter):
    """A number from `low` to `high`, both included."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float | None = None

    def distributions(self, tasks: Sequence[str]) -> dict[str, BaseDistribution]:
        return {self.name: FloatDistribution(self.low, self.high, log=self.log, step=self.step)}

    def to_dict(self) -> dict[str, Any]:
        return {"float": [self.low, self.high], "log": self.log, "step": self.step}


@dataclass(frozen=True)
class Simplex(Parameter):
    """Shares of the tasks of the mixture: softmax of one free logit from `low` to `high` for each task.

    The share of a single task is 1 and nothing is drawn.
    """

    low: float = 0.0
    high: float = 0.0

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

    def to_dict(self) -> dict[str, Any]:
        return {"simplex": [self.low, self.high]}


@dataclass(frozen=True)
class Follow(Parameter):
    """A value for each label of another setting, `leader`, searched or fixed: nothing is drawn."""

    leader: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    """By the leader's label as text: `finetune`, `sst+sts`, `true`."""

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

    def to_dict(self) -> dict[str, Any]:
        return {"follow": self.leader, "values": dict(self.values)}


def as_text(value: Scalar) -> str:
    """A label as YAML writes it: `true` for the switch."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def mixture_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks that a flat mapping of settings names, or `TrialConfig`'s default where it names none."""
    mixture = values.get(MIXTURE)
    if isinstance(mixture, list | tuple) and all(isinstance(task, str) for task in mixture):
        return tuple(mixture)
    return tuple(TrialConfig.model_fields[MIXTURE].default)


def suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Scalar:
    """What `trial` draws for one distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def points(distribution: BaseDistribution) -> Sequence[Scalar] | None:
    """Every value of a distribution in order, or None for a continuous one."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        return None
    n_steps = round((distribution.high - distribution.low) / distribution.step)
    return [distribution.low + index * distribution.step for index in range(n_steps + 1)]


def draw(distribution: BaseDistribution, rng: random.Random) -> Scalar:
    """A random value, uniform over the range or its logarithm."""
    discrete = points(distribution)
    if discrete is not None:
        return rng.choice(discrete)
    assert isinstance(distribution, FloatDistribution)
    if not distribution.log:
        return rng.uniform(distribution.low, distribution.high)
    exponent = rng.uniform(math.log(distribution.low), math.log(distribution.high))
    return min(max(math.exp(exponent), distribution.low), distribution.high)


def draw_near(distribution: BaseDistribution, value: Scalar, rng: random.Random) -> Scalar:
    """A random value around another: within about `WIDTH` of the range or its logarithm's; a choice mostly stays the same."""
    if isinstance(distribution, CategoricalDistribution):
        return value if rng.random() < SAME_CHOICE else rng.choice(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    assert isinstance(value, int | float)
    scale, back = (math.log, math.exp) if distribution.log else (float, float)
    low, high = scale(distribution.low), scale(distribution.high)
    drawn = rng.gauss(scale(value), WIDTH * (high - low))
    near = back(min(max(drawn, low), high))
    if distribution.step is not None:
        near = distribution.low + round((near - distribution.low) / distribution.step) * distribution.step
    return min(max(near, distribution.low), distribution.high)


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
    mantissa, _, exponent = repr(number).partition("e")
    number_text = f"{mantissa if '.' in mantissa else mantissa + '.0'}{'e' + exponent if exponent else ''}"
    return f"; YAML reads {value} as text, write {number_text}"
