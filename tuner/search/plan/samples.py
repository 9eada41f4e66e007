"""Random configurations of a space, which stand for all of its configurations in checks and estimates."""

from __future__ import annotations

import random

from model.config import TrialConfig, parse
from model.tasks import TASKS
from tuner.space import Space

SAMPLED_CONFIGS = 200


def draw(space: Space) -> tuple[TrialConfig, ...]:
    """`SAMPLED_CONFIGS` random configurations, always the same ones of a space."""
    rng = random.Random(0)
    return tuple(parse(space.sample(rng)) for _ in range(SAMPLED_CONFIGS))


def tasks_of(samples: tuple[TrialConfig, ...]) -> tuple[str, ...]:
    """All tasks of all mixtures."""
    return tuple(task for task in TASKS if any(task in sample.mixture for sample in samples))


def arms_of(samples: tuple[TrialConfig, ...]) -> tuple[str, ...]:
    """All arms of a cue data set that any configuration watches."""
    return tuple(dict.fromkeys(arm for sample in samples for arm in sample.arms))
