"""Pruning by Wilcoxon's signed-rank test of a trial's evaluations against the best trial's, pair by pair."""

from optuna.pruners import WilcoxonPruner

from tuner.study.pruners.base import Pruner

PRUNER = Pruner(
    "stops a trial whose evaluations are significantly below the best trial's, pair by pair",
    lambda schedule: WilcoxonPruner(n_startup_steps=schedule.n_warmup),
)
