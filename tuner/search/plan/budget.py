"""What ends a search besides its number of trials, and what its hours cost."""

from __future__ import annotations

from cluster.shape import GangShape
from model.config import ConfigError
from tuner.config.budget import CUT, Budget, seconds_of
from tuner.config.objective import Objective
from tuner.config.options import Options


def budget_of(options: Options) -> Budget:
    return Budget(
        time_s=None if options.time_budget is None else seconds_of(options.time_budget),
        gpu_hours=options.gpu_hours,
        cpu_hours=options.cpu_hours,
        target=options.target,
        on_end=CUT if options.on_budget is None else options.on_budget,
    )


def check_budget(budget: Budget, shape: GangShape) -> None:
    problems = budget.problems(shape)
    if problems:
        raise ConfigError(problems)


def check_price(options: Options, shape: GangShape) -> None:
    if options.price_per_gpu_hour is not None and not shape.gpus_per_worker:
        raise ConfigError(
            [
                f"--price-per-gpu-hour {options.price_per_gpu_hour:g}: the trials have no GPU ({shape.describe()}); leave "
                "it out, or give them GPUs with --gpus-per-worker"
            ]
        )


def check_target(budget: Budget, objective: Objective) -> None:
    if budget.target is not None and len(objective.goals) > 1:
        raise ConfigError(
            [f"--target {budget.target:g} is a score of one goal, and --metric {objective.name} names several: leave it out"]
        )
