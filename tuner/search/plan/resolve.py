"""Sampler, pruner and number of trials: the command line's, else the space's, else the default."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from cluster.shape import PLACEMENTS, SPREAD, GangShape
from model.config import ConfigError, TrialConfig, nearest
from model.data.source import DataSummary
from tuner.config.options import Options
from tuner.config.requirements import Requirements
from tuner.search.confirmation.finalists import N_ON_CPU, N_ON_GPU, Confirmation, confirmation_for
from tuner.search.controls.control import Control, controls
from tuner.search.plan.samples import check_samples, tasks_of
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
    """The command line's, else the space's, else the default."""

    sampler: str
    pruner: str | None
    """None where neither names one: it follows from the size of early evaluations (pruner.py)."""
    n_trials: int


def named_by(options: Options) -> dict[str, str | None]:
    """Sampler and pruner as the command line names them."""
    valid = {"sampler": list(SAMPLERS), "pruner": list(PRUNERS)}
    given = {name: getattr(options, name) for name in valid}
    problems = [
        f"--{name.replace('_', '-')} {given[name]}{nearest(given[name], names)}: choose one of {', '.join(names)}"
        for name, names in valid.items()
        if given[name] is not None and given[name] not in names
    ]
    if problems:
        raise ConfigError(problems)
    return given


def choices_of(options: Options, named: dict[str, str | None], space: Space) -> Choices:
    return Choices(
        sampler=named["sampler"] or space.options.get("sampler") or "tpe",
        pruner=named["pruner"] or space.options.get("pruner"),
        n_trials=options.trials or space.options.get("trials") or DEFAULT_TRIALS,
    )


def sources_of(options: Options, run_dir: Path, choices: Choices, tracking_uri: str) -> tuple[Source, ...]:
    """The sources of `--warm-start`; those of a run that is gone on with are in its folder."""
    if not options.warm_start:
        return ()
    if choices.sampler == "grid":
        raise ConfigError(["--warm-start with the sampler grid: a grid tries every point anyway; use another sampler"])
    kept = earlier.load(run_dir) if options.resume is not None else None
    return kept if kept is not None else earlier.read_all(options.warm_start, run_dir.parent, tracking_uri)


def controls_of(
    options: Options,
    requirements: Requirements,
    space: Space,
    samples: tuple[TrialConfig, ...],
    summary: DataSummary,
    shape: GangShape,
) -> tuple[Control, ...]:
    if requirements.transfer is None:
        return ()
    return controls(space, tasks_of(samples), options.seed, summary, shape.n_workers)


def confirmation_of(
    options: Options, space: Space, summary: DataSummary, shape: GangShape, *, n_trials: int
) -> Confirmation | None:
    """The finalists, as many as there can be trials; a default that cannot run on these data is none."""
    usual = N_ON_GPU if shape.gpus_per_worker else N_ON_CPU
    n_finalists = options.finalists if options.finalists is not None else space.options.get("finalists", usual)
    n_seeds = options.seeds if options.seeds is not None else space.options.get("seeds", usual)
    found = confirmation_for(space, options.seed, min(n_finalists, n_trials), n_seeds)
    if found is None or found.default is None:
        return found
    try:
        check_samples((found.default,), summary, shape)
    except ConfigError as error:
        return replace(found, default=None, without_default="; ".join(error.problems))
    return found


def shape_of(options: Options, space: Space, has_gpu: bool) -> GangShape:
    """What a trial asks for. Raises `ConfigError` when that cannot be."""

    def chosen(name: str, default: float) -> float:
        given = getattr(options, name)
        return float(given if given is not None else space.options.get(name, default))

    shape = GangShape(
        n_workers=int(chosen("workers_per_trial", 1)),
        cpus_per_worker=int(chosen("cpus_per_worker", 1)),
        gpus_per_worker=chosen("gpus_per_worker", 1.0 if has_gpu else 0.0),
        placement=options.placement,
    )
    _check_gpus(shape)
    return shape


def _check_gpus(shape: GangShape) -> None:
    gpus = shape.gpus_per_worker
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise ConfigError([f"--gpus-per-worker {gpus:g}: give 0, a fraction below 1, or a whole number"])
    if 0 < gpus < 1 and shape.n_workers > 1:
        raise ConfigError(
            [
                f"--gpus-per-worker {gpus:g} with {shape.n_workers} workers: NCCL does not let two ranks of a trial share a "
                "GPU; use --workers-per-trial 1, or whole GPUs"
            ]
        )


def check_placement(options: Options) -> None:
    if options.placement not in PLACEMENTS:
        given = f"--placement {options.placement}{nearest(options.placement, list(PLACEMENTS))}"
        raise ConfigError([f"{given}: choose one of {', '.join(PLACEMENTS)}"])
    if options.placement == SPREAD and options.storage_path is None:
        raise ConfigError(
            [
                "--placement spread leaves parts of a trial's checkpoints on several nodes; give --storage-path, a folder "
                "that all nodes share or a URL such as s3://bucket/folder"
            ]
        )


def space_of(options: Options, has_gpu: bool) -> Space:
    """The space under its profile, with `--set` and `--backbone` fixed."""
    usual = "gpu" if has_gpu else "laptop"
    profile = options.profile or (usual if usual in load_space(options.space).profiles else None)
    settings = dict(_setting(text) for text in options.settings)
    for unit, other in (("budget.epochs", "budget.examples"), ("budget.examples", "budget.epochs")):
        if settings.get(unit) is not None:
            settings.setdefault(other, None)  # one budget takes the place of the other
    if options.backbone is not None:
        settings["backbone"] = options.backbone
    return load_space(options.space, profile).fix(settings)


def _setting(text: str) -> tuple[str, object]:
    """Name and value of a `--set NAME=VALUE`; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError([f"--set {text} is not NAME=VALUE, such as --set budget.examples=4000"])
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError([f"--set {text}: {value} cannot be read as a value"]) from None


def default_pruner(samples: tuple[TrialConfig, ...], summary: DataSummary) -> tuple[str, str]:
    """The pruner for trials like these samples of the space, and the reason as a sentence of the plan."""
    fewest = min(_early_examples(sample, summary) for sample in samples)
    if fewest >= MANY_EXAMPLES:
        seen = "all of select" if math.isinf(fewest) else f"{fewest:g} examples of a task or more"
        return "asha", f"pruner asha, because early evaluations see {seen}; --pruner names another"
    needed = f"asha needs {MANY_EXAMPLES} or all of select: set budget.early_eval_examples, or name a --pruner"
    return "median", f"pruner median, because early evaluations see {fewest:g} examples of a task; {needed}"


def _early_examples(sample: TrialConfig, summary: DataSummary) -> float:
    """Examples of a task that an early evaluation sees, the fewest over the tasks; infinite where it sees all of select."""
    limit = sample.budget.early_eval_examples or math.inf
    return min(limit if limit < summary.rows[task]["select"] else math.inf for task in sample.mixture)
