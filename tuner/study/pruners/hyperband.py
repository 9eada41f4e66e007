"""Hyperband (Li et al. 2018): brackets of successive halving that begin at different rungs."""

from optuna.pruners import HyperbandPruner

from tuner.study.pruners.base import Pruner, Schedule


def _make(schedule: Schedule) -> HyperbandPruner:
    return HyperbandPruner(min_resource=schedule.first_rung, max_resource=schedule.n_evaluations, reduction_factor=2)


PRUNER = Pruner("`asha` in several brackets, which begin at different rungs", _make)
