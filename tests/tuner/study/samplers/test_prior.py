"""Draws around start configurations: how many, how near, and when results end them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.synthetic import Synthetic
from model.config import ConfigError, parse
from model.training.evaluation import Evaluation
from tests.support.cases import slow_but
from tuner.commands.simulate.clock import Charges, play
from tuner.config.objective import Objective
from tuner.space import Space, available, load
from tuner.space.distributions import SAME_CHOICE, WIDTH, Scalar, draw_near, n_points, point, points
from tuner.space.mapping import map_config
from tuner.study import SAMPLERS, Study, Suggestion
from tuner.study.samplers.prior import MAX_SHARE, N_DRAWS, NEAR, Prior, is_contradicted

SPACE = """\
name: believed
fixed: {mixture: [sst, sts]}
search:
  optim.lr: {float: [1.0e-6, 1.0e-2], log: true}
  optim.dropout: {float: [0.0, 0.5]}
  optim.accumulation: {int: [1, 9], step: 2}
  optim.decay: {choice: [linear, cosine, constant]}
start:
"""
POINT = "optim.lr: 1.0e-4, optim.dropout: 0.25, optim.accumulation: 5, optim.decay: cosine"
OTHER = "optim.lr: 1.0e-3, optim.dropout: 0.1, optim.accumulation: 1, optim.decay: linear"
GRID = """\
name: believed
fixed: {mixture: [sst, sts]}
search:
  optim.accumulation: {int: [1, 9], step: 2}
  optim.decay: {choice: [linear, cosine, constant]}
start:
  - {optim.accumulation: 5, optim.decay: cosine, confidence: 1.0}
"""
GOALS = "sst/accuracy,sts/pearson"
FREE = Charges(cold_s=0, warm_s=0, prune_s=0, save_s=0, load_s=0, report_s=0, ask_s=0)
Outcome = Callable[[int], float]
"""The score of a trial, nan for one that fails."""


def space_of(folder: Path, *starts: str, text: str = SPACE) -> Space:
    path = folder / "space.yaml"
    path.write_text(text + "".join(f"  - {{{start}}}\n" for start in starts), encoding="utf-8")
    return load(path)


def open_study(space: Space, **changes: Any) -> Study:
    options: dict[str, Any] = {"storage": "memory:", "name": "s", "objective": Objective("sst/accuracy"), "sampler": "tpe"}
    options |= {"pruner": "none", "seed": 3, "n_trials": 14, "n_evaluations": 2} | changes
    return Study(space=space, **options)


def end(study: Study, asked: Suggestion, score: float) -> None:
    for index in (1, 2):
        metrics = {"sst/accuracy": score, "sts/pearson": score}
        study.report(asked.number, Evaluation(index, 2, index, 2, index, metrics, {}, float(index)))
    study.complete(asked.number)  # one that failed stays that


def run(study: Study, n: int, outcome: Outcome = lambda number: 0.5) -> list[int | None]:
    """Run the next n trials, one after the other; of each trial of the study the place of its start configuration."""
    for _ in range(n):
        asked = study.ask()
        assert asked is not None
        end(study, asked, outcome(asked.number))
    return places(study)


def places(study: Study) -> list[int | None]:
    return [trial.user_attrs.get(NEAR) for trial in study._study.trials]


def picks_of(study: Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study._study.trials]


# What is drawn


def numbers() -> st.SearchStrategy[BaseDistribution]:
    """Ranges of numbers, linear, logarithmic and on a grid."""
    lows, widths, steps = st.floats(-5, 5), st.floats(0.01, 50), st.integers(1, 4)
    starts, n_steps = st.integers(-9, 9), st.integers(1, 40)
    return st.one_of(
        st.builds(lambda low, width: FloatDistribution(low, low + width), lows, widths),
        st.builds(lambda low, factor: FloatDistribution(low, low * factor, log=True), st.floats(1e-7, 10), st.floats(1.1, 1e6)),
        st.builds(lambda low, n: FloatDistribution(low / 8, (low + n) / 8, step=0.125), st.integers(0, 9), st.integers(1, 20)),
        st.builds(lambda low, n, step: IntDistribution(low, low + n * step, step=step), starts, n_steps, steps),
        st.builds(lambda low, width: IntDistribution(low, low + width, log=True), st.integers(1, 9), st.integers(1, 300)),
    )  # fmt: skip


def value_in(distribution: Any, share: float) -> Any:
    """A value of the distribution at about this share of its range."""
    count = n_points(distribution)
    if count is not None:
        return point(distribution, min(int(share * count), count - 1))
    if distribution.log:
        low, high = math.log(distribution.low), math.log(distribution.high)
        return min(max(math.exp(low + share * (high - low)), distribution.low), distribution.high)
    return min(
        max(float(distribution.low + share * (distribution.high - distribution.low)), distribution.low), distribution.high
    )


@settings(max_examples=150, derandomize=True, deadline=None)
@given(distribution=numbers(), share=st.floats(0, 1), seed=st.integers(0, 2**32))
def test_numbers_lie_inside_their_bounds_on_their_grid_and_near(distribution: Any, share: float, seed: int) -> None:
    """Of normal draws 95 % are within two standard deviations; rounding to the grid adds half a step."""
    value, rng = value_in(distribution, share), random.Random(seed)
    drawn: list[Any] = [draw_near(distribution, value, rng) for _ in range(100)]
    assert all(distribution.low <= one <= distribution.high for one in drawn)
    grid = None if n_points(distribution) is None else set(points(distribution))
    assert grid is None or set(drawn) <= grid
    assert all(type(one) is type(value) for one in drawn)
    scale, back = (math.log, math.exp) if distribution.log else (float, float)
    reach, half_a_step = WIDTH * (scale(distribution.high) - scale(distribution.low)), (distribution.step or 0) / 2

    def n_within(n_widths: float) -> int:
        low, high = (back(scale(value) + sign * n_widths * reach) for sign in (-1, 1))
        slack = half_a_step + 1e-9 * max(abs(distribution.low), abs(distribution.high))
        return sum(low - slack <= one <= high + slack for one in drawn)

    assert n_within(2) >= 80
    assert n_within(6) == 100
    assert grid is not None or len(set(drawn)) > 10, "not the value itself"


@settings(max_examples=30, derandomize=True, deadline=None)
@given(n=st.integers(2, 6), place=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_choices_are_mostly_the_same_and_each_other_one_is_met(n: int, place: int, seed: int) -> None:
    labels = [f"c{number}" for number in range(n)]
    value, rng = labels[place % n], random.Random(seed)
    drawn = [draw_near(CategoricalDistribution(labels), value, rng) for _ in range(1000)]
    kept = SAME_CHOICE + (1 - SAME_CHOICE) / n
    assert abs(drawn.count(value) / 1000 - kept) < 0.06
    assert set(drawn) == set(labels)


@pytest.mark.parametrize("name", available())
@pytest.mark.slow
def test_draws_around_the_starts_of_every_space_of_the_project_are_legal(name: str) -> None:
    """Around a random point where a space has none. What a start leaves open or a changed choice makes active is drawn too."""
    for profile in (None, *load(name).profiles):
        space = load(name, profile)
        starts = space.start or (space.draw(random.Random(0)),)
        for seed, start in enumerate(starts * 40):
            picks = space.draw_near(start, random.Random(seed))
            config = space.config(picks)
            assert map_config(space, config.to_dict()).picks.keys() == picks.keys(), "the active parameters, each of them"


def test_draws_around_a_start_are_nearer_to_it_than_random_ones(tmp_path: Path) -> None:
    space = space_of(tmp_path, POINT)
    (start,) = space.start

    def distance(picks: dict[str, Any]) -> float:
        away = math.log10(picks["optim.lr"] / 1e-4) / 4, (picks["optim.dropout"] - 0.25) / 0.5
        return math.hypot(*away) + float(picks["optim.decay"] != "cosine")

    rng = random.Random(0)
    near = sorted(distance(space.draw_near(start, rng)) for _ in range(200))
    anywhere = sorted(distance(space.draw(rng)) for _ in range(200))
    assert near[100] < anywhere[20]


# How many


def test_start_configurations_are_tried_first_in_their_order(tmp_path: Path) -> None:
    space = space_of(tmp_path, f"{POINT}, confidence: 0.0", "optim.dropout: 0.125", f"{OTHER}, confidence: 0.1")
    study = open_study(space)
    assert run(study, 3) == [0, 1, 2], "whatever is believed of them"
    assert [start.items() <= picks.items() for start, picks in zip(space.start, picks_of(study), strict=True)] == [True] * 3
    assert picks_of(study)[1].keys() == picks_of(study)[0].keys(), "what the second leaves open is drawn"


SHARES = {0.0: "0-----", 0.1: "0-----", 0.25: "0---0-", 0.5: "0-0-0-", 0.75: "0-0-0-", 1.0: "0-0-0-"}
"""Which of the first six trials are the start configuration or drawn around it, by the confidence."""


@pytest.mark.parametrize("confidence", SHARES)
def test_the_first_six_trials_are_shared_as_the_confidence_says(tmp_path: Path, confidence: float) -> None:
    """Half of them at most, the start configuration among them."""
    study = open_study(space_of(tmp_path, f"{POINT}, confidence: {confidence}"))
    found = run(study, 12)
    assert "".join("-" if place is None else str(place) for place in found[:N_DRAWS]) == SHARES[confidence]
    assert found[N_DRAWS:] == [None] * 6
    assert found.count(0) == max(1, math.ceil(min(confidence, MAX_SHARE) * N_DRAWS))


def test_a_start_configuration_that_names_no_confidence_has_half(tmp_path: Path) -> None:
    space = space_of(tmp_path, POINT)
    assert space.confidences == (0.5,)
    assert run(open_study(space), 8) == [0, None, 0, None, 0, None, None, None]


def test_several_start_configurations_share_half_by_their_confidences(tmp_path: Path) -> None:
    even = open_study(space_of(tmp_path, POINT, OTHER))
    assert run(even, 8) == [0, 1, None, None, 0, None, None, None]
    uneven = open_study(space_of(tmp_path, f"{POINT}, confidence: 0.2", f"{OTHER}, confidence: 0.9"))
    assert run(uneven, 8) == [0, 1, None, None, 1, None, None, None]
    one = open_study(space_of(tmp_path, f"{POINT}, confidence: 0.0", f"{OTHER}, confidence: 0.5"))
    assert run(one, 8) == [0, 1, None, None, 1, None, None, None]


def test_the_share_is_that_of_trials_that_run_side_by_side_too(tmp_path: Path) -> None:
    study = open_study(space_of(tmp_path, POINT))
    asked = [study.ask() for _ in range(6)]
    assert None not in asked
    assert places(study) == [0, None, 0, None, 0, None]


def test_what_is_drawn_is_what_the_trial_has(tmp_path: Path) -> None:
    space = space_of(tmp_path, f"{POINT}, confidence: 1.0")
    study = open_study(space)
    run(study, 2)
    found = Prior(space, study.seed).next(study._study.trials)
    assert found is not None
    run(study, 1)
    assert (study._study.trials[2].params, places(study)[2]) == found
    assert found[0] != space.start[0]


def test_the_seed_decides_what_is_drawn(tmp_path: Path) -> None:
    space = space_of(tmp_path, f"{POINT}, confidence: 1.0")
    studies = [open_study(space, seed=seed) for seed in (3, 3, 4)]
    for study in studies:
        run(study, 6)
    first, again, other = (picks_of(study) for study in studies)
    assert first == again
    assert first[0] == other[0]
    assert all(one != two for one, two in zip(first[1:], other[1:], strict=True))


@pytest.mark.parametrize("sampler", slow_but([name for name, entry in SAMPLERS.items() if entry.has_model], "tpe", "nsga2"))
def test_every_sampler_with_a_model_gets_draws_around_a_start_configuration(tmp_path: Path, sampler: str) -> None:
    study = open_study(space_of(tmp_path, POINT), sampler=sampler)
    assert run(study, 6) == [0, None, 0, None, 0, None]


@pytest.mark.parametrize("sampler", ["random", "qmc", "grid"])
def test_samplers_without_a_model_get_none(tmp_path: Path, sampler: str) -> None:
    """They are what searches are compared with: their draws stay what they are."""
    study = open_study(space_of(tmp_path, text=GRID), sampler=sampler, n_trials=12)
    while (asked := study.ask()) is not None:
        end(study, asked, 0.5)
    found = places(study)
    assert len(found) > 6
    assert found == [0, *[None] * (len(found) - 1)]


# What ends it


def after(*, fails: Sequence[int] = (), bad: Sequence[int] = (), good: Sequence[int] = ()) -> Outcome:
    scores = {**dict.fromkeys(fails, math.nan), **dict.fromkeys(bad, 0.1), **dict.fromkeys(good, 0.9)}
    return lambda number: scores.get(number, 0.5)


def test_nothing_is_drawn_around_a_start_configuration_that_fails(tmp_path: Path) -> None:
    study = open_study(space_of(tmp_path, f"{POINT}, confidence: 1.0"))
    assert run(study, 9, after(fails=[0])) == [0, *[None] * 8]
    assert study.record(0).state == "FAIL"


def test_the_others_are_drawn_around_when_one_fails(tmp_path: Path) -> None:
    space = space_of(tmp_path, POINT, OTHER)
    assert run(open_study(space), 8, after(fails=[0])) == [0, 1, None, None, 1, None, None, None]
    assert run(open_study(space), 8, after(fails=[0, 1])) == [0, 1, *[None] * 6]


def test_one_of_several_trials_near_it_that_fails_ends_nothing(tmp_path: Path) -> None:
    study = open_study(space_of(tmp_path, POINT))
    assert run(study, 8, after(fails=[2])) == [0, None, 0, None, 0, None, None, None]


def test_nothing_is_drawn_around_one_whose_best_trial_is_worse_than_the_median_of_two_others(tmp_path: Path) -> None:
    space = space_of(tmp_path, POINT)  # trials 0, 2 and 4 would be near
    worse = run(open_study(space), 8, after(bad=[0, 2]))
    assert worse == [0, None, 0, *[None] * 5]
    assert run(open_study(space), 8, after(bad=[0, 2], good=[1])) == worse
    assert run(open_study(space), 5, after(bad=[0], good=[1]))[4] is None, "0.5 against 0.9 and 0.5: of two the better counts"
    assert run(open_study(space), 5, after(bad=[0, 1], good=[2, 3]))[4] == 0, "its best is as good as the best other"
    assert run(open_study(space), 5)[4] == 0, "as good as the median"


def test_one_other_trial_is_too_few_to_contradict(tmp_path: Path) -> None:
    study = open_study(space_of(tmp_path, f"{POINT}, confidence: 1.0"))
    assert run(study, 8, after(good=[1], bad=[0, 2])) == [0, None, 0, None, None, None, None, None]


def test_trials_around_another_start_configuration_are_others(tmp_path: Path) -> None:
    study = open_study(space_of(tmp_path, POINT, OTHER))
    assert run(study, 8, after(bad=[0], good=[1, 2])) == [0, 1, None, None, 1, None, None, None]


def frozen(
    place: int | None = None, values: Sequence[float] | None = (0.5,), state: TrialState = TrialState.COMPLETE, **more: Any
) -> FrozenTrial:
    attributes = {} if place is None else {NEAR: place}
    if state is not TrialState.COMPLETE:
        values = None
    return create_trial(values=None if values is None else list(values), state=state, user_attrs=attributes, **more)


def pruned(place: int | None, index: int, score: float) -> FrozenTrial:
    """As Optuna keeps it under one goal: its last intermediate value is its value."""
    trial = frozen(place, (score,), intermediate_values={index: score})
    trial.state = TrialState.PRUNED
    return trial


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    near=st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=4),
    others=st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=6),
)
@pytest.mark.slow
def test_results_contradict_as_the_definition_says(near: list[int | None], others: list[int | None]) -> None:
    """None is a trial that failed. Of an even number of others the median is the better middle one."""
    trials = [frozen(0, (float(one),)) if one is not None else frozen(0, state=TrialState.FAIL) for one in near]
    trials += [frozen(None, (float(one),)) if one is not None else frozen(None, state=TrialState.FAIL) for one in others]
    sound, rest = [one for one in near if one is not None], sorted(one for one in others if one is not None)
    expected = bool(near) if not sound else len(rest) >= 2 and max(sound) < rest[len(rest) // 2]
    assert is_contradicted(0, trials) == expected


def test_what_runs_says_nothing_yet() -> None:
    running = frozen(0, state=TrialState.RUNNING)
    good = [frozen(values=(0.9,))] * 3
    assert not is_contradicted(0, [running, *good])
    assert is_contradicted(0, [running, frozen(0, values=(0.1,)), *good])
    assert not is_contradicted(0, [frozen(0, values=(0.1,)), *[frozen(state=TrialState.RUNNING)] * 3])


def test_under_several_goals_only_failures_contradict(tmp_path: Path) -> None:
    space, goals = space_of(tmp_path, POINT), {"objective": Objective(GOALS)}
    assert run(open_study(space, **goals), 8, after(bad=[0, 2])) == [0, None, 0, None, 0, None, None, None]
    assert run(open_study(space, **goals), 8, after(fails=[0])) == [0, *[None] * 7]


def test_under_several_goals_trials_that_were_pruned_early_do_not_contradict() -> None:
    """As when the start configuration still trains, and what was drawn beside it came to less than two others."""

    def early(place: int | None, excess: float) -> FrozenTrial:
        trial = frozen(place, state=TrialState.PRUNED, constraints={"ended early": excess})
        assert trial.constraints == {"ended early": excess}
        return trial

    running = frozen(0, state=TrialState.RUNNING)
    trials = [running, early(0, 1.9), early(None, 1.6), early(None, 1.6)]
    assert not is_contradicted(0, trials)
    assert not is_contradicted(0, [*trials, frozen(values=(0.1, 0.2))])


# Sessions


def journal(folder: Path) -> str:
    return f"journal:{folder / 'j'}"


def test_a_search_that_is_resumed_before_every_trial_goes_on_the_same(tmp_path: Path) -> None:
    """The sampler's own random draws are seeded anew; places, and what is drawn around the start, are those of one session."""
    space = space_of(tmp_path, f"{POINT}, confidence: 0.6")
    whole = open_study(space)
    expected = run(whole, 8)
    for _ in range(8):
        study = open_study(space, storage=journal(tmp_path))
        found = run(study, 1)
    assert found == expected
    assert [picks for picks, place in zip(picks_of(study), found, strict=True) if place == 0] == [
        picks for picks, place in zip(picks_of(whole), expected, strict=True) if place == 0
    ]


def test_a_resumed_search_remembers_what_was_contradicted(tmp_path: Path) -> None:
    space = space_of(tmp_path, f"{POINT}, confidence: 1.0")
    run(open_study(space, storage=journal(tmp_path)), 1, after(fails=[0]))
    assert run(open_study(space, storage=journal(tmp_path)), 5) == [0, *[None] * 5]


def test_a_kill_before_what_was_drawn_is_asked_draws_it_once(tmp_path: Path) -> None:
    space = space_of(tmp_path, f"{POINT}, confidence: 1.0")
    study = open_study(space, storage=journal(tmp_path))
    run(study, 2)
    study._proposals.enqueue(0)
    # kill -9
    again = open_study(space, storage=journal(tmp_path))
    assert again.resume_unfinished() == []
    assert run(again, 5) == [0, None, 0, None, 0, None, None]
    whole = open_study(space)
    run(whole, 3)
    assert picks_of(again)[2] == picks_of(whole)[2]


def test_a_search_that_was_begun_with_more_than_six_trials_draws_nothing_near(tmp_path: Path) -> None:
    run(open_study(space_of(tmp_path, f"{POINT}, confidence: 0.0"), storage=journal(tmp_path)), 6)
    now = open_study(space_of(tmp_path, f"{POINT}, confidence: 1.0"), storage=journal(tmp_path))
    assert run(now, 4) == [0, *[None] * 9], "a confidence is no part of what must stay the same"


# A whole search


@pytest.fixture(scope="module")
def laptop() -> Space:
    targets = ("sst", "quora", "sts")
    return load("smart_mtl", "laptop").restrict(tasks=(*targets, "cfimdb"), required=targets)[0]


MEAN = Objective("mean", ("sst", "quora", "sts"))


def searched(space: Space, world: Synthetic, seed: int) -> tuple[Study, float]:
    """A simulated search of sixteen trials on one slot, and how far its best is from the world's, in truth."""
    study = Study("memory:", "simulated", space, MEAN, "tpe", "none", seed, 16, 10)
    play(study, world, 1, FREE)
    assert study.best is not None
    return study, world.best - world.true_score(parse(study.best.config))


def misled(space: Space, world: Synthetic, seed: int, *, diverges: bool) -> Space:
    """The space with a start configuration that is wrong: one that diverges, or the worst that trains, of 200 random ones."""

    def merit(picks: dict[str, Scalar]) -> float:
        scores = world.expected_scores(space.parse({**space.values(picks), "seed": seed}))
        if diverges:
            return float(np.isfinite(scores).sum())
        return math.inf if np.isnan(scores[-1]) or scores[-1] == world.floor else float(scores[-1])

    rng = random.Random(seed)
    worst = min((space.draw(rng) for _ in range(200)), key=merit)
    return replace(space, start=(worst,), confidences=(0.5,))


@pytest.mark.parametrize("diverges", slow_but([True, False]))
def test_a_wrong_start_configuration_costs_few_trials(laptop: Space, diverges: bool) -> None:
    """Of sixteen: itself alone where it diverges, else three at most. What the search finds is about as good."""
    losses = []
    for seed in range(3):
        world = Synthetic(laptop, MEAN, seed, 1e10)
        _, lost = searched(replace(laptop, start=(), confidences=()), world, seed)
        study, lost_misled = searched(misled(laptop, world, seed, diverges=diverges), world, seed)
        assert study.record(0).state == ("FAIL" if diverges else "COMPLETE")
        assert places(study).count(0) <= (1 if diverges else 3)
        losses.append(lost_misled - lost)
    assert np.mean(losses) < 0.02


# In a space's file


def test_fixed_settings_leave_confidences_with_their_points(tmp_path: Path) -> None:
    starts = f"{POINT}, confidence: 0.9", f"{OTHER}, confidence: 0.2", "optim.dropout: 0.5", "confidence: 0.7, optim.lr: 1.0e-5"
    space = space_of(tmp_path, *starts)
    assert space.confidences == (0.9, 0.2, 0.5, 0.7)
    fixed = space.fix({"optim.decay": "linear", "optim.accumulation": 1})
    assert [(point.get("optim.lr"), point.get("optim.dropout")) for point in fixed.start] == [
        (1e-4, 0.25), (1e-3, 0.1), (None, 0.5), (1e-5, None),
    ]  # fmt: skip
    assert fixed.confidences == (0.9, 0.2, 0.5, 0.7)
    fewer = space.fix({"optim.lr": 1e-4, "optim.decay": "linear", "optim.accumulation": 1})
    assert list(zip(fewer.start, fewer.confidences, strict=True)) == [
        ({"optim.dropout": 0.25}, 0.9), ({"optim.dropout": 0.1}, 0.2), ({"optim.dropout": 0.5}, 0.5), ({}, 0.7),
    ]  # fmt: skip


def test_of_points_that_become_the_same_the_first_keeps_its_confidence(tmp_path: Path) -> None:
    space = space_of(tmp_path, "optim.lr: 1.0e-4, optim.dropout: 0.1, confidence: 0.3", "optim.lr: 1.0e-3, optim.dropout: 0.1")
    fixed = space.fix({"optim.lr": 1e-5})
    assert (fixed.start, fixed.confidences) == (({"optim.dropout": 0.1},), (0.3,))


def test_mixtures_that_are_left_out_take_their_confidences_along(tmp_path: Path) -> None:
    text = """\
name: mixtures
search:
  mixture: {choice: [[sst], [sst, sts], [sst, quora]]}
  optim.dropout: {float: [0.0, 0.5]}
start:
  - {mixture: [sst, quora], confidence: 0.9}
  - {mixture: [sst, sts], confidence: 0.2}
  - {optim.dropout: 0.1, confidence: 0.6}
  - {mixture: [sst], confidence: 0.3}
"""
    smaller, _ = space_of(tmp_path, text=text).restrict(tasks=("sst", "sts"), required=("sst",))
    assert list(zip(smaller.start, smaller.confidences, strict=True)) == [
        ({"mixture": "sst+sts"}, 0.2), ({"optim.dropout": 0.1}, 0.6), ({"mixture": "sst"}, 0.3),
    ]  # fmt: skip


def test_a_profile_has_the_confidences_of_its_own_start_configurations(tmp_path: Path) -> None:
    text = f"""{SPACE}  - {{{POINT}, confidence: 0.9}}
profiles:
  own: {{start: [{{optim.lr: 1.0e-5}}, {{{OTHER}, confidence: 1}}]}}
  same: {{options: {{trials: 5}}}}
  none: {{start: []}}
"""
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    assert {name: load(path, name).confidences for name in (None, "own", "same", "none")} == {
        None: (0.9,), "own": (0.5, 1.0), "same": (0.9,), "none": (),
    }  # fmt: skip


WRONG = {
    "high": "'high'",
    "-1": "-1",
    "2": "2",
    "true": "True",
    "1.01": "1.01",
    ".nan": "nan",
    "null": "None",
    "'0.5'": "'0.5'",
}


@pytest.mark.parametrize(("written", "told"), WRONG.items())
def test_a_confidence_that_is_no_number_from_0_to_1_is_refused_with_its_line(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(tmp_path, f"{POINT}, confidence: 0.5", f"{OTHER}, confidence: {written}")
    (problem,) = caught.value.problems
    assert problem == f"{tmp_path}/space.yaml:10: start: confidence {told} is not a number from 0, not at all, to 1"


def test_every_wrong_confidence_is_told_and_a_slip_in_its_name_is_mended(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(tmp_path, "optim.lr: 1.0e-4, confidence: 2", "optim.lr: 1.0e-5, confidense: 0.5", "confidence: -1")
    assert [problem.partition("space.yaml:")[2].partition(": ")[0] for problem in caught.value.problems] == ["9", "10", "11"]
    assert "confidense" in caught.value.problems[1]


@pytest.mark.parametrize("written", ["0", "1", "0.0", "1.0"])
def test_the_ends_of_the_range_of_a_confidence_are_allowed(tmp_path: Path, written: str) -> None:
    assert space_of(tmp_path, f"{POINT}, confidence: {written}").confidences == (float(written),)
