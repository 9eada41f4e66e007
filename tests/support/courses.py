"""Configurations of the laptop's space and scores of simulated trials, for tests of the simulator and of generated worlds."""

from __future__ import annotations

import random

import pytest

from model.config import TrialConfig, parse
from tuner.commands.simulate.clock import Course
from tuner.config.objective import Objective
from tuner.space import Space, load

OBJECTIVE = Objective("mean", ("sst", "quora", "sts"))


@pytest.fixture(scope="module")
def space() -> Space:
    return load("smart_mtl", "laptop").restrict(tasks=("sst", "quora", "sts", "cfimdb"), required=OBJECTIVE.required_tasks)[0]


def configs(space: Space, n: int, seed: int = 0) -> list[TrialConfig]:
    rng = random.Random(seed)
    return [parse(space.sample(rng)) for _ in range(n)]


def scores(course: Course) -> list[float]:
    """The score at each evaluation."""
    return [OBJECTIVE.score(evaluation.metrics) for evaluation in course.evaluations]
