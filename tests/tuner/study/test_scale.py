"""A study's cost grows little with it, counted in storage calls and trials read; and TPE over a part of it stays Optuna's."""

from __future__ import annotations

import copy
import os
import random
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.study._multi_objective import _fast_non_domination_rank
from optuna.trial import FrozenTrial, TrialState

from model.training.evaluation import Evaluation
from tests.support import samples
from tests.support.cases import endurance_but
from tests.support.counting_storage import CountingStorage
from tuner.artifacts.checkpoints import Checkpoints
from tuner.artifacts.models import Models
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.execution.bridge import Bridge
from tuner.execution.interruption import Interruption
from tuner.results.pareto import Leaders, best_of, front_of
from tuner.space import Space, load
from tuner.study import PRUNERS, Study, Verdict, opening
from tuner.study.samplers.ranking import LIMIT, ParetoRanking, Ranking, evenly_spaced, evenly_spaced_without, rank, violation
from tuner.study.samplers.tpe import bounded_tpe
from tuner.tracking.events import Observer

N_EVALUATIONS = 10
OBJECTIVE = Objective("sst/accuracy")
BY_RANK = [name for name, pruner in PRUNERS.items() if pruner.pareto]
KINDS = [
    *((pruner, "sst/accuracy", ()) for pruner in PRUNERS),
    *((pruner, "sst/accuracy,sts/pearson", ()) for pruner in BY_RANK),
    *((pruner, "sst/accuracy", ("sts/pearson>=0.5",)) for pruner in BY_RANK),
]
"""Pruner, goals, requirements."""
OPTUNAS = ("median", "percentile", "asha", "hyperband")
"""Under one goal these look at all trials where they judge."""
Counts = tuple[int, int, int]

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(scope="module")
def space() -> Space:
    return load("smart_mtl", "laptop").restrict(tasks=("sst", "quora", "sts", "cfimdb"), required=("sst", "sts"))[0]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingStorage:
    storage = CountingStorage()
    monkeypatch.setattr(opening, "open_storage", lambda given: storage)
    return storage


def evaluation(index: int, score: float) -> Evaluation:
    metrics = {"sst/accuracy": score, "sts/pearson": -score / 2}
    return Evaluation(index, N_EVALUATIONS, index, N_EVALUATIONS, index, metrics, {}, float(index))


def grow(study: Study, n: int, rng: random.Random) -> None:
    """Run n trials to an end."""
    for _ in range(n):
        asked = study.ask()
        assert asked is not None
        level = rng.random()
        for index in range(len(study.record(asked.number).evaluations) + 1, N_EVALUATIONS + 1):
            verdict = study.report(asked.number, evaluation(index, level + 0.01 * index))
            if verdict is Verdict.PAUSE:
                study.release(asked.number)
            if verdict is not Verdict.CONTINUE:
                break
        else:
            study.complete(asked.number)


def costs_of_reports(study: Study, storage: CountingStorage) -> list[Counts]:
    """Storage calls, looks at all trials and trials read, for each report of a trial that is better than all others."""
    asked = study.ask()
    assert asked is not None
    costs = []
    for index in range(len(study.record(asked.number).evaluations) + 1, N_EVALUATIONS + 1):
        storage.reset()
        assert study.report(asked.number, evaluation(index, 2.0 + 0.001 * asked.number)) is Verdict.CONTINUE
        costs.append((storage.calls.total(), storage.calls["get_all_trials"], storage.n_read))
    study.complete(asked.number)
    return costs


@pytest.mark.parametrize(
    ("pruner", "goals", "required"),
    endurance_but(KINDS, ("asha", "sst/accuracy", ()), ("asha", "sst/accuracy,sts/pearson", ())),
)
def test_a_report_looks_at_all_trials_once_at_most_and_where_the_study_judges_never(
    space: Space, counting: CountingStorage, pruner: str, goals: str, required: tuple[str, ...]
) -> None:
    """Ten trials and ten times as many. Optuna's pruners look; the fronts and the rungs are kept up."""
    study = Study(
        "memory:", "grows", space, Objective(goals), "random", pruner, 0, 1000, N_EVALUATIONS,
        requirements=Requirements.parse(required),
    )  # fmt: skip
    rng = random.Random(0)
    grow(study, 10, rng)
    small = costs_of_reports(study, counting)
    grow(study, 90, rng)
    large = costs_of_reports(study, counting)
    assert max(n_calls for n_calls, _, _ in large) == max(n_calls for n_calls, _, _ in small) < 15
    is_optunas = pruner in OPTUNAS and (goals, required) == ("sst/accuracy", ())
    for costs in (small, large):
        assert max(n_looks for _, n_looks, _ in costs) == (1 if is_optunas else 0)
        assert max(n_read for _, _, n_read in costs) <= (len(study.records()) if is_optunas else 0)
        assert costs[-1][1:] == (0, 0), "the last evaluation is not judged"


@pytest.mark.parametrize("goals", ["sst/accuracy", "sst/accuracy,sts/pearson"])
def test_the_end_of_a_trial_reads_no_other(space: Space, counting: CountingStorage, tmp_path: Path, goals: str) -> None:
    """Under the bridge, which looks for models to drop whenever a trial ends."""
    study = Study("memory:", "ends", space, Objective(goals), "random", "none", 0, 1000, N_EVALUATIONS)
    between = Bridge(
        study, Observer(), Models(tmp_path), Checkpoints(tmp_path / "c", 1), lambda: 9, Interruption()
    )  # fmt: skip
    costs = []
    for n in (10, 90):
        grow(study, n, random.Random(n))
        started = between.ask("one")
        assert isinstance(started, dict)
        for index in range(1, N_EVALUATIONS + 1):
            between.on_evaluation(started["number"], evaluation(index, 0.5))
        (tmp_path / str(started["number"])).mkdir()  # its model
        counting.reset()
        between.on_end("one")
        assert study.record(started["number"]).state == "COMPLETE"
        costs.append((dict(counting.calls), counting.n_read))
    assert costs[0] == costs[1]
    assert costs[1][1] == 0


def test_the_cost_of_an_ask_is_a_fixed_number_of_looks_at_the_study(space: Space, counting: CountingStorage) -> None:
    """Optuna's for a trial that waits, and the sampler's."""
    study = Study("memory:", "grows", space, OBJECTIVE, "tpe", "median", 0, 1000, N_EVALUATIONS)
    rng = random.Random(0)
    looks = []
    for n in (15, 30):
        grow(study, n, rng)
        counting.reset()
        assert study.ask() is not None
        looks.append(counting.calls["get_all_trials"])
    assert looks[0] == looks[1] == 2


def test_what_the_trials_have_used_is_read_once_and_then_kept(space: Space, counting: CountingStorage) -> None:
    study = Study("memory:", "grows", space, OBJECTIVE, "random", "none", 0, 50, N_EVALUATIONS)
    grow(study, 20, random.Random(0))
    counting.reset()
    grow(study, 20, random.Random(1))
    assert counting.n_read <= sum(range(60)), "at most Optuna's own look for waiting trials, once for each ask"
    assert len(study.records()) == 40
    assert study.budget.used == 40


# What is kept up


@pytest.mark.parametrize("n_goals", [1, 2, 3])
@pytest.mark.parametrize("required", [False, True])
def test_leaders_are_those_found_among_all(n_goals: int, required: bool) -> None:
    rng = random.Random(n_goals)
    records, kept = [], Leaders()
    for number in range(150):
        goals = {f"goal {index}": rng.randrange(8) / 8 for index in range(n_goals)}
        excess = {"bound": rng.choice([-0.1, 0.0, 0.1, 0.2])} if required else {}
        state = rng.choice(["COMPLETE", "COMPLETE", "PRUNED"])
        record = samples.record(number, state, goals["goal 0"], scores=goals, requirements=excess)
        records.append(record)
        kept.add(record)
        assert kept.best == best_of(records)
        assert kept.front == front_of(records)


@pytest.mark.parametrize("pruner", ["asha", "asha-promote"])
@pytest.mark.parametrize("goals", ["sst/accuracy", "sst/accuracy,sts/pearson"])
def test_a_study_keeps_up_its_best_its_front_and_what_is_unfinished(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goals: str, pruner: str
) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # the disk would take most of the time
    options = (space, Objective(goals), "random", pruner, 0, 1000, N_EVALUATIONS)
    study, rng, running = Study(f"journal:{tmp_path / 'j'}", "kept", *options), random.Random(1), dict[int, int]()
    for _ in range(8):
        for _ in range(25):
            if running:
                turn(study, rng.choice(sorted(running)), running)
        while len(running) < 4:
            asked = study.ask()
            assert asked is not None
            running[asked.number] = len(study.record(asked.number).evaluations)
        records = study.records()
        assert study.best == best_of(records)
        assert study.front == (front_of(records) if "," in goals else [])
        assert set(study.unfinished) == {record.number for record in records if not record.is_finished}
    study.suspend()
    again = Study(f"journal:{tmp_path / 'j'}", "kept", *options)
    assert (again.best, again.front) == (study.best, study.front)
    assert {asked.number for asked in again.resume_unfinished()} == set(running)
    assert set(again.unfinished) == set(study.unfinished)


def turn(study: Study, number: int, running: dict[int, int]) -> None:
    """One more evaluation of a running trial."""
    running[number] += 1
    verdict = study.report(number, evaluation(running[number], random.Random(f"{number} {running[number]}").random()))
    if verdict is Verdict.PAUSE:
        study.release(number)
    elif verdict is Verdict.CONTINUE and running[number] == N_EVALUATIONS:
        study.complete(number)
    if verdict is not Verdict.CONTINUE or running[number] == N_EVALUATIONS:
        del running[number]


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


def tpe(cls: Callable[..., BaseSampler], **options: Any) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return cls(seed=3, n_startup_trials=5, multivariate=True, group=True, constant_liar=True, **options)


def test_a_study_within_the_limit_is_optunas_own_to_the_last_digit(space: Space) -> None:
    assert suggestions(tpe(bounded_tpe), space, 30) == suggestions(tpe(TPESampler), space, 30)


def test_beyond_the_limit_the_good_model_is_built_from_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.study.samplers.ranking.LIMIT", 120)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_RUNNING", 20)
    trials = [finished(number, random.Random(number)) for number in range(400)]
    chosen = Ranking().choose(trials)
    assert len(chosen) == 120
    assert [trial.number for trial in chosen] == sorted(trial.number for trial in chosen)
    study = optuna.create_study(direction="maximize")
    whole = [trial for trial in trials if trial.state is not TrialState.FAIL]
    below = [optuna.samplers._tpe.sampler._split_trials(study, part, 25)[0] for part in (whole, chosen)]
    assert [trial.number for trial in below[0]] == [trial.number for trial in below[1]]


def test_the_ranking_is_kept_up_as_trials_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.study.samplers.ranking.LIMIT", 60)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_BEST", 30)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_RUNNING", 10)
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
        finished = [*best, *evenly_spaced([one for one in finished if one not in best], limit - n_best - len(running))]
    return sorted(numbers([*finished, *running]))


def test_trials_that_end_late_come_in_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.study.samplers.ranking.LIMIT", 60)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_BEST", 30)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_RUNNING", 10)
    rng = random.Random(0)
    states = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    ends = [finished(number, rng) for number in range(150)]
    trials, kept = list[FrozenTrial](), Ranking()
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
        assert len(kept.choose(trials)) == LIMIT
        looks.append(trials.n_looks)
    assert looks[0] == looks[1] == LIMIT


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.integers(0, 99), unique=True, min_size=1), st.integers(0, 40), st.data())
@pytest.mark.slow
def test_an_even_part_of_what_is_left(items: list[int], n: int, data: st.DataObject) -> None:
    ordered = sorted(items)
    others = data.draw(st.lists(st.sampled_from(ordered), unique=True))
    assert evenly_spaced_without(ordered, others, n) == evenly_spaced([item for item in ordered if item not in others], n)


def test_several_goals_within_the_limit_are_optunas_own(space: Space) -> None:
    streams = []
    for cls in (bounded_tpe, TPESampler):
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=tpe(cls))
        for _ in range(30):
            trial = study.ask()
            space.suggest(trial)
            study.tell(trial, [-abs(np.log10(trial.params["optim.lr"]) + 4), trial.params["optim.lr"]])
        streams.append([trial.params for trial in study.get_trials(deepcopy=False)])
    assert streams[0] == streams[1]


@pytest.mark.parametrize("n_best", [12, 40])
def test_several_goals_beyond_the_limit_show_the_best_fronts(monkeypatch: pytest.MonkeyPatch, n_best: int) -> None:
    monkeypatch.setattr("tuner.study.samplers.ranking.LIMIT", 80)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_BEST", n_best)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_RUNNING", 10)
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
    monkeypatch.setattr("tuner.study.samplers.ranking.LIMIT", 40)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_BEST", 30)
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
    monkeypatch.setattr("tuner.study.samplers.ranking.LIMIT", 60)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_BEST", 5)
    monkeypatch.setattr("tuner.study.samplers.ranking.N_RUNNING", 10)
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
