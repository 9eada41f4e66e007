"""A study's cost does not grow with it, counted in storage calls and trials read; and its decisions stay Optuna's."""

from __future__ import annotations

import copy
import random
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import BasePruner, HyperbandPruner, PercentilePruner, SuccessiveHalvingPruner, WilcoxonPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, TrialState

from model.evaluation import Evaluation
from tests.support.cases import endurance_but
from tests.support.counting_storage import CountingStorage
from tuner.bridge import Bridge
from tuner.checkpoints import Checkpoints
from tuner.interruption import Interruption
from tuner.models import Models
from tuner.objective import Objective
from tuner.observer import SilentObserver
from tuner.requirements import Requirements
from tuner.space import Space, load
from tuner.study import PROMOTING, PRUNERS, RESOURCES, Study, Verdict, bounded_tpe, compute_pruners, sample
from tuner.study import study as study_module
from tuner.study.bounded_tpe import BoundedTPESampler, ParetoRanking, Ranking, even, even_without, rank, violation
from tuner.study.pruners import PARETO_PRUNERS
from tuner.study.running_pruners import (
    Running,
    RunningHalving,
    RunningHyperband,
    RunningPercentile,
    RunningWilcoxon,
    percentile,
)

N_EVALUATIONS = 10
OBJECTIVE = Objective("sst/accuracy")
KINDS = [
    *((pruner, "sst/accuracy", (), resource) for pruner in PRUNERS for resource in RESOURCES),
    *((pruner, "sst/accuracy,sts/pearson", (), "compute") for pruner in PARETO_PRUNERS),
    *((pruner, "sst/accuracy", ("sts/pearson>=0.5",), "compute") for pruner in PARETO_PRUNERS),
]
"""Pruner, goals, requirements, rung resource."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(scope="module")
def space() -> Space:
    return load("smart_mtl", "laptop").restrict(tasks=("sst", "quora", "sts", "cfimdb"), required=("sst", "sts"))[0]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingStorage:
    storage = CountingStorage()
    monkeypatch.setattr(study_module, "open_storage", lambda given: storage)
    return storage


def evaluation(index: int, score: float) -> Evaluation:
    metrics = {"sst/accuracy": score, "sts/pearson": -score / 2}
    return Evaluation(index, N_EVALUATIONS, index, N_EVALUATIONS, index, metrics, {}, float(index), compute=1.5 * index)


def grow(study: Study, n: int, rng: random.Random) -> None:
    """Run n trials to an end."""
    for _ in range(n):
        asked = study.ask()
        assert asked is not None
        level = rng.random()
        for index in range(1, N_EVALUATIONS + 1):
            if study.report(asked.number, evaluation(index, level + 0.01 * index)) is not Verdict.CONTINUE:
                break
        else:
            study.complete(asked.number)


def cost_of_a_report(study: Study, storage: CountingStorage) -> tuple[dict[str, int], int]:
    """Storage calls by name and trials read, for a report that the pruner judges."""
    asked = study.ask()
    assert asked is not None
    for index in range(1, 4):
        study.report(asked.number, evaluation(index, 2.0))  # better than all: it goes on
    storage.reset()
    assert study.report(asked.number, evaluation(4, 2.0)) is Verdict.CONTINUE
    storage.calls.pop("set_trial_system_attr", None)  # at a rung, and Hyperband's brackets have different rungs
    cost = dict(storage.calls), storage.n_read
    for index in range(5, N_EVALUATIONS + 1):
        study.report(asked.number, evaluation(index, 2.0 + 0.001 * asked.number))
    study.complete(asked.number)
    return cost


@pytest.mark.parametrize(
    ("pruner", "goals", "required", "resource"), endurance_but(KINDS, ("median", "sst/accuracy", (), "steps"))
)
def test_the_cost_of_a_report_does_not_grow_with_the_number_of_trials(
    space: Space, counting: CountingStorage, pruner: str, goals: str, required: tuple[str, ...], resource: str
) -> None:
    """Ten trials and ten times as many."""
    study = Study.open(
        "memory:", "grows", space, Objective(goals), "random", pruner, 0, 1000, N_EVALUATIONS, rung_resource=resource,
        requirements=Requirements.parse(required),
    )  # fmt: skip
    rng = random.Random(0)
    grow(study, 10, rng)
    small, n_read_small = cost_of_a_report(study, counting)
    grow(study, 90, rng)
    large, n_read_large = cost_of_a_report(study, counting)
    assert n_read_small == n_read_large == 0, "a report reads no other trial"
    assert large == small
    assert sum(large.values()) < 30


@pytest.mark.parametrize(
    ("pruner", "goals", "required"),
    endurance_but(
        [kind[:3] for kind in KINDS if kind[0] not in ("none", *PROMOTING) and kind[3] == "compute"],
        ("hyperband", "sst/accuracy", ()),
    ),
)
def test_a_judgement_meets_no_more_trials_than_the_sample_holds(
    space: Space, pruner: str, goals: str, required: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Curves that are looked at, at equal compute."""
    monkeypatch.setattr(sample, "LIMIT", 20)
    met: Counter[str] = Counter()
    for module in (sample, compute_pruners):
        for name in ("score_within", "scores_at"):
            if name in vars(module):
                monkeypatch.setattr(module, name, counted(vars(module)[name], met))
    study = Study.open(
        "memory:", "grows", space, Objective(goals), "random", pruner, 0, 1000, N_EVALUATIONS,
        requirements=Requirements.parse(required),
    )  # fmt: skip
    grow(study, 100, random.Random(0))
    asked = study.ask()
    assert asked is not None
    most = 0
    for index in range(1, N_EVALUATIONS):
        met.clear()
        assert study.report(asked.number, evaluation(index, 2.0)) is Verdict.CONTINUE
        most = max(most, met.total())
    assert 0 < most <= 20


def counted(function: Callable[..., Any], calls: Counter[str]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        calls[function.__name__] += 1
        return function(*arguments, **named)

    return call


@pytest.mark.parametrize("goals", ["sst/accuracy", "sst/accuracy,sts/pearson"])
def test_the_end_of_a_trial_reads_no_other(space: Space, counting: CountingStorage, tmp_path: Path, goals: str) -> None:
    """Under the bridge, which looks for models to drop whenever a trial ends."""
    study = Study.open("memory:", "ends", space, Objective(goals), "random", "none", 0, 1000, N_EVALUATIONS)
    between = Bridge(
        study, SilentObserver(), Models(tmp_path), Checkpoints(tmp_path / "c", 1), lambda: 9, Interruption()
    )  # fmt: skip
    costs = []
    for n in (10, 90):
        grow(study, n, random.Random(n))
        started = between.ask("one")
        assert isinstance(started, dict)
        for index in range(1, N_EVALUATIONS + 1):
            between.reported(started["number"], evaluation(index, 0.5))
        (tmp_path / str(started["number"])).mkdir()  # its model
        counting.reset()
        between.ended("one")
        assert study.record(started["number"]).state == "COMPLETE"
        costs.append((dict(counting.calls), counting.n_read))
    assert costs[0] == costs[1]
    assert costs[1][1] == 0


def test_the_cost_of_an_ask_is_a_fixed_number_of_looks_at_the_study(space: Space, counting: CountingStorage) -> None:
    """Optuna's for a trial that waits, and the sampler's."""
    study = Study.open("memory:", "grows", space, OBJECTIVE, "tpe", "median", 0, 1000, N_EVALUATIONS)
    rng = random.Random(0)
    looks = []
    for n in (15, 30):
        grow(study, n, rng)
        counting.reset()
        assert study.ask() is not None
        looks.append(counting.calls["get_all_trials"])
    assert looks[0] == looks[1] == 2


def test_the_count_of_trials_is_read_once_and_then_kept(space: Space, counting: CountingStorage) -> None:
    study = Study.open("memory:", "grows", space, OBJECTIVE, "random", "none", 0, 50, N_EVALUATIONS, rung_resource="steps")
    grow(study, 20, random.Random(0))
    counting.reset()
    grow(study, 20, random.Random(1))
    assert counting.n_read <= sum(range(60)), "at most Optuna's own look for waiting trials, once for each ask"
    assert len(study.records()) == 40


# Decisions are Optuna's

PAIRS: dict[str, tuple[Callable[[], BasePruner], Callable[[], BasePruner]]] = {
    "median": (lambda: PercentilePruner(50.0, 3, 3), lambda: RunningPercentile(50.0, 3, 3)),
    "percentile": (lambda: PercentilePruner(63.0, 0, 1), lambda: RunningPercentile(63.0, 0, 1)),
    "asha": (lambda: SuccessiveHalvingPruner(1, 2), lambda: RunningHalving(1, 2)),
    "asha of 3": (lambda: SuccessiveHalvingPruner(2, 3, 0, 2), lambda: RunningHalving(2, 3, 0, 2)),
    "hyperband": (lambda: HyperbandPruner(1, 10, 2), lambda: RunningHyperband(1, 10, 2)),
    "wilcoxon": (lambda: WilcoxonPruner(n_startup_steps=3), lambda: RunningWilcoxon(n_startup_steps=3)),
}


def play(study: optuna.Study, seed: int, n_trials: int, n_at_once: int, restart_at: int) -> list[tuple[int, int, bool]]:
    """Trials side by side, advanced in a random order; (number, step, whether pruned) of each judgement."""
    rng, decisions, running = random.Random(seed), [], []
    for _ in range(10**6):
        if len(study.get_trials(deepcopy=False)) < n_trials and len(running) < n_at_once:
            trial = study.ask()
            running.append((trial, trial.suggest_float("x", 0, 1), 0))
            continue
        if not running:
            break
        trial, x, step = running.pop(rng.randrange(len(running)))
        step += 1
        trial.report(round(x * step**0.3 + rng.gauss(0, 0.1), 2), step)  # rounded, so that there are ties
        if len(decisions) == restart_at and isinstance(study.pruner, Running):
            study.pruner.restart(study, study.get_trials(deepcopy=False))
        pruned = step < N_EVALUATIONS and trial.should_prune()
        decisions.append((trial.number, step, pruned))
        if pruned:
            study.tell(trial, state=TrialState.PRUNED)
        elif step == N_EVALUATIONS:
            study.tell(trial, x * step**0.3)
            if isinstance(study.pruner, Running):
                study.pruner.completed(study.get_trials(deepcopy=False)[trial.number])
        else:
            running.append((trial, x, step))
    return decisions


@pytest.mark.parametrize("n_at_once", [1, 8])
@pytest.mark.parametrize("name", endurance_but(PAIRS, *(name for name in PAIRS if name != "wilcoxon")))
def test_running_statistics_decide_as_optuna_does(name: str, n_at_once: int) -> None:
    streams = []
    for make in PAIRS[name]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner = make()
        study = optuna.create_study(study_name="same", direction="maximize", sampler=RandomSampler(seed=4), pruner=pruner)
        if isinstance(pruner, Running):
            pruner.restart(study, [])
        streams.append(play(study, seed=5, n_trials=60, n_at_once=n_at_once, restart_at=50))
    assert streams[0] == streams[1]
    pruned = [number for number, _, stops in streams[0] if stops]
    assert 5 < len(pruned) < 60
    assert len(streams[0]) > 50, "the restart was part of it"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 100))
def test_percentiles_are_those_of_numpy_to_the_last_bit(values: list[float], q: float) -> None:
    assert percentile(sorted(values), q) == float(np.nanpercentile(np.array(values), q))


# TPE over a part of the study


def suggestions(sampler: TPESampler, space: Space, n: int) -> list[dict[str, Any]]:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    rng = random.Random(0)
    for _ in range(n):
        trial = study.ask()
        space.suggest(trial)
        value = -abs(np.log10(trial.params["optim.lr"]) + 4)
        trial.report(value, 1)
        pruned = rng.random() < 0.5
        study.tell(trial, None if pruned else value, state=TrialState.PRUNED if pruned else TrialState.COMPLETE)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


def tpe(cls: type[TPESampler], **options: Any) -> TPESampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return cls(seed=3, n_startup_trials=5, multivariate=True, group=True, constant_liar=True, **options)


def test_a_study_within_the_limit_is_optunas_own_to_the_last_digit(space: Space) -> None:
    assert suggestions(tpe(BoundedTPESampler), space, 30) == suggestions(tpe(TPESampler), space, 30)


def test_beyond_the_limit_the_good_model_is_built_from_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tpe, "LIMIT", 120)
    monkeypatch.setattr(bounded_tpe, "N_RUNNING", 20)
    trials = [finished(number, random.Random(number)) for number in range(400)]
    chosen = Ranking().choose(trials)
    assert len(chosen) == 120
    assert [trial.number for trial in chosen] == sorted(trial.number for trial in chosen)
    study = optuna.create_study(direction="maximize")
    whole = [trial for trial in trials if trial.state is not TrialState.FAIL]
    below = [optuna.samplers._tpe.sampler._split_trials(study, part, 25)[0] for part in (whole, chosen)]
    assert [trial.number for trial in below[0]] == [trial.number for trial in below[1]]


def test_the_ranking_is_kept_up_as_trials_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tpe, "LIMIT", 60)
    monkeypatch.setattr(bounded_tpe, "N_BEST", 30)
    monkeypatch.setattr(bounded_tpe, "N_RUNNING", 10)
    trials = [finished(number, random.Random(number)) for number in range(200)]
    kept = Ranking()
    for n in (50, 120, 121, 200):
        assert numbers(kept.choose(trials[:n])) == numbers(Ranking().choose(trials[:n])) == chosen_anew(trials[:n], 60, 30, 10)


def chosen_anew(trials: Sequence[FrozenTrial], limit: int, n_best: int, n_running: int) -> list[int]:
    """The rule, without anything kept."""
    finished = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    running = [trial for trial in trials if trial.state is TrialState.RUNNING]
    if len(finished) + len(running) > limit:
        running = running[-n_running:]
        best = sorted(finished, key=lambda trial: (rank(trial), trial.number))[:n_best]
        finished = [*best, *even([one for one in finished if one not in best], limit - n_best - len(running))]
    return sorted(numbers([*finished, *running]))


def test_trials_that_end_late_come_in_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tpe, "LIMIT", 60)
    monkeypatch.setattr(bounded_tpe, "N_BEST", 30)
    monkeypatch.setattr(bounded_tpe, "N_RUNNING", 10)
    rng = random.Random(0)
    states = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    ends = [finished(number, rng) for number in range(150)]
    trials, kept = [], Ranking()
    for _ in range(400):
        if len(trials) < 150:
            trials.append(copy.copy(ends[len(trials)]))
            trials[-1].state = states[0]
        for index in rng.sample(range(len(trials)), min(len(trials), 5)):
            if not trials[index].state.is_finished():
                trials[index] = copy.copy(ends[index])
                trials[index].state = rng.choice(states)
        assert numbers(kept.choose(trials)) == chosen_anew(trials, 60, 30, 10)
    assert sum(trial.state.is_finished() for trial in trials) > 100


def test_the_cost_of_a_choice_does_not_grow_with_the_finished_trials() -> None:
    """Trials that are looked at, by a study of a thousand and one of twenty times as many."""

    class Counted(list[FrozenTrial]):
        n_looks = 0

        def __getitem__(self, index: Any) -> Any:
            self.n_looks += 1
            return super().__getitem__(index)

    rng = random.Random(0)
    some = [trial for trial in (finished(number, rng) for number in range(300)) if trial.state.is_finished()]
    looks = []
    for n in (1000, 20_000):
        trials = Counted(rng.choice(some) for _ in range(n))
        kept = Ranking()
        kept.choose(trials)
        trials.n_looks = 0
        assert len(kept.choose(trials)) == bounded_tpe.LIMIT
        looks.append(trials.n_looks)
    assert looks[0] == looks[1] == bounded_tpe.LIMIT


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 99), unique=True, min_size=1), st.integers(0, 40), st.data())
def test_an_even_part_of_what_is_left(items: list[int], n: int, data: st.DataObject) -> None:
    ordered = sorted(items)
    others = data.draw(st.lists(st.sampled_from(ordered), unique=True))
    assert even_without(ordered, others, n) == even([item for item in ordered if item not in others], n)


def test_several_goals_within_the_limit_are_optunas_own(space: Space) -> None:
    streams = []
    for cls in (BoundedTPESampler, TPESampler):
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=tpe(cls))
        for _ in range(30):
            trial = study.ask()
            space.suggest(trial)
            study.tell(trial, [-abs(np.log10(trial.params["optim.lr"]) + 4), trial.params["optim.lr"]])
        streams.append([trial.params for trial in study.get_trials(deepcopy=False)])
    assert streams[0] == streams[1]


@pytest.mark.parametrize("n_best", [12, 40])
def test_several_goals_beyond_the_limit_show_the_best_fronts(monkeypatch: pytest.MonkeyPatch, n_best: int) -> None:
    monkeypatch.setattr(bounded_tpe, "LIMIT", 80)
    monkeypatch.setattr(bounded_tpe, "N_BEST", n_best)
    monkeypatch.setattr(bounded_tpe, "N_RUNNING", 10)
    trials = [of_two_goals(number, random.Random(number)) for number in range(300)]
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    ranking = ParetoRanking(directions)
    for n in (50, 200, 201, 300):
        chosen = numbers(ranking.choose(trials[:n]))
        assert chosen == numbers(ParetoRanking(directions).choose(trials[:n])), "kept up as if made anew"
    assert len(chosen) == 80
    complete = [trial for trial in trials if trial.state is TrialState.COMPLETE and not violation(trial)]
    ranks = _fast_non_domination_rank(np.array([[-trial.values[0], trial.values[1]] for trial in complete]))
    whole = [front for front in range(max(ranks) + 1) if sum(ranks <= front) <= n_best]
    assert whole, "some front fits"
    assert {trial.number for trial, front in zip(complete, ranks, strict=True) if front in whole} <= set(chosen)


def test_where_too_few_are_complete_the_best_of_the_others_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tpe, "LIMIT", 40)
    monkeypatch.setattr(bounded_tpe, "N_BEST", 30)
    trials = [of_two_goals(number, random.Random(number)) for number in range(300)]
    few = [trial for trial in trials if trial.state is not TrialState.RUNNING and violation(trial)]
    few += [trial for trial in trials if trial.state is TrialState.COMPLETE and not violation(trial)][:5]
    chosen = numbers(ParetoRanking([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]).choose(few))
    best = sorted(few, key=lambda trial: (violation(trial), trial.number))[:30]
    assert set(numbers(best)) <= set(chosen)
    assert len(chosen) == 40


def of_two_goals(number: int, rng: random.Random) -> FrozenTrial:
    """A trial in some state; pruned ones break a constraint, as the study's do."""
    state = rng.choice([TrialState.RUNNING, *[TrialState.COMPLETE] * 4, *[TrialState.PRUNED] * 3])
    values = [round(rng.random(), 2), round(rng.random(), 2)]
    trial = optuna.create_trial(state=TrialState.COMPLETE, values=values)
    trial.number, trial.state = number, state
    if state is TrialState.PRUNED or rng.random() < 0.1:
        trial.set_constraint("ended early", 1 + round(rng.random(), 1))
    return trial


def test_a_trial_that_is_only_shown_as_pruned_is_ranked_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_tpe, "LIMIT", 60)
    monkeypatch.setattr(bounded_tpe, "N_BEST", 5)
    monkeypatch.setattr(bounded_tpe, "N_RUNNING", 10)
    trials = [finished(number, random.Random(number)) for number in range(200)]
    paused = optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.0})
    paused.number, paused.datetime_complete = 1, None
    trials[1] = paused
    kept = Ranking()
    assert 1 not in numbers(kept.choose(trials))
    paused.state, paused.datetime_complete = TrialState.COMPLETE, trials[0].datetime_complete
    paused.values = [2.0]
    assert 1 in numbers(kept.choose(trials)), "it went on and is the best"
    assert numbers(kept.choose(trials)) == numbers(Ranking().choose(trials))


def numbers(trials: Sequence[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


def finished(number: int, rng: random.Random) -> FrozenTrial:
    """A trial in some state; the last ones run."""
    state = TrialState.RUNNING if number % 10 == 9 else rng.choice([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
    value = round(rng.random(), 2)
    steps = dict.fromkeys(range(1, rng.randrange(2, 6)), value)
    trial = optuna.create_trial(state=TrialState.COMPLETE, value=value, intermediate_values=steps)
    trial.number, trial.state = number, state
    return trial
