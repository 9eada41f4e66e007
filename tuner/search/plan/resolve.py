"""Values of a plan, from the command line, else from the space, else the default. Functions raise `ConfigError`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from cluster.shape import GangShape
from model.config import ConfigError, TrialConfig, nearest
from model.data.source import DataSummary
from model.tasks import TASKS
from tuner.config.budget import Budget, seconds_of
from tuner.config.options import FILE_NAME, Options
from tuner.search.confirmation.finalists import N_ON_CPU, N_ON_GPU, Confirmation, confirmation_for
from tuner.search.warm_start import earlier
from tuner.search.warm_start.earlier import Source
from tuner.space import Space
from tuner.space import load as load_space
from tuner.study import PRUNERS, SAMPLERS

MANY_EXAMPLES = 1000
"""Examples of a task in an early evaluation from which on `asha` is used. With 64, the noise of a score is 0.026, and asha then
stops good trials (docs/log.md)."""
DEFAULT_TRIALS = 20


@dataclass(frozen=True)
class Choices:
    """Sampler, pruner and number of trials."""

    sampler: str
    pruner: str | None
    """None where neither options nor space name one: then `default_pruner` chooses it."""
    n_trials: int


def named_by(options: Options) -> dict[str, str | None]:
    """Sampler and pruner of the command line, checked against the registries."""
    names = {"sampler": list(SAMPLERS), "pruner": list(PRUNERS)}
    given: dict[str, str | None] = {name: getattr(options, name) for name in names}
    problems = [
        f"--{name} {value}{nearest(value, names[name])}: choose one of {', '.join(names[name])}"
        for name, value in given.items()
        if value is not None and value not in names[name]
    ]
    if problems:
        raise ConfigError(problems)
    return given


def choices_of(options: Options, named: dict[str, str | None], space: Space) -> Choices:
    """The choices, where `named` are sampler and pruner of the command line."""
    return Choices(
        sampler=named["sampler"] or space.options.get("sampler") or "tpe",
        pruner=named["pruner"] or space.options.get("pruner"),
        n_trials=options.trials or space.options.get("trials") or DEFAULT_TRIALS,
    )


def run_dir_of(options: Options) -> Path:
    """The run's folder, which must exist for `--resume` only."""
    runs = Path(options.runs_dir).expanduser().absolute()
    if options.resume is not None:
        return runs / options.resume
    space = re.sub(r"[^\w.-]+", "-", Path(options.space).stem).strip(".-")
    name = options.name or f"{space}-{datetime.now():%Y%m%d-%H%M%S}"
    if not all(part.isalnum() or part in "._-" for part in name) or name.startswith("."):
        raise ConfigError([f"--name {name}: use letters, digits, dots, dashes and underscores"])
    folder = runs / name
    if folder.exists():
        fix = f"--resume {name} goes on with it" if (folder / FILE_NAME).is_file() else "it is no run"
        raise ConfigError([f"--name {name}: {folder} exists already ({fix}); give another name"])
    return folder


def wanted_tasks(options: Options) -> tuple[str, ...]:
    """The tasks of `--tasks`, else all."""
    if options.tasks is None:
        return tuple(TASKS)
    names = tuple(name.strip() for name in options.tasks.split(",") if name.strip())
    if not names or any(name not in TASKS for name in names):
        raise ConfigError([f"--tasks {options.tasks}: name one or more of {', '.join(TASKS)}, parted by commas"])
    return names


def budget_of(options: Options) -> Budget:
    """What ends the search besides its number of trials."""
    time_s = None if options.time_budget is None else seconds_of(options.time_budget)
    return Budget(time_s, options.gpu_hours, options.target)


def sources_of(options: Options, run_dir: Path, choices: Choices, tracking_uri: str) -> tuple[Source, ...]:
    """The sources of `--warm-start`; a resumed run has a copy of them in its folder."""
    if not options.warm_start:
        return ()
    if choices.sampler == "grid":
        raise ConfigError(["--warm-start with the sampler grid: a grid tries every point anyway; use another sampler"])
    kept = earlier.load(run_dir) if options.resume is not None else None
    return kept if kept is not None else earlier.read_all(options.warm_start, run_dir.parent, tracking_uri)


def confirmation_of(options: Options, space: Space, shape: GangShape, n_trials: int) -> Confirmation | None:
    """The confirmation, with at most as many finalists as trials; None where none is wanted."""
    usual = N_ON_GPU if shape.gpus_per_worker else N_ON_CPU
    n_finalists = options.finalists if options.finalists is not None else space.options.get("finalists", usual)
    n_seeds = options.seeds if options.seeds is not None else space.options.get("seeds", usual)
    return confirmation_for(space, options.seed, min(n_finalists, n_trials), n_seeds)


def shape_of(options: Options, space: Space, has_gpu: bool) -> GangShape:
    """The resources of a trial."""

    def chosen(name: str, default: float) -> float:
        given = getattr(options, name)
        return float(given if given is not None else space.options.get(name, default))

    gpus, n_workers = chosen("gpus_per_worker", 1.0 if has_gpu else 0.0), int(chosen("workers_per_trial", 1))
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise ConfigError([f"--gpus-per-worker {gpus:g}: give 0, a fraction below 1, or a whole number"])
    if 0 < gpus < 1 and n_workers > 1:
        raise ConfigError(
            [
                f"--gpus-per-worker {gpus:g} with {n_workers} workers: NCCL does not let two ranks of a trial share a GPU; "
                "use --workers-per-trial 1, or whole GPUs"
            ]
        )
    return GangShape(n_workers, int(chosen("cpus_per_worker", 1)), gpus, options.placement)


def space_of(options: Options, has_gpu: bool) -> Space:
    """The space under its profile, with `--set` and `--backbone` fixed."""
    usual = "gpu" if has_gpu else "laptop"
    profile = options.profile or (usual if usual in load_space(options.space).profiles else None)
    settings = dict(_setting(text) for text in options.settings)
    for unit, other in (("budget.epochs", "budget.examples"), ("budget.examples", "budget.epochs")):
        if settings.get(unit) is not None:
            settings.setdefault(other, None)  # a budget has one unit
    if options.backbone is not None:
        settings["backbone"] = options.backbone
    return load_space(options.space, profile).fix(settings)


def _setting(text: str) -> tuple[str, object]:
    """Name and value of a `--set NAME=VALUE`, the value in YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError([f"--set {text} is not NAME=VALUE, such as --set budget.examples=4000"])
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError([f"--set {text}: {value} cannot be read as a value"]) from None


def default_pruner(samples: tuple[TrialConfig, ...], summary: DataSummary) -> tuple[str, str]:
    """The pruner for trials like these samples of the space, and the reason as a sentence."""
    fewest = min(_early_examples(sample, summary) for sample in samples)
    if fewest >= MANY_EXAMPLES:
        seen = "all of select" if math.isinf(fewest) else f"{fewest:g} examples of a task or more"
        return "asha", f"pruner asha, because early evaluations see {seen}; --pruner names another"
    needed = f"asha needs {MANY_EXAMPLES} or all of select: set budget.early_eval_examples, or name a --pruner"
    return "median", f"pruner median, because early evaluations see {fewest:g} examples of a task; {needed}"


def _early_examples(sample: TrialConfig, summary: DataSummary) -> float:
    """Examples of a task in an early evaluation, the fewest over the tasks; infinite where it uses all of select."""
    limit = sample.budget.early_eval_examples or math.inf
    return min(limit if limit < summary.rows[task]["select"] else math.inf for task in sample.mixture)
