"""The samplers of `--sampler`. A new one is one function and one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, NSGAIISampler, QMCSampler, RandomSampler

from tuner.study.samplers.history import Remembered
from tuner.study.samplers.tpe import BoundedTPESampler
from tuner.study.samplers.warm_tpe import WarmTPESampler


@dataclass(frozen=True)
class Draws:
    """What a sampler is made from."""

    seed: int
    n_trials: int
    """Trials in total."""
    n_before: int
    """Trials that the study already has: a resumed search must not draw the same numbers again."""
    remembered: Sequence[Remembered] = ()
    """Earlier trials, for a sampler that can make use of them."""

    @property
    def fresh_seed(self) -> int:
        return self.seed + self.n_before

    @property
    def n_startup(self) -> int:
        """Trials before a sampler has a model: half of the search, 4 to 10."""
        return min(max(self.n_trials // 2, 4), 10)


def _tpe(draws: Draws) -> BaseSampler:
    # Parameters under the same conditions form a group, and each group is modelled jointly.
    options: dict[str, Any] = {"multivariate": True, "group": True, "constant_liar": True}
    options |= {"seed": draws.fresh_seed, "n_startup_trials": draws.n_startup}
    return WarmTPESampler(draws.remembered, **options) if draws.remembered else BoundedTPESampler(**options)


def _random(draws: Draws) -> BaseSampler:
    return RandomSampler(seed=draws.fresh_seed)


def _gp(draws: Draws) -> BaseSampler:
    # Conditional parameters are outside the process and drawn at random.
    return GPSampler(seed=draws.fresh_seed, n_startup_trials=draws.n_startup, warn_independent_sampling=False)


def _cmaes(draws: Draws) -> BaseSampler:
    # Choices and conditional parameters are outside CMA-ES and drawn at random.
    return CmaEsSampler(seed=draws.fresh_seed, n_startup_trials=draws.n_startup, warn_independent_sampling=False)


def _qmc(draws: Draws) -> BaseSampler:
    # The sequence goes on where the study left it, so it keeps its seed; the study stores the position.
    independent = RandomSampler(seed=draws.fresh_seed)
    return QMCSampler(seed=draws.seed, scramble=True, independent_sampler=independent, warn_independent_sampling=False)


def _nsga2(draws: Draws) -> BaseSampler:
    """Deb et al. 2002. A generation is as long as the random start of the others, so that a short search has some."""
    return NSGAIISampler(seed=draws.fresh_seed, population_size=max(draws.n_startup, 4))


WITHOUT_MODEL = ("random", "qmc", "grid")
"""Samplers that learn nothing from results: their draws stay what they are."""
REMEMBERING = ("tpe",)
"""Samplers that can be shown earlier trials."""
SINGLE_GOAL = ("cmaes",)
"""Samplers that cannot follow several goals."""
CONSTRAINED = ("tpe", "gp", "nsga2")
"""Samplers that prefer configurations which meet the requirements."""
SAMPLERS: dict[str, Callable[[Draws], BaseSampler]] = {
    "tpe": _tpe,
    "random": _random,
    "gp": _gp,
    "cmaes": _cmaes,
    "qmc": _qmc,
    "nsga2": _nsga2,
    "grid": _random,  # the study enqueues the points; only what a start configuration leaves open is drawn
}


def make_sampler(name: str, seed: int, n_trials: int, *, n_before: int, remembered: Sequence[Remembered] = ()) -> BaseSampler:
    """The sampler called `name`, seeded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[name](Draws(seed, n_trials, n_before, remembered))
