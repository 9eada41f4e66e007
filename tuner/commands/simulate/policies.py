"""Policies of the project: a sampler and a pruner over the real study, kept in memory."""

from __future__ import annotations

from dataclasses import replace

from model.config import ConfigError
from tuner.commands.simulate.clock import Charges, Decisions
from tuner.commands.simulate.compare import Policy
from tuner.commands.simulate.world import World
from tuner.config.objective import Objective
from tuner.space import Space
from tuner.study import Study

NO_LIMIT = 10**6
"""Full trials that a simulated search may use: it ends when its time is up. Its settings are those of `n_trials`."""
ASK_S = {"random": (0.01, 0.0), "qmc": (0.01, 0.0), "grid": (0.01, 0.0), "tpe": (0.02, 0.0), "gp": (0.3, 0.002)}
"""The driver's seconds per ask, and what each trial in the study adds, on two cores; `tpe`'s for what is not named."""


def study_policy(
    text: str, space: Space, objective: Objective, n_trials: int, n_evaluations: int, charges: Charges, storage: str = "memory:"
) -> Policy:
    """The policy called `SAMPLER+PRUNER`. Raises `ConfigError` when it has another form; `Study` checks the names."""
    sampler, plus, pruner = text.partition("+")
    if not (sampler and plus and pruner):
        raise ConfigError([f"--policy {text} is not SAMPLER+PRUNER, such as tpe+median"])

    def opened(world: World, seed: int) -> Decisions:
        study = Study(storage, "simulated", space, objective, sampler, pruner, seed, n_trials, n_evaluations)
        study.budget.total = NO_LIMIT
        return study

    ask_s, growth_s = ASK_S.get(sampler, ASK_S["tpe"])
    return Policy(text, opened, replace(charges, ask_s=ask_s, ask_growth_s=growth_s))
