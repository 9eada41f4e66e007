"""The pruners of `--pruner`, set for about ten evaluations per trial. A new one is one function and one line.

Optuna's step is the index of the evaluation, from 1: trials are compared at the same share of their own schedule, where their
learning rates have decayed alike. The last evaluation is never put to a pruner.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)

from tuner.study.pruners.pareto import ParetoHalving, ParetoPercentile, VectorsOf
from tuner.study.pruners.promotion import Ladder

REDUCTION_FACTOR = 2
"""η: one in so many goes on from a rung of `asha`. With the first rung at a tenth it is level with stock Ray (η = 4) on four of
the five recorded sets, and ahead of it where early scores mislead (docs/log.md)."""
N_STARTUP = 2
"""Complete trials before `median` and `percentile` judge any; on the recorded sets better than 5 (docs/log.md)."""


@dataclass(frozen=True)
class Races:
    """What a pruner is made from."""

    n_evaluations: int
    """Evaluations per trial."""

    @property
    def n_unjudged(self) -> int:
        """First evaluations that say too little to judge by: a fifth, two of ten."""
        return self.n_evaluations // 5

    @property
    def first_rung(self) -> int:
        """Evaluation at which halving begins: the first of ten, then the second, the fourth and the eighth."""
        return max(1, self.n_evaluations // 10)


def _median(races: Races) -> BasePruner:
    return PercentilePruner(50.0, n_startup_trials=N_STARTUP, n_warmup_steps=races.n_unjudged + 1)


def _percentile(races: Races) -> BasePruner:
    """Goes on with the best quarter."""
    return PercentilePruner(25.0, n_startup_trials=N_STARTUP, n_warmup_steps=races.n_unjudged + 1)


def _asha(races: Races) -> BasePruner:
    return SuccessiveHalvingPruner(min_resource=races.first_rung, reduction_factor=REDUCTION_FACTOR)


def _by_the_ladder(races: Races) -> BasePruner:
    """Optuna judges nothing: the ladder does (ladder.py)."""
    return NopPruner()


def _hyperband(races: Races) -> BasePruner:
    return HyperbandPruner(min_resource=races.first_rung, max_resource=races.n_evaluations, reduction_factor=2)


def _wilcoxon(races: Races) -> BasePruner:
    """Compares the evaluations, pair by pair, with the best trial's."""
    return WilcoxonPruner(n_startup_steps=races.n_unjudged + 1)


def _none(races: Races) -> BasePruner:
    return NopPruner()


PRUNERS: dict[str, Callable[[Races], BasePruner]] = {
    "median": _median,
    "percentile": _percentile,
    "asha": _asha,
    "asha-promote": _by_the_ladder,
    "hyperband": _hyperband,
    "wilcoxon": _wilcoxon,
    "none": _none,
}


PROMOTING = ("asha-promote",)
"""Those that pause a trial, and promote it when others have made room."""


def make_ladder(n_evaluations: int) -> Ladder:
    """The ladder of `asha-promote`: the rungs and the η of `asha`."""
    return Ladder(Races(n_evaluations).first_rung, REDUCTION_FACTOR)


def make_pruner(name: str, n_evaluations: int) -> BasePruner:
    """The pruner called `name`, for one goal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PRUNERS[name](Races(n_evaluations))


def _pareto_median(races: Races, vectors_of: VectorsOf) -> BasePruner:
    return ParetoPercentile(50.0, N_STARTUP, races.n_unjudged + 1, vectors_of)


def _pareto_percentile(races: Races, vectors_of: VectorsOf) -> BasePruner:
    return ParetoPercentile(25.0, N_STARTUP, races.n_unjudged + 1, vectors_of)


def _pareto_asha(races: Races, vectors_of: VectorsOf) -> BasePruner:
    return ParetoHalving(races.first_rung, REDUCTION_FACTOR, vectors_of)


PARETO_PRUNERS: dict[str, Callable[[Races, VectorsOf], BasePruner]] = {
    "median": _pareto_median,
    "percentile": _pareto_percentile,
    "asha": _pareto_asha,
    "asha-promote": lambda races, vectors_of: NopPruner(),
    "none": lambda races, vectors_of: NopPruner(),
}
"""Those that can judge by Pareto rank, with the settings that they have under one goal. The others compare single values."""


def make_pareto_pruner(name: str, n_evaluations: int, vectors_of: VectorsOf) -> BasePruner:
    """The pruner called `name` for several goals, or for one and requirements."""
    return PARETO_PRUNERS[name](Races(n_evaluations), vectors_of)
