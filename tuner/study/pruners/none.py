"""No pruning: every trial is trained to its end."""

from optuna.pruners import NopPruner

from tuner.study.pruners.base import Pruner

PRUNER = Pruner("stops no trial", lambda schedule: NopPruner(), lambda schedule, goal_vectors: NopPruner())
