"""Samplers: Optuna's by name, with the draws around a space's start configurations."""
