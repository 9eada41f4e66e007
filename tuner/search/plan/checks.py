"""What the search is for, its metric and its requirements, and whether all that takes part can follow them."""

from __future__ import annotations

from model.config import ConfigError, TrialConfig
from tuner.config.objective import MEAN, Objective
from tuner.config.options import Options
from tuner.config.requirements import Requirements
from tuner.search.plan.resolve import Choices
from tuner.space import Space
from tuner.study import SAMPLERS, SINGLE_GOAL, pruner_problems


def objective_of(options: Options, space: Space, targets: tuple[str, ...]) -> Objective:
    """The metric; `mean` is taken over those of the space's targets that `--tasks` leaves."""
    name = options.metric or space.metric
    return Objective(name, targets if MEAN in name.split(",") else ())


def targets_of(space: Space, wanted: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(task for task in space.targets if task in wanted)


def restrict(
    space: Space, wanted: tuple[str, ...], objective: Objective, requirements: Requirements
) -> tuple[Space, list[str]]:
    """The space of the wanted tasks whose mixtures have what goals and requirements need, and what was left out."""
    required = dict.fromkeys((*objective.required_tasks, *requirements.required_tasks))
    return space.restrict(tasks=wanted, required=tuple(required))


def check_goals(objective: Objective, requirements: Requirements, choices: Choices) -> None:
    """Whether sampler and pruner can follow as many goals."""
    sampler = choices.sampler
    problems = pruner_problems(choices.pruner, objective, requirements) if choices.pruner else []
    if sampler in SINGLE_GOAL and len(objective.goals) > 1:
        able = ", ".join(name for name in SAMPLERS if name not in SINGLE_GOAL)
        problems.append(f"--sampler {sampler} follows one goal, and --metric {objective.name} names several: use one of {able}")
    if problems:
        raise ConfigError(problems)


def check_watched(objective: Objective, requirements: Requirements, samples: tuple[TrialConfig, ...]) -> None:
    """Whether every trial measures what goals and requirements are made from."""
    needs = {f"the metric {objective.name} needs": objective.watched, "--require needs": requirements.watched}
    given = "[" + ", ".join(dict.fromkeys((*samples[0].watch, *objective.watched, *requirements.watched))) + "]"
    problems = [
        f'{need} trials that watch {" and ".join(missing)}: --set "watch={given}"'
        for need, watched in needs.items()
        if (missing := [split for split in watched if any(split not in sample.watch for sample in samples)])
    ]
    if problems:
        raise ConfigError(problems)
