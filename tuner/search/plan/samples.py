"""Random configurations of the space, which stand for all: what must hold for each and what must be equal in all."""

from __future__ import annotations

import random

from cluster.shape import GangShape
from model import mixing
from model.config import ConfigError, TrialConfig, parse
from model.data.source import DataSummary
from model.encoder import backbone
from model.tasks import TASKS
from tuner.space import Space

SAMPLED_CONFIGS = 200
"""Random configurations on which the rules between settings, data and gang are tried."""


def draw(space: Space) -> tuple[TrialConfig, ...]:
    rng = random.Random(0)
    return tuple(parse(space.sample(rng)) for _ in range(SAMPLED_CONFIGS))


def tasks_of(samples: tuple[TrialConfig, ...]) -> tuple[str, ...]:
    return tuple(task for task in TASKS if any(task in sample.mixture for sample in samples))


def arms_of(samples: tuple[TrialConfig, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(arm for sample in samples for arm in sample.arms))


def check_uniform(samples: tuple[TrialConfig, ...]) -> None:
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


def check_backbone(samples: tuple[TrialConfig, ...]) -> None:
    """Whether the backbone can be had, as far as can be told without loading it, and takes sequences this long."""
    sample = samples[0]
    known = backbone.architecture(sample.backbone) or {}
    longest = known.get("max_position_embeddings", sample.max_length)
    if sample.max_length > longest:
        raise ConfigError(
            [f"max_length {sample.max_length} is more than the {longest} positions of {sample.backbone}: use {longest} or less"]
        )


def check_samples(samples: tuple[TrialConfig, ...], summary: DataSummary, shape: GangShape) -> None:
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
