"""Pruners: Optuna's by name, and pruning for several goals and by promotion."""
