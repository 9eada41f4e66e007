"""What the search is for, its metric and its requirements, and whether all that takes part can follow them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig
from model.tasks import TASKS
from tuner.artifacts import store as stores
from tuner.artifacts.store import Store
from tuner.config.budget import Budget, seconds_of
from tuner.config.objective import MEAN, Objective
from tuner.config.options import FILE_NAME, Options, problems_of
from tuner.config.requirements import Requirements
from tuner.search.plan.resolve import Choices
from tuner.space import Space
from tuner.study import SAMPLERS, probe, pruner_problems


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
    if len(objective.goals) > 1 and not SAMPLERS[sampler].several_goals:
        able = ", ".join(name for name, entry in SAMPLERS.items() if entry.several_goals)
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


def check_options(options: Options) -> None:
    """The numbers of the command line, and options that exclude each other."""
    problems = problems_of(options)
    if problems:
        raise ConfigError(problems)


def run_dir_of(options: Options) -> Path:
    runs = Path(options.runs_dir).expanduser().absolute()
    if options.resume is not None:
        return runs / options.resume
    name = options.name or f"{Path(options.space).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    if not all(part.isalnum() or part in "._-" for part in name) or name.startswith("."):
        raise ConfigError([f"--name {name}: use letters, digits, dots, dashes and underscores"])
    folder = runs / name
    if folder.exists():
        mend = f"--resume {name} goes on with it" if (folder / FILE_NAME).is_file() else "it is no run"
        raise ConfigError([f"--name {name}: {folder} exists already ({mend}); give another name"])
    return folder


def wanted_tasks(options: Options) -> tuple[str, ...]:
    if options.tasks is None:
        return tuple(TASKS)
    names = tuple(name.strip() for name in options.tasks.split(",") if name.strip())
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names:
        raise ConfigError([f"--tasks {options.tasks}: name one or more of {', '.join(TASKS)}, parted by commas"])
    return names


def probe_storage(options: Options, storage: str) -> None:
    """Whether the storage that was asked for can be used; the run's own is in a folder that is not there yet."""
    if options.storage is not None:
        probe(storage)


def store_of(options: Options) -> Store | None:
    return None if options.storage_path is None else stores.checked(options.storage_path)


def budget_of(options: Options) -> Budget:
    return Budget(
        time_s=None if options.time_budget is None else seconds_of(options.time_budget),
        gpu_hours=options.gpu_hours,
        target=options.target,
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
