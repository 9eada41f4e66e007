"""The policies that `python -m benchmarks.policies --curves` can judge, by name.

`SAMPLER+PRUNER` is a study of the project, `stock Ray` is Ray's OptunaSearch and ASHAScheduler, `Syne Tune ASHA` and `Syne Tune
MOBSTER` are that package's (simulated_syne_tune.py says how to install it). After a comma:
`start` tries the set's untuned default first; `default` makes draws around it too, as a search does; `wrong` does so around the
worst recorded configuration, with confidence 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from benchmarks import simulated_syne_tune
from benchmarks.curves import N_EVALUATIONS, RecordedSpace, RecordedWorld
from benchmarks.simulated_stock_ray import StockRay
from benchmarks.variants import PRUNER_VARIANTS, SAMPLER_VARIANTS
from model.config import ConfigError, nearest
from tuner.commands.simulate.clock import Charges, Decisions
from tuner.commands.simulate.compare import ASK_S
from tuner.space import Space
from tuner.space.starts import DEFAULT_CONFIDENCE
from tuner.study import PRUNERS, SAMPLERS, Study

STOCK_RAY = "stock Ray"
OPTIONS = ("default", "start", "wrong")
NO_LIMIT = 10**6
"""Trials that a policy may ask for: it goes on until time is up."""


@dataclass(frozen=True)
class CurvePolicy:
    """A policy as its name says."""

    name: str
    plain: str
    """The name without options."""
    option: str | None

    @property
    def charges(self) -> Charges:
        ask_s, growth_s = ASK_S.get(self.plain.partition("+")[0], ASK_S["tpe"])
        return replace(Charges(), ask_s=ask_s, ask_growth_s=growth_s)

    def open(self, world: RecordedWorld, seed: int, n_trials: int) -> Decisions:
        """A new search, with the defaults of a search of `n_trials`, which asks for as many trials as there is time for."""
        recorded = self._space(world)
        space = cast(Space, recorded)
        if self.plain == STOCK_RAY:
            return StockRay(space, world.objective, NO_LIMIT, N_EVALUATIONS, seed)
        if self.plain in simulated_syne_tune.NAMES:
            return simulated_syne_tune.SyneTune(self.plain, recorded, world.objective, N_EVALUATIONS, seed)
        sampler, _, pruner = self.plain.partition("+")
        study = Study(
            "memory:", "simulated", space, world.objective, sampler, pruner, seed, n_trials, N_EVALUATIONS
        )  # fmt: skip
        study.budget.total = NO_LIMIT
        return study

    def _space(self, world: RecordedWorld) -> RecordedSpace:
        if self.option is None:
            return world.space
        start = world.worst if self.option == "wrong" else world.default
        return world.starting_at(start, {"start": 0.0, "default": DEFAULT_CONFIDENCE, "wrong": 1.0}[self.option])


def parse(name: str) -> CurvePolicy:
    """The policy of this name. Raises `ConfigError`."""
    plain, *options = (part.strip() for part in name.split(","))
    problems = [f"unknown option {option} of {name}; the options are {', '.join(OPTIONS)}" for option in options
                if option not in OPTIONS]  # fmt: skip
    if plain in simulated_syne_tune.NAMES:
        problems += [] if simulated_syne_tune.is_installed() else [simulated_syne_tune.NOT_INSTALLED]
    elif plain != STOCK_RAY:
        problems += _study_problems(plain)
    if problems:
        raise ConfigError(problems)
    return CurvePolicy(name, plain, options[0] if options else None)


def _study_problems(plain: str) -> list[str]:
    sampler, plus, pruner = plain.partition("+")
    if not plus:
        others = ", ".join([STOCK_RAY, *simulated_syne_tune.NAMES])
        return [f"unknown policy {plain}; give SAMPLER+PRUNER, such as tpe+median, or one of {others}"]
    samplers, pruners = [*SAMPLERS, *SAMPLER_VARIANTS], [*PRUNERS, *PRUNER_VARIANTS]
    problems = []
    if sampler not in samplers:
        problems.append(f"unknown sampler {sampler}{nearest(sampler, samplers)}; see benchmarks/variants.py")
    if pruner not in pruners:
        problems.append(f"unknown pruner {pruner}{nearest(pruner, pruners)}; see benchmarks/variants.py")
    return problems
