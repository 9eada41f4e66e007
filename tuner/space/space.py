"""A search space: which settings of `TrialConfig` are fixed, which are searched, and under which conditions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, field_names, nearest, parse
from tuner.space.conditions import decide
from tuner.space.distributions import Scalar, draw, draw_near, n_points, points, suggest
from tuner.space.parameters import MIXTURE, Choice, Parameter, Picks, label, mixture_of, nest, value_problems

GRID_LIMIT = 10_000
"""Points of the largest grid that is enumerated."""

N_SAMPLES = 200
"""Random configurations against which the rules between settings are checked."""

Pick = Callable[[str, BaseDistribution], Any]


@dataclass(frozen=True)
class Space:
    """Checked contents of a space's file under one of its profiles; `tuner.space.load` reads it."""

    name: str
    description: str
    profile: str | None
    profiles: tuple[str, ...]
    """All profiles of the file."""
    metric: str
    """Default of `--metric`."""
    targets: tuple[str, ...]
    """Tasks that the metric `mean` is taken over."""
    options: Mapping[str, Any]
    """Defaults of command-line options: those that the file sets."""
    fixed: Mapping[str, Any]
    """Values by dotted name."""
    parameters: tuple[Parameter, ...]
    """Searched settings, those that others depend on first."""
    start: tuple[Picks, ...] = ()
    """Partial assignments, in Optuna's names and scalars, that a search tries first."""
    confidences: tuple[float, ...] = ()
    """Of each start configuration, 0 to 1: the share of a search's first draws that are made around it."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Current names of settings by the names in earlier results."""

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Nested values for `model.config.parse`; only the active parameters are drawn by `trial`."""
        return self._assign(lambda name, distribution: suggest(trial, name, distribution))

    def parse(self, values: Mapping[str, Any]) -> TrialConfig:
        """The configuration of nested values, in canonical form. Raises `ConfigError`."""
        return canonical(parse(values))

    def config(self, assignment: Picks) -> TrialConfig:
        """The configuration of one assignment of all active parameters, as `grid_points` yields them."""
        return parse(self.values(assignment))

    def values(self, assignment: Picks) -> dict[str, Any]:
        """Nested values of one assignment of all active parameters. Raises KeyError when it lacks one."""
        return self._assign(lambda name, _: assignment[name])

    def draw(self, rng: random.Random) -> dict[str, Scalar]:
        """A random assignment of all active parameters, in Optuna's names and scalars."""
        return self.draw_near({}, rng)

    def draw_near(self, start: Picks, rng: random.Random) -> dict[str, Scalar]:
        """A random assignment of all active parameters around a partial one; what that leaves open is drawn as in `draw`."""
        picks: dict[str, Scalar] = {}

        def pick(name: str, distribution: BaseDistribution) -> Scalar:
            picks[name] = draw_near(distribution, start[name], rng) if name in start else draw(distribution, rng)
            return picks[name]

        self._assign(pick)
        return picks

    def sample(self, rng: random.Random) -> dict[str, Any]:
        """Nested values of a random configuration."""
        return self.values(self.draw(rng))

    def refusals(self) -> list[str]:
        """The rules between settings that random configurations break, such as a small ε under bf16: each sentence once."""
        rng = random.Random(0)
        sentences: dict[str, None] = {}
        for _ in range(N_SAMPLES):
            try:
                parse(self.sample(rng))
            except ConfigError as error:
                sentences.update(dict.fromkeys(error.problems))
        return list(sentences)

    def _assign(self, pick: Pick) -> dict[str, Any]:
        values = dict(self.fixed)
        labels: dict[str, Scalar] = {}
        known = _labels_of(values)
        for parameter in self.parameters:
            if parameter.is_active(labels):
                tasks = mixture_of(values)
                drawn = {name: pick(name, distribution) for name, distribution in parameter.distributions(tasks).items()}
                values[parameter.name] = parameter.value({**known, **drawn}, tasks)
                known[parameter.name] = labels[parameter.name] = label(values[parameter.name])
        return nest(values)

    def fix(self, settings: Mapping[str, Any]) -> Space:
        """The space with further settings fixed, by dotted name, such as `{"backbone": "bert-base-uncased"}`.

        A value of None removes what the file fixes. A searched setting is no longer searched, nor are those that its value
        makes inactive. Raises `ConfigError` for unknown settings and for values that `TrialConfig` refuses, alone or together
        with what the space can draw.
        """
        valid = list(field_names())
        problems: list[str] = []
        for name, value in settings.items():
            if name not in valid:
                problems.append(f"unknown setting {name}{nearest(name, valid)}")
            elif value is not None:
                problems.extend(value_problems(name, value))
        values = {name: value for name, value in {**self.fixed, **settings}.items() if value is not None}
        searched = {parameter.name: parameter for parameter in self.parameters if parameter.name not in settings}
        kept = decide(searched, {p.name: settings[p.name] for p in self.parameters if p.name in settings})
        start: dict[tuple[tuple[str, Any], ...], float] = {}
        for point, confidence in zip(self.start, self.confidences, strict=True):
            remaining = ((key, pick) for key, pick in point.items() if key.partition("[")[0] in kept)  # `mixing.ratios[sst]`
            start.setdefault(tuple(remaining), confidence)
        starts, confidences = tuple(dict(point) for point in start), tuple(start.values())
        fixed = replace(self, fixed=values, parameters=tuple(kept.values()), start=starts, confidences=confidences)
        problems = problems or [f"a configuration drawn from the space {self.name} is refused: {p}" for p in fixed.refusals()]
        if problems:
            raise ConfigError(problems)
        return fixed

    def restrict(self, *, tasks: Sequence[str], required: Sequence[str]) -> tuple[Space, list[str]]:
        """Keep the mixtures drawn from `tasks` (those there are data for) that hold all `required` (scored) ones.

        Returns the smaller space and a sentence for each part left out. Raises `ConfigError` when no mixture is left.
        """
        mixture = next((parameter for parameter in self.parameters if parameter.name == MIXTURE), None)
        offered = mixture.values if isinstance(mixture, Choice) else (mixture_of(self.fixed),)
        reasons = {label(value): _misfit(value, tasks, required) for value in offered}
        dropped = [f"mixture {name} is left out: {reason}" for name, reason in reasons.items() if reason]
        if len(dropped) == len(offered):
            raise ConfigError([f"no mixture of the space {self.name} can be used; {'; '.join(dropped)}"])
        if not isinstance(mixture, Choice) or not dropped:
            return self, []
        kept = mixture.model_copy(update={"values": tuple(value for value in offered if not reasons[label(value)])})
        parameters = _without_unreachable([kept if parameter is mixture else parameter for parameter in self.parameters], kept)
        starts = [pair for pair in zip(self.start, self.confidences, strict=True) if not reasons.get(pair[0].get(MIXTURE))]
        start, confidences = tuple(point for point, _ in starts), tuple(confidence for _, confidence in starts)
        if len(start) < len(self.start):
            dropped.append(f"{len(self.start) - len(start)} start configuration(s) are left out with their mixtures")
        return replace(self, parameters=tuple(parameters), start=start, confidences=confidences), dropped

    def grid_points(self, limit: int = GRID_LIMIT) -> Iterator[dict[str, Scalar]]:
        """Every distinct assignment of active parameters, in order.

        Raises `ConfigError` before the first one when a parameter is continuous or has more than `limit` values, or
        when there are more than `limit` points.
        """
        problems = [problem for parameter in self.parameters for problem in _grid_problems(parameter, self._all_tasks(), limit)]
        if problems:
            raise ConfigError(problems)
        if sum(1 for _ in islice(self._branches(0, {}, {}), limit + 1)) > limit:
            raise ConfigError([f"the grid has more than {limit} points; search fewer parameters, or use another sampler"])
        return self._branches(0, {}, {})

    @property
    def n_grid(self) -> int:
        """Number of grid points; raises `ConfigError` as `grid_points` does."""
        return sum(1 for _ in self.grid_points())

    def _branches(self, index: int, values: dict[str, Any], picks: dict[str, Scalar]) -> Iterator[dict[str, Scalar]]:
        """Complete the assignment `picks`, which gives the parameters before `index` these values, in every way."""
        if index == len(self.parameters):
            yield picks
            return
        parameter = self.parameters[index]
        if not parameter.is_active(_labels_of(values)):
            yield from self._branches(index + 1, values, picks)
            return
        known = {**self.fixed, **values}
        tasks = mixture_of(known)
        distributions = parameter.distributions(tasks)
        for combination in product(*(points(distribution) for distribution in distributions.values())):
            drawn = dict(zip(distributions, combination, strict=True))
            value = parameter.value({**_labels_of(known), **drawn}, tasks)
            yield from self._branches(index + 1, {**values, parameter.name: value}, {**picks, **drawn})

    def _all_tasks(self) -> list[str]:
        """The tasks of all mixtures, in the order they are first named."""
        mixtures = [p.values for p in self.parameters if p.name == MIXTURE and isinstance(p, Choice)]
        offered = mixtures[0] if mixtures else (mixture_of(self.fixed),)
        return list(dict.fromkeys(task for value in offered for task in value))

    def to_dict(self) -> dict[str, Any]:
        """What decides the configurations a search can meet, as JSON values."""
        conditions = {
            p.name: {"when": {name: list(allowed) for name, allowed in p.when.items()}} for p in self.parameters if p.when
        }
        search = {p.name: p.to_dict() | conditions.get(p.name, {}) for p in self.parameters}
        return {"name": self.name, "fixed": dict(self.fixed), "search": search}


def _labels_of(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """The labels that a parameter which follows another reads."""
    return {name: label(value) for name, value in values.items()}


def _misfit(mixture: Sequence[str], tasks: Sequence[str], required: Sequence[str]) -> str:
    """Why a mixture cannot be used; empty when it can."""
    absent = [task for task in mixture if task not in tasks]
    if absent:
        return f"there are no data for {', '.join(absent)}"
    missing = [task for task in required if task not in mixture]
    return f"it lacks {', '.join(missing)}, which the metric or a requirement needs" if missing else ""


def _without_unreachable(parameters: Sequence[Parameter], narrowed: Choice) -> list[Parameter]:
    """Drop what depends on choices that `narrowed` no longer has, and what depends on that."""
    kept: list[Parameter] = []
    for parameter in parameters:
        when = dict(parameter.when)
        if narrowed.name in when:
            when[narrowed.name] = tuple(allowed for allowed in when[narrowed.name] if allowed in narrowed.labels)
        if all(when.values()) and set(when) <= {other.name for other in kept}:
            kept.append(parameter.model_copy(update={"when": when}))
    return kept


def _grid_problems(parameter: Parameter, tasks: Sequence[str], limit: int) -> list[str]:
    problems = []
    for count in map(n_points, parameter.distributions(tasks).values()):
        if count is None:
            return [f"{parameter.name} is continuous; the sampler grid needs a choice, an int, or a float with `step`"]
        if count > limit:
            problems.append(f"{parameter.name} has {count} values; a grid has at most {limit} points; give it a `step`")
    return problems
