"""The pruners of `--pruner`, set for about ten evaluations per trial. A new one is one function and one line.

Optuna's step is the index of the evaluation, from 1; rungs.py decides what the other trials are at it. The last evaluation is
never put to a pruner.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)

from tuner.study.compute_pruners import (
    CurveOf,
    HalvingAtCompute,
    HyperbandAtCompute,
    PercentileAtCompute,
    WilcoxonAtCompute,
)
from tuner.study.ladder import Ladder
from tuner.study.pareto_pruners import ParetoHalving, ParetoPercentile
from tuner.study.peers import Peers
from tuner.study.running_pruners import RunningHalving, RunningHyperband, RunningPercentile, RunningWilcoxon

REDUCTION_FACTOR = 2
"""η: one in so many goes on from a rung of `asha`."""


@dataclass(frozen=True)
class Kinds:
    """What pruners are made with; the parameters are those of Optuna's classes."""

    percentile: Callable[..., PercentilePruner]
    halving: Callable[..., SuccessiveHalvingPruner]
    hyperband: Callable[..., HyperbandPruner]
    wilcoxon: Callable[..., WilcoxonPruner]


RUNNING = Kinds(RunningPercentile, RunningHalving, RunningHyperband, RunningWilcoxon)
"""Trials meet at equal steps."""


def at_compute(curve_of: CurveOf) -> Kinds:
    """Trials meet at equal compute."""
    return Kinds(
        partial(PercentileAtCompute, curve_of=curve_of),
        partial(HalvingAtCompute, curve_of=curve_of),
        partial(HyperbandAtCompute, curve_of=curve_of),
        partial(WilcoxonAtCompute, curve_of=curve_of),
    )


@dataclass(frozen=True)
class Races:
    """What a pruner is made from."""

    n_trials: int
    n_evaluations: int
    """Evaluations per trial."""
    kinds: Kinds = RUNNING

    @property
    def n_startup(self) -> int:
        """Complete trials before any is judged: a quarter of the search, 2 to 5."""
        return min(max(self.n_trials // 4, 2), 5)

    @property
    def n_unjudged(self) -> int:
        """First evaluations that say too little to judge by: a fifth, two of ten."""
        return self.n_evaluations // 5

    @property
    def first_rung(self) -> int:
        """Evaluation at which halving begins: the second of ten, then the fourth and the eighth."""
        return max(1, self.n_evaluations // 5)


def _median(races: Races) -> BasePruner:
    return races.kinds.percentile(50.0, n_startup_trials=races.n_startup, n_warmup_steps=races.n_unjudged + 1)


def _percentile(races: Races) -> BasePruner:
    """Goes on with the best quarter."""
    return races.kinds.percentile(25.0, n_startup_trials=races.n_startup, n_warmup_steps=races.n_unjudged + 1)


def _asha(races: Races) -> BasePruner:
    return races.kinds.halving(min_resource=races.first_rung, reduction_factor=REDUCTION_FACTOR)


def _by_the_ladder(races: Races) -> BasePruner:
    """Optuna judges nothing: the ladder does (ladder.py)."""
    return NopPruner()


def _hyperband(races: Races) -> BasePruner:
    return races.kinds.hyperband(min_resource=races.first_rung, max_resource=races.n_evaluations, reduction_factor=2)


def _wilcoxon(races: Races) -> BasePruner:
    """Compares the evaluations, pair by pair, with the best trial's."""
    return races.kinds.wilcoxon(n_startup_steps=races.n_unjudged + 1)


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


def make_ladder(n_trials: int, n_evaluations: int, tolerance: float) -> Ladder:
    """The ladder of `asha-promote`: the rungs and the η of `asha`. `tolerance`: computes this near are equal."""
    return Ladder(Races(n_trials, n_evaluations).first_rung, REDUCTION_FACTOR, tolerance)


def make_pruner(name: str, n_trials: int, n_evaluations: int, kinds: Kinds = RUNNING) -> BasePruner:
    """The pruner called `name`, for one goal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PRUNERS[name](Races(n_trials, n_evaluations, kinds))


def _pareto_median(races: Races, peers: Peers) -> BasePruner:
    return ParetoPercentile(50.0, races.n_startup, races.n_unjudged + 1, peers)


def _pareto_percentile(races: Races, peers: Peers) -> BasePruner:
    return ParetoPercentile(25.0, races.n_startup, races.n_unjudged + 1, peers)


def _pareto_asha(races: Races, peers: Peers) -> BasePruner:
    return ParetoHalving(races.first_rung, REDUCTION_FACTOR, peers)


PARETO_PRUNERS: dict[str, Callable[[Races, Peers], BasePruner]] = {
    "median": _pareto_median,
    "percentile": _pareto_percentile,
    "asha": _pareto_asha,
    "asha-promote": lambda races, peers: NopPruner(),
    "none": lambda races, peers: NopPruner(),
}
"""Those that can judge by Pareto rank, with the settings that they have under one goal. The others compare single values."""


def make_pareto_pruner(name: str, n_trials: int, n_evaluations: int, peers: Peers) -> BasePruner:
    """The pruner called `name` for several goals, or for one and requirements."""
    return PARETO_PRUNERS[name](Races(n_trials, n_evaluations), peers)
