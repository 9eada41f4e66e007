"""Every option of a search, checked before anything starts, and all problems told at once.

A check is left out where what it needs has a problem of its own: whether the space's configurations fit data and gang is known
only when all else is sound.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import yaml

from cluster.shape import GangShape
from model import backbone, mixing
from model.config import ConfigError, TrialConfig, nearest, parse
from model.data.source import DataSource, DataSummary, inspect
from model.tasks import TASKS
from tuner.addresses import resolve_tracking_uri
from tuner.budget import CUT, Budget, seconds_of
from tuner.controls.control import Control, controls
from tuner.objective import MEAN, OWN_MEAN, Objective
from tuner.options import FILE_NAME, Options, storage_of
from tuner.requirements import Requirements
from tuner.space import Space, void_notes
from tuner.space import load as load_space
from tuner.study import CONSTRAINED, PRUNERS, REMEMBERING, RESOURCES, SAMPLERS, SINGLE_GOAL, pruner_problems
from tuner.warm_start import earlier
from tuner.warm_start.earlier import Source
from tuner.warm_start.select import WarmStart, select

SAMPLED_CONFIGS = 200
"""Random configurations on which the rules between settings, data and gang are tried."""
DEFAULT_TRIALS = 20
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """A search that can start."""

    options: Options
    run_dir: Path
    """Absolute; its last part is the search's name."""
    space: Space
    objective: Objective
    requirements: Requirements
    controls: tuple[Control, ...]
    """Tasks that are trained alone before the first trial; none without `no-negative-transfer`."""
    source: DataSource
    summary: DataSummary
    samples: tuple[TrialConfig, ...]
    """Random configurations of the space: what holds for all of them, and estimates."""
    n_trials: int
    sampler: str
    pruner: str
    rung_resource: str
    """What is equal where the pruner compares trials: `compute` or `steps`."""
    storage: str
    """Optuna's, `journal:PATH` or a URL."""
    tracking_uri: str
    shape: GangShape
    budget: Budget
    """What ends the search besides its number of trials."""
    warm_start: WarmStart | None
    """What is taken from earlier searches."""
    notes: tuple[str, ...]
    """What the user should know: mixtures and rows left out, searched settings that change nothing."""

    @property
    def name(self) -> str:
        return self.run_dir.name

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks of all mixtures: what is read and tokenised."""
        return _tasks_of(self.samples)

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms of a cue data set that any configuration watches."""
        return _arms_of(self.samples)

    @property
    def n_evaluations(self) -> int:
        return self.samples[0].budget.evaluations

    @property
    def resumed(self) -> bool:
        return self.options.resume is not None


@dataclass
class _Problems:
    """The sentences of everything that is wrong."""

    sentences: list[str] = field(default_factory=list)

    def attempt(self, step: Callable[..., T], *needs: object) -> T:
        """The value of `step(*needs)`.

        Where the step fails, its problems are kept, and where what it needs failed, it is left out. The value is None then,
        and must be used in other attempts alone before `raise_any`.
        """
        if any(need is None for need in needs):
            return cast(T, None)
        try:
            return step(*needs)
        except ConfigError as error:
            self.sentences.extend(error.problems)
            return cast(T, None)

    def raise_any(self) -> None:
        if self.sentences:
            raise ConfigError(list(dict.fromkeys(self.sentences)))


def make(options: Options, *, has_gpu: bool | None = None) -> Plan:
    """Check the options against each other and the data. Raises `ConfigError` with every problem; writes nothing."""
    has_gpu = shutil.which("nvidia-smi") is not None if has_gpu is None else has_gpu
    problems = _Problems()
    check = problems.attempt
    check(_check_numbers, options)
    source = check(DataSource.parse, options.data)
    whole = check(_load_space, options, has_gpu)
    run_dir = check(_run_dir, options)
    wanted = check(_wanted_tasks, options)
    budget = check(_budget, options)
    named = check(_named, options)
    shape = check(_shape, options, whole, has_gpu)
    choices = check(_choices, options, named, whole)
    targets = check(_targets, whole, wanted)
    objective = check(_objective, options, whole, targets)
    requirements = check(Requirements.parse, options.require, targets)
    check(_check_goals, objective, requirements, choices)
    check(_check_budget, budget, shape)
    check(_check_target, budget, objective)
    tracking_uri = check(_tracking_uri, options, run_dir)
    restricted = check(_restricted, whole, wanted, objective, requirements)
    samples = check(_samples, restricted)
    check(_check_uniform, samples)
    check(_check_watched, objective, requirements, samples)
    check(_check_backbone, samples)
    summary = check(_inspect, options, source, targets if samples is None else _tasks_of(samples), _arms_of(samples or ()))
    sources = check(_earlier, options, run_dir, choices, tracking_uri)
    problems.raise_any()

    space, left_out = restricted
    alone = _controls(options, requirements, space, samples, summary, shape)
    _check_samples((*samples, *(control.config for control in alone)), summary, shape)
    remembers = choices.sampler in REMEMBERING and len(objective.goals) == 1 and not requirements.texts
    history = partial(select, sources, space, objective, summary.sha256, choices.n_trials, remembers=remembers)
    warm_start = history() if sources else None
    return Plan(
        options=options,
        run_dir=run_dir,
        space=space,
        objective=objective,
        requirements=requirements,
        controls=alone,
        source=source,
        summary=summary,
        samples=samples,
        n_trials=min(choices.n_trials, space.n_grid) if choices.sampler == "grid" else choices.n_trials,
        sampler=choices.sampler,
        pruner=choices.pruner,
        rung_resource=choices.rung_resource,
        storage=storage_of(options, run_dir),
        tracking_uri=tracking_uri,
        shape=shape,
        budget=budget,
        warm_start=warm_start,
        notes=(
            *left_out,
            *_notes(objective, requirements, choices, samples, summary),
            *void_notes(space),
            *(warm_start.sentences() if warm_start else ()),
        ),
    )


def _notes(
    objective: Objective,
    requirements: Requirements,
    choices: _Choices,
    samples: tuple[TrialConfig, ...],
    summary: DataSummary,
) -> list[str]:
    """What the user should know of the metric, the sampler and the data."""
    notes = []
    if objective.name == OWN_MEAN and len({sample.mixture for sample in samples}) > 1:
        notes.append("the score is the mean over a trial's own tasks: it compares trials of the same mixture, no others")
    if requirements.texts and choices.sampler not in CONSTRAINED:
        notes.append(f"the sampler {choices.sampler} does not look at the requirements; {', '.join(CONSTRAINED)} do")
    return notes + [f"{task}: {count} bad row(s) left out" for task, count in summary.skipped.items() if count]


def _load_space(options: Options, has_gpu: bool) -> Space:
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


def _run_dir(options: Options) -> Path:
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


def _earlier(options: Options, run_dir: Path, choices: _Choices, tracking_uri: str) -> tuple[Source, ...]:
    """The sources of `--warm-start`; those of a run that is gone on with are in its folder."""
    if not options.warm_start:
        return ()
    if choices.sampler == "grid":
        raise ConfigError(["--warm-start with the sampler grid: a grid tries every point anyway; use another sampler"])
    kept = earlier.load(run_dir) if options.resume is not None else None
    return kept if kept is not None else earlier.read_all(options.warm_start, run_dir.parent, tracking_uri)


def _wanted_tasks(options: Options) -> tuple[str, ...]:
    if options.tasks is None:
        return tuple(TASKS)
    names = tuple(name.strip() for name in options.tasks.split(",") if name.strip())
    unknown = [name for name in names if name not in TASKS]
    if unknown or not names:
        raise ConfigError([f"--tasks {options.tasks}: name one or more of {', '.join(TASKS)}, parted by commas"])
    return names


def _check_numbers(options: Options) -> None:
    """The numbers of the command line, and options that exclude each other."""
    problems = []
    for name in ("trials", "workers_per_trial", "cpus_per_worker", "max_concurrent"):
        value = getattr(options, name)
        if value is not None and value < 1:
            problems.append(f"--{name.replace('_', '-')} {value}: give 1 or more")
    if not options.checkpoint_every >= 0:
        problems.append(f"--checkpoint-every {options.checkpoint_every:g}: give seconds, 0 or more")
    if not 0 <= options.seed < 2**31:
        problems.append(f"--seed {options.seed}: give a number from 0 to {2**31 - 1}")
    if options.quiet and options.json:
        problems.append("--quiet and --json exclude each other: leave one out")
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True)
class _Choices:
    """The command line's, else the space's, else the default."""

    sampler: str
    pruner: str
    rung_resource: str
    n_trials: int


def _named(options: Options) -> dict[str, str | None]:
    """Sampler, pruner and rung resource as the command line names them."""
    valid = {"sampler": list(SAMPLERS), "pruner": list(PRUNERS), "rung_resource": list(RESOURCES)}
    given = {name: getattr(options, name) for name in valid}
    problems = [
        f"--{name.replace('_', '-')} {given[name]}{nearest(given[name], names)}: choose one of {', '.join(names)}"
        for name, names in valid.items()
        if given[name] is not None and given[name] not in names
    ]
    if problems:
        raise ConfigError(problems)
    return given


def _choices(options: Options, named: dict[str, str | None], space: Space) -> _Choices:
    usual = {"sampler": "tpe", "pruner": "median", "rung_resource": "compute"}
    chosen = {name: named[name] or space.options.get(name) or usual[name] for name in usual}
    return _Choices(**chosen, n_trials=options.trials or space.options.get("trials") or DEFAULT_TRIALS)


def _budget(options: Options) -> Budget:
    return Budget(
        time_s=None if options.time_budget is None else seconds_of(options.time_budget),
        gpu_hours=options.gpu_hours,
        cpu_hours=options.cpu_hours,
        target=options.target,
        on_end=CUT if options.on_budget is None else options.on_budget,
    )


def _shape(options: Options, space: Space, has_gpu: bool) -> GangShape:
    """What a trial asks for. Raises `ConfigError` when that cannot be."""

    def chosen(name: str, default: float) -> float:
        given = getattr(options, name)
        return float(given if given is not None else space.options.get(name, default))

    shape = GangShape(
        n_workers=int(chosen("workers_per_trial", 1)),
        cpus_per_worker=int(chosen("cpus_per_worker", 1)),
        gpus_per_worker=chosen("gpus_per_worker", 1.0 if has_gpu else 0.0),
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


def _objective(options: Options, space: Space, targets: tuple[str, ...]) -> Objective:
    """The metric; `mean` is taken over those of the space's targets that `--tasks` leaves."""
    name = options.metric or space.metric
    return Objective(name, targets if MEAN in name.split(",") else ())


def _targets(space: Space, wanted: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(task for task in space.targets if task in wanted)


def _check_goals(objective: Objective, requirements: Requirements, choices: _Choices) -> None:
    """Whether sampler and pruner can follow as many goals."""
    sampler = choices.sampler
    problems = pruner_problems(choices.pruner, objective, requirements)
    if sampler in SINGLE_GOAL and len(objective.goals) > 1:
        able = ", ".join(name for name in SAMPLERS if name not in SINGLE_GOAL)
        problems.append(f"--sampler {sampler} follows one goal, and --metric {objective.name} names several: use one of {able}")
    if problems:
        raise ConfigError(problems)


def _check_budget(budget: Budget, shape: GangShape) -> None:
    problems = budget.problems(shape)
    if problems:
        raise ConfigError(problems)


def _check_target(budget: Budget, objective: Objective) -> None:
    if budget.target is not None and len(objective.goals) > 1:
        raise ConfigError(
            [f"--target {budget.target:g} is a score of one goal, and --metric {objective.name} names several: leave it out"]
        )


def _tracking_uri(options: Options, run_dir: Path) -> str:
    return resolve_tracking_uri(options.tracking_uri, run_dir)


def _restricted(
    space: Space, wanted: tuple[str, ...], objective: Objective, requirements: Requirements
) -> tuple[Space, list[str]]:
    """The space of the wanted tasks whose mixtures have what goals and requirements need, and what was left out."""
    required = dict.fromkeys((*objective.required_tasks, *requirements.required_tasks))
    return space.restrict(tasks=wanted, required=tuple(required))


def _inspect(options: Options, source: DataSource, tasks: tuple[str, ...], arms: tuple[str, ...]) -> DataSummary:
    """Read all data of these tasks, and count them."""
    return inspect(source, tasks, skip_bad_rows=options.skip_bad_rows, arms=arms)


def _controls(
    options: Options,
    requirements: Requirements,
    space: Space,
    samples: tuple[TrialConfig, ...],
    summary: DataSummary,
    shape: GangShape,
) -> tuple[Control, ...]:
    if requirements.transfer is None:
        return ()
    return controls(space, _tasks_of(samples), options.seed, summary, shape.n_workers)


def _check_watched(objective: Objective, requirements: Requirements, samples: tuple[TrialConfig, ...]) -> None:
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


def _samples(restricted: tuple[Space, list[str]]) -> tuple[TrialConfig, ...]:
    space, _ = restricted
    rng = random.Random(0)
    return tuple(parse(space.sample(rng)) for _ in range(SAMPLED_CONFIGS))


def _tasks_of(samples: tuple[TrialConfig, ...]) -> tuple[str, ...]:
    return tuple(task for task in TASKS if any(task in sample.mixture for sample in samples))


def _arms_of(samples: tuple[TrialConfig, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(arm for sample in samples for arm in sample.arms))


def _check_uniform(samples: tuple[TrialConfig, ...]) -> None:
    """What one search has one of: the data are tokenised once, and a pruner compares evaluation with evaluation."""
    problems = []
    for name in ("backbone", "max_length"):
        values = {getattr(sample, name) for sample in samples}
        if len(values) > 1:
            problems.append(
                f"{name} is searched, but a search tokenises its data once: fix it, and run a search for each value"
            )
    if len({sample.budget.evaluations for sample in samples}) > 1:
        problems.append("budget.evaluations is searched, but pruning compares trials evaluation by evaluation: fix it")
    if problems:
        raise ConfigError(problems)


def _check_backbone(samples: tuple[TrialConfig, ...]) -> None:
    """Whether the backbone can be had, as far as can be told without loading it, and takes sequences this long."""
    sample = samples[0]
    known = backbone.architecture(sample.backbone) or {}
    longest = known.get("max_position_embeddings", sample.max_length)
    if sample.max_length > longest:
        raise ConfigError(
            [f"max_length {sample.max_length} is more than the {longest} positions of {sample.backbone}: use {longest} or less"]
        )


def _check_samples(samples: tuple[TrialConfig, ...], summary: DataSummary, shape: GangShape) -> None:
    """Whether every configuration can run on these data with this gang."""
    problems: dict[str, None] = {}
    for sample in samples:
        problems.update(dict.fromkeys(sample.gang_problems(shape.n_workers)))
        sizes = {task: summary.rows[task]["train"] for task in sample.mixture}
        try:
            steps = mixing.n_steps(sample.budget, sample.mixing, sizes, sample.optim.batch_size)
            mixing.evaluation_steps(steps, sample.budget.evaluations)
        except ConfigError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise ConfigError(list(problems))
