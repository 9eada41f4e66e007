"""Rules between options, space, data and gang; each returns a sentence for every problem."""

from __future__ import annotations

from cluster.shape import PLACEMENTS, SPREAD, GangShape
from model import mixing
from model.config import ConfigError, TrialConfig, nearest
from model.data.source import DataSummary
from model.encoder import backbone
from tuner.config.budget import Budget
from tuner.config.objective import Objective
from tuner.config.options import Options
from tuner.config.requirements import Requirements
from tuner.search.plan.resolve import Choices
from tuner.space import Space
from tuner.space.parameters import Float, Int
from tuner.study import SAMPLERS, pruner_problems

Samples = tuple[TrialConfig, ...]


def placement_problems(options: Options) -> list[str]:
    """Whether the placement exists, and has a store where it needs one."""
    if options.placement not in PLACEMENTS:
        given = f"--placement {options.placement}{nearest(options.placement, list(PLACEMENTS))}"
        return [f"{given}: choose one of {', '.join(PLACEMENTS)}"]
    if options.placement == SPREAD and options.storage_path is None:
        return [
            "--placement spread leaves parts of a trial's checkpoints on several nodes; give --storage-path, a folder "
            "that all nodes share or a URL such as s3://bucket/folder"
        ]
    return []


def store_problems(options: Options) -> list[str]:
    """Whether other processes can read the store."""
    if options.storage_path is None or not options.storage_path.startswith("memory:"):
        return []
    return [f"--storage-path {options.storage_path} is the memory of one process; give a folder or a URL such as s3://bucket/x"]


def goal_problems(objective: Objective, requirements: Requirements, choices: Choices) -> list[str]:
    """Whether sampler and pruner can handle this number of goals."""
    sampler = choices.sampler
    problems = pruner_problems(choices.pruner, objective, requirements) if choices.pruner else []
    if len(objective.goals) > 1 and not SAMPLERS[sampler].several_goals:
        able = ", ".join(name for name, entry in SAMPLERS.items() if entry.several_goals)
        problems.append(f"--sampler {sampler} follows one goal, and --metric {objective.name} names several: use one of {able}")
    return problems


def step_problems(space: Space, choices: Choices) -> list[str]:
    """Whether the sampler can list the values of every number that has steps."""
    most = SAMPLERS[choices.sampler].most_points
    if most is None:
        return []
    return [
        f"{parameter.name} has {parameter.n_values:.3g} values, and --sampler {choices.sampler} lists them, at most "
        f"{most:.3g}: give a larger step or none, or use --sampler tpe"
        for parameter in space.parameters
        if isinstance(parameter, Int | Float) and (parameter.n_values or 0) > most
    ]


def price_problems(options: Options, shape: GangShape) -> list[str]:
    """Whether a price of GPU-hours applies."""
    if options.price_per_gpu_hour is None or shape.gpus_per_worker:
        return []
    return [
        f"--price-per-gpu-hour {options.price_per_gpu_hour:g}: the trials have no GPU ({shape.describe()}); leave it out, or "
        "give them GPUs with --gpus-per-worker"
    ]


def target_problems(budget: Budget, objective: Objective) -> list[str]:
    """Whether there is one score to compare with the target."""
    if budget.target is None or len(objective.goals) == 1:
        return []
    return [f"--target {budget.target:g} is a score of one goal, and --metric {objective.name} names several: leave it out"]


def uniformity_problems(samples: Samples) -> list[str]:
    """Whether settings that must be equal in all trials of a search are fixed."""
    problems = [
        f"{name} is searched, but a search tokenises its data once: fix it, and run a search for each value"
        for name in ("backbone", "max_length")
        if len({getattr(sample, name) for sample in samples}) > 1
    ]
    if len({sample.budget.evaluations for sample in samples}) > 1:
        problems.append("budget.evaluations is searched, but pruning compares trials evaluation by evaluation: fix it")
    return problems


def watch_problems(objective: Objective, requirements: Requirements, samples: Samples) -> list[str]:
    """Whether every trial evaluates the splits that goals and requirements are computed from."""
    needs = {f"the metric {objective.name} needs": objective.watched, "--require needs": requirements.watched}
    given = "[" + ", ".join(dict.fromkeys((*samples[0].watch, *objective.watched, *requirements.watched))) + "]"
    return [
        f'{need} trials that watch {" and ".join(missing)}: --set "watch={given}"'
        for need, watched in needs.items()
        if (missing := [split for split in watched if any(split not in sample.watch for sample in samples)])
    ]


def backbone_problems(samples: Samples) -> list[str]:
    """Whether the configuration of the backbone, where it is on this machine, has positions for `max_length` tokens.

    `tuner.search.plan.backbone` then runs it.
    """
    sample = samples[0]
    known = backbone.architecture(sample.backbone) or {}
    longest = known.get("max_position_embeddings")
    if not isinstance(longest, int) or not 0 < longest < sample.max_length:
        return []
    return [f"max_length {sample.max_length} is more than the {longest} positions of {sample.backbone}: use {longest} or less"]


def training_problems(samples: Samples, summary: DataSummary, shape: GangShape) -> list[str]:
    """Whether every configuration can be trained on these data with this gang."""
    problems: list[str] = []
    for sample in samples:
        problems += sample.gang_problems(shape.n_workers)
        sizes = {task: summary.rows[task]["train"] for task in sample.mixture}
        try:
            steps = mixing.n_steps(sample.budget, sample.mixing, sizes, sample.optim.batch_size)
            mixing.evaluation_steps(steps, sample.budget.evaluations)
        except ConfigError as error:
            problems += error.problems
    return list(dict.fromkeys(problems))
