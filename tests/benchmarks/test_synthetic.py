"""Generated worlds: their best score, failures, noise and costs."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

from benchmarks import costs
from benchmarks.drawing import FAILURE_GAP
from benchmarks.landscape import OWN_EXAMPLES
from benchmarks.synthetic import Synthetic
from benchmarks.worlds import Facts, generated
from model.config import TrialConfig, parse
from tests.support.courses import OBJECTIVE, configs, scores, space
from tuner.commands.simulate.distance import position
from tuner.commands.simulate.replay import SAME_EXAMPLES
from tuner.space import Space

__all__ = ["space"]  # a fixture


@pytest.mark.parametrize("seed", range(5))
def test_no_configuration_beats_the_best_of_its_world_and_the_best_can_be_had(space: Space, seed: int) -> None:
    world = Synthetic(space, OBJECTIVE, seed, 1e10)
    ends = [world.true_score(config) for config in configs(space, 150)]
    assert world.floor == min(ends) < max(ends) <= world.best
    land = world._landscape
    at_best = {**land.optima, **{name: min(drops, key=drops.__getitem__) for name, drops in land.drops.items()}}
    for enabled, drop in land.drops["smart.enabled"].items():
        assert land.end({**at_best, "smart.enabled": enabled}) <= world.best
        assert drop >= 0
    assert land.end(at_best) == pytest.approx(world.best)
    assert land.failures.middle - land.optima["optim.lr"] >= FAILURE_GAP


def test_a_course_is_a_pure_function_of_world_and_configuration(space: Space) -> None:
    (config,) = configs(space, 1)
    first, again = (Synthetic(space, OBJECTIVE, 3, 1e10).course(config) for _ in range(2))
    assert first == again
    assert Synthetic(space, OBJECTIVE, 4, 1e10).course(config) != first


def test_curves_rise_to_their_ends_and_cross(space: Space) -> None:
    world = Synthetic(space, OBJECTIVE, 0, 1e10)
    here = [position(space, config) for config in configs(space, 60)]
    curves = np.array([world._landscape.curve(one, 10) for one in here])
    ends = np.array([world._landscape.end(one) for one in here])
    assert curves[:, -1] == pytest.approx(ends)
    assert (np.diff(curves, axis=1) > 0).all()
    early, late = curves[:, 1][:, None] - curves[:, 1], curves[:, -1][:, None] - curves[:, -1]
    assert 0.02 < (early * late < 0).mean() < 0.4, "pairs that change places between the second and the last evaluation"


@pytest.mark.slow
def test_a_failed_trial_is_nan_or_at_the_floor_to_its_end(space: Space) -> None:
    world = Synthetic(space, OBJECTIVE, 1, 1e10)
    some = configs(space, 300)
    kinds = {"diverges": 0, "sits at chance": 0}
    for config in some:
        expected, reported = world.expected_scores(config), scores(world.course(config))
        assert (np.isnan(expected) == np.isnan(reported)).all()
        failed = np.isnan(expected) | (expected == world.floor)
        assert (np.diff(failed.astype(int)) >= 0).all()
        assert (world.true_score(config) == world.floor) == failed[-1]
        kinds["diverges"] += bool(np.isnan(expected[-1]))
        kinds["sits at chance"] += bool(expected[-1] == world.floor)
    assert min(kinds.values()) >= 10, kinds
    assert 0.2 < sum(kinds.values()) / len(some) < 0.45


def test_trials_fail_at_high_learning_rates(space: Space) -> None:
    failures = Synthetic(space, OBJECTIVE, 1, 1e10)._landscape.failures
    low, middle, high = (failures.probability({"optim.lr": u}) for u in (0.2, failures.middle, 1.0))
    assert low < 0.03
    assert middle == pytest.approx(0.51)
    assert high > 0.97


@pytest.mark.slow
def test_worlds_resemble_recorded_sweeps(space: Space) -> None:
    """Bounds are generous around the recorded figures in the docstring of `synthetic`; medians over six worlds."""
    drawn = configs(space, 120)
    found = [generated(Synthetic(space, OBJECTIVE, seed, 1e10), drawn, noisy=False) for seed in range(6)]
    middle = {item.name: float(np.median([getattr(one, item.name) for one in found])) for item in fields(Facts)}
    assert 0.66 < middle["rank_all"] < 0.95
    assert 0.5 < middle["rank_upper"] < 0.92
    assert 0.006 < middle["near_best"] < 0.39
    assert 0.2 < middle["failed"] < 0.45
    assert middle["default"] > 0.75


def test_smart_helps_in_some_worlds_and_harms_in_others(space: Space) -> None:
    used = [config for config in configs(space, 60) if config.smart.enabled]
    off = [config.model_copy(update={"smart": config.smart.model_copy(update={"enabled": False})}) for config in used]
    pairs = [(position(space, one), position(space, other)) for one, other in zip(used, off, strict=True)]
    effects = []
    for seed in range(40):
        land = Synthetic(space, OBJECTIVE, seed, 1e10)._landscape
        effects.append(np.mean([land.drop(without) - land.drop(smart) for smart, without in pairs]))
    assert 0.3 < np.mean(np.array(effects) > 0) < 0.7
    assert abs(np.mean(effects)) < np.std(effects) / 2


@pytest.mark.parametrize(("limit", "factor"), [(64, math.sqrt((3 / 64) / (1 / 750 + 1 / 1600 + 1 / 600))), (None, 1.0)])
def test_evaluations_on_few_examples_are_noisier_by_the_binomial_law(limit: int | None, factor: float) -> None:
    config = parse({"budget": {"examples": 100, "evaluations": 3, "early_eval_examples": limit}})
    tasks = ("sst", "quora", "sts")
    early, middle, last = costs.sampling_deviation(np.array([0.8, 0.5, 0.8]), config, tasks)
    assert last == pytest.approx(math.sqrt(0.16 * (1 / 750 + 1 / 1600 + 1 / 600)) / 3)
    assert early == pytest.approx(factor * last)
    assert middle == pytest.approx(early * 0.5 / 0.4)
    assert costs.sampling_correlation(config, tasks) == pytest.approx(1 / factor)


def test_noise_of_examples_has_its_deviation_and_correlations(space: Space) -> None:
    land = replace(Synthetic(space, OBJECTIVE, 0, 1e10)._landscape, luck=(0.0, 0.0))
    rng, deviations = np.random.default_rng(0), np.array([2.0, 2.0, 1.0])
    drawn = np.array([land.sampling_noise(deviations, 0.5, rng) for _ in range(4000)]) / deviations
    own = 1 - SAME_EXAMPLES  # what is common to all trials is left out here
    assert drawn.var(axis=0) == pytest.approx([own] * 3, rel=0.1)
    assert np.cov(drawn.T)[0, 1:] == pytest.approx([OWN_EXAMPLES, 0.5 * OWN_EXAMPLES], abs=0.03)
    lucky = replace(land, luck=(3.0, 3.0)).sampling_noise(deviations, 0.0, np.random.default_rng(0))
    plain = land.sampling_noise(deviations, 0.0, np.random.default_rng(0))
    assert lucky - plain == pytest.approx(3 * math.sqrt(SAME_EXAMPLES) * deviations)


def test_inner_steps_and_the_teacher_cost_what_they_cost(space: Space) -> None:
    plain = parse({"backbone": "embedded", "smart": {"enabled": False}, "budget": {"examples": 3000}})
    full = plain.model_copy(update={"smart": TrialConfig().smart.model_copy(update={"steps": 1, "mu": 1.0})})
    data = costs.summary()
    evaluating = 10 * costs._evaluation_flops(plain, data, 10_616_832, early=False)
    short, long = (costs.seconds(config, data, 1.0)[-1] - evaluating for config in (plain, full))
    assert long / short == pytest.approx(3.0)  # (6 + 2 + 1) / 3
    assert list(costs.seconds(plain, data, 1.0)) == sorted(costs.seconds(plain, data, 1.0))
    assert np.array(costs.compute(full, data)) == pytest.approx(3.0 * np.array(costs.compute(plain, data)))


def test_courses_tell_their_compute_so_that_pruners_compare_at_it(space: Space) -> None:
    world, some = Synthetic(space, OBJECTIVE, 1, 1e10), configs(space, 60)
    whole = [world.course(config).evaluations[-1].compute for config in some]
    assert max(whole) > 2 * min(whole), "mixtures and inner steps of different cost"
    for config, spent in zip(some, whole, strict=True):
        assert [found.compute for found in world.course(config).evaluations] == pytest.approx(
            [spent * index / 10 for index in range(1, 11)]
        )
