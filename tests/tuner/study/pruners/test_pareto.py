"""Pruning by Pareto rank: sorting against a naive reference, exact decisions, and what a study does with them."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import SuccessiveHalvingPruner
from optuna.storages import InMemoryStorage
from optuna.study._multi_objective import _fast_non_domination_rank

from model.config import ConfigError
from model.training.evaluation import Evaluation
from tests.support import samples
from tests.support.cases import endurance_but
from tuner.config.objective import Objective
from tuner.results.pareto import dominates
from tuner.space import load
from tuner.study import PRUNERS, Study, Verdict, opening
from tuner.study.pareto_fronts import ParetoFronts, Vector, crowding
from tuner.study.pruners.asha import is_promoted
from tuner.study.pruners.percentile import is_behind

COORDINATE = st.integers(0, 5).map(float)
VECTORS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=14)
VECTORS_3 = st.lists(st.tuples(COORDINATE, COORDINATE, COORDINATE), min_size=1, max_size=14)
GOALS = "sst/accuracy,sts/pearson"
Decision = tuple[int, int, Verdict]
"""Trial, evaluation, and what became of it."""


def peeled(vectors: list[Vector]) -> list[set[Vector]]:
    """Fronts by their definition: take off what nothing left dominates, again and again."""
    fronts, left = [], list(vectors)
    while left:
        front = {vector for vector in left if not any(dominates(other, vector) for other in left)}
        fronts.append(front)
        left = [vector for vector in left if vector not in front]
    return fronts


class TestFronts:
    @settings(max_examples=150, derandomize=True, deadline=None)
    @given(vectors=st.one_of(VECTORS, VECTORS_3))
    def test_are_what_peeling_and_optuna_find(self, vectors: list[Vector]) -> None:
        fronts = ParetoFronts(vectors)
        expected = peeled(vectors)
        assert [set(fronts.front(index)) for index in range(len(expected))] == expected
        assert len(fronts) == len(vectors), "equal vectors are kept"
        ranks = _fast_non_domination_rank(-np.array(vectors))
        assert [fronts.index_of(vector) for vector in vectors] == ranks.tolist()

    @settings(max_examples=60, derandomize=True, deadline=None)
    @given(vectors=VECTORS, seed=st.integers(0, 99), new=st.tuples(COORDINATE, COORDINATE))
    def test_the_order_of_arrival_changes_nothing(self, vectors: list[Vector], seed: int, new: Vector) -> None:
        shuffled = list(vectors)
        random.Random(seed).shuffle(shuffled)
        assert ParetoFronts(vectors).n_ahead(new) == ParetoFronts(shuffled).n_ahead(new)
        one, other = ParetoFronts([*vectors, new]), ParetoFronts([new, *shuffled])
        assert is_promoted(one, new, 2) == is_promoted(other, new, 2)
        assert one.index_of(new) == ParetoFronts(vectors).index_of(new), "a vector is on the front that it would be on"

    def test_are_sorted_again_when_a_better_one_comes(self) -> None:
        fronts = ParetoFronts([(1.0, 1.0), (2.0, 0.0), (0.0, 0.0)])
        assert [set(fronts.front(index)) for index in (0, 1)] == [{(1.0, 1.0), (2.0, 0.0)}, {(0.0, 0.0)}]
        fronts.add((1.5, 1.5))
        assert [set(fronts.front(index)) for index in (0, 1, 2)] == [{(1.5, 1.5), (2.0, 0.0)}, {(1.0, 1.0)}, {(0.0, 0.0)}]

    def test_crowding_is_the_room_between_neighbours(self) -> None:
        front = [(0.0, 4.0), (1.0, 3.0), (1.5, 2.5), (4.0, 0.0)]
        assert crowding(front) == {
            (0.0, 4.0): math.inf,
            (1.0, 3.0): pytest.approx(1.5 / 4 + 1.5 / 4),
            (1.5, 2.5): pytest.approx(3.0 / 4 + 3.0 / 4),
            (4.0, 0.0): math.inf,
        }
        assert crowding([(1.0, 2.0), (1.0, 2.0)]) == {(1.0, 2.0): math.inf}

    @settings(max_examples=100, derandomize=True, deadline=None)
    @given(vectors=st.one_of(VECTORS, VECTORS_3))
    def test_are_the_same_at_once_and_one_by_one(self, vectors: list[Vector]) -> None:
        at_once, one_by_one = ParetoFronts(vectors), ParetoFronts()
        for vector in vectors:
            one_by_one.add(vector)
        assert [at_once.index_of(vector) for vector in vectors] == [one_by_one.index_of(vector) for vector in vectors]
        assert len(at_once) == len(one_by_one)


class TestDecisions:
    # Three fronts of two: {A, B}, {C, D}, {E, F}.
    SIX = ParetoFronts([(1.0, 5.0), (5.0, 1.0), (0.8, 4.0), (4.0, 0.8), (0.5, 3.0), (3.0, 0.5)])

    @pytest.mark.parametrize(("vector", "n_ahead", "behind_half", "behind_quarter"), [
        ((0.0, 9.0), 0, False, False),  # worst in one goal, best in the other: on the first front
        ((2.0, 2.0), 0, False, False),  # dominated by none
        ((0.9, 4.5), 2, False, False),  # behind the first front alone: 2 of 6
        ((0.6, 3.5), 4, True, True),    # behind two fronts: 4 of 6
        ((0.1, 0.1), 6, True, True),
    ])  # fmt: skip
    def test_median_and_percentile(self, vector: Vector, n_ahead: int, behind_half: bool, behind_quarter: bool) -> None:
        assert self.SIX.n_ahead(vector) == n_ahead
        assert is_behind(self.SIX, vector, 50.0) is behind_half
        assert is_behind(self.SIX, vector, 25.0) is behind_quarter

    def test_halving_takes_fronts_first_and_the_less_crowded_of_the_front_that_is_cut(self) -> None:
        front = [(0.0, 9.0), (6.0, 6.0), (9.0, 0.0)]
        second = [(-1.0, 8.0), (1.0, 5.0), (5.0, 1.0), (8.0, -1.0)]
        rung = ParetoFronts([*front, *second, (-2.0, -2.0)])  # 8: the best 4 are promoted
        promoted = [vector for vector in [*front, *second] if is_promoted(rung, vector, 2)]
        assert promoted == [*front, (-1.0, 8.0), (8.0, -1.0)], "the ends of the second front have most room"
        assert not is_promoted(rung, (-2.0, -2.0), 2)

    def test_halving_promotes_a_first_front_that_is_larger_than_the_share(self) -> None:
        front = [(float(n), float(9 - n)) for n in range(10)]
        assert all(is_promoted(ParetoFronts(front), vector, 2) for vector in front)

    @settings(max_examples=150, derandomize=True, deadline=None)
    @given(vectors=st.one_of(VECTORS, VECTORS_3), percentile=st.sampled_from([10.0, 25.0, 50.0, 90.0]))
    def test_the_first_front_is_never_pruned(self, vectors: list[Vector], percentile: float) -> None:
        others, rung = ParetoFronts(vectors[1:]), ParetoFronts(vectors)
        if not any(dominates(other, vectors[0]) for other in vectors):
            assert not is_behind(others, vectors[0], percentile)
            assert is_promoted(rung, vectors[0], 2)

    @settings(max_examples=200, derandomize=True, deadline=None)
    @given(values=st.lists(COORDINATE, min_size=1, max_size=12), own=COORDINATE, percentile=st.sampled_from([25.0, 50.0, 60.0]))
    def test_with_one_goal_the_percentile_rule_is_the_scalar_one(
        self, values: list[float], own: float, percentile: float
    ) -> None:
        scalar = own < np.percentile(values, 100 - percentile, method="lower")
        assert is_behind(ParetoFronts([(value,) for value in values]), (own,), percentile) == scalar

    @settings(max_examples=60, derandomize=True, deadline=None)
    @given(values=st.lists(COORDINATE, min_size=1, max_size=12), factor=st.sampled_from([2, 3]))
    def test_with_one_goal_halving_is_optunas(self, values: list[float], factor: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = SuccessiveHalvingPruner(min_resource=1, reduction_factor=factor)
        study = optuna.create_study(direction="maximize", pruner=pruner)
        rung = ParetoFronts()
        for value in values:
            trial = study.ask()
            trial.report(value, 1)
            rung.add((value,))
            assert trial.should_prune() == (not is_promoted(rung, (value,), factor))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage for each name that is there again when its study is opened again: a file would take most of the time."""
    storages: defaultdict[str, InMemoryStorage] = defaultdict(InMemoryStorage)
    monkeypatch.setattr(opening, "open_storage", lambda given: storages[given])


def open_study(folder: Path, pruner: str, sampler: str = "random", n_trials: int = 40, n: int = 10, **changes: Any) -> Study:
    space = load("smart_mtl", "laptop")
    return Study(f"journal:{folder / 'j'}", "s", space, Objective(GOALS), sampler, pruner, 0, n_trials, n, **changes)


def evaluation(index: int, goals: Vector, n: int = 10) -> Evaluation:
    metrics = {"sst/accuracy": goals[0], "sts/pearson": goals[1]}
    return replace(samples.evaluation(index, 0.5), n_evaluations=n, metrics=metrics)


def curve(number: int, index: int) -> Vector:
    """Learning curves of different ends, some good in both goals."""
    rng = random.Random(number)
    merit, taste = rng.random(), rng.random()
    return merit * taste * (1 - math.exp(-index / 3)), merit * (1 - taste) * (1 - math.exp(-index / 5))


def race(study: Study, n_trials: int | None = None, n_evaluations: int = 10) -> dict[int, str]:
    """Run the study's trials one after the other, up to `n_trials` or its budget; what became of each."""
    n_asked = len(study.records())
    while n_asked != n_trials and (asked := study.ask()) is not None:
        n_asked += 1
        for index in range(1, n_evaluations + 1):
            if study.report(asked.number, evaluation(index, curve(asked.number, index), n_evaluations)) is Verdict.PRUNE:
                break
        else:
            study.complete(asked.number)
    return {record.number: record.state for record in study.records()}


@pytest.mark.parametrize("pruner", endurance_but(["median", "percentile", "asha"], "median"))
@pytest.mark.parametrize("sampler", endurance_but(["nsga2", "tpe", "gp"], "nsga2"))
def test_samplers_go_on_beside_pruned_trials(tmp_path: Path, pruner: str, sampler: str) -> None:
    study = open_study(tmp_path, pruner, sampler, n_trials=15)
    states = race(study)
    assert {"COMPLETE", "PRUNED"} == set(states.values())
    assert len(states) > 15, "what pruning saves is used"
    assert 15 <= round(sum(record.share for record in study.records()), 6) < 16
    pruned = [record for record in study.records() if record.state == "PRUNED"]
    assert all(
        f"pruned by {pruner} at evaluation {len(record.evaluations)} of 10, score" in str(record.reason) for record in pruned
    )
    assert all(len(record.evaluations) < 10 for record in pruned)
    stored = optuna.load_study(study_name="s", storage=study._study._storage)
    assert {trial.number for trial in stored.best_trials} == {record.number for record in study.front}


@pytest.mark.usefixtures("in_memory")
def test_median_decides_as_its_definition_says(tmp_path: Path) -> None:
    """Against a reference that sorts everything anew: judged after two complete trials, from the third evaluation on."""
    states = race(open_study(tmp_path, "median"), 40)
    complete: list[int] = []
    for number in range(40):
        for index in range(3, 10):
            own = curve(number, index)
            fronts = peeled([*(curve(other, index) for other in complete), own])
            mine = next(rank for rank, front in enumerate(fronts) if own in front)
            n_ahead = sum(len(front) for front in fronts[:mine])
            if len(complete) >= 2 and n_ahead > math.ceil((len(complete) - 1) / 2):
                assert states[number] == "PRUNED", number
                break
        else:
            assert states[number] == "COMPLETE", number
            complete.append(number)
    assert 10 < sum(state == "PRUNED" for state in states.values()) < 38


@pytest.mark.usefixtures("in_memory")
def test_halving_judges_at_its_rungs_alone(tmp_path: Path) -> None:
    study = open_study(tmp_path, "asha")
    race(study)
    assert {1, 2, 4, 10} <= {len(record.evaluations) for record in study.records()} <= {1, 2, 4, 8, 10}


def race_side_by_side(study: Study, n_trials: int, rng: random.Random, running: dict[int, int]) -> list[Decision]:
    """Eight trials at a time in a random order, until n were asked for; `running` is how far they are."""
    decisions: list[Decision] = []
    n_asked = len(study.records())
    while n_asked < n_trials or len(running) == 8:
        if len(running) < 8:
            asked = study.ask()
            assert asked is not None
            running[asked.number] = 0
            n_asked += 1
            continue
        number = rng.choice(sorted(running))
        running[number] += 1
        index = running[number]
        verdict = study.report(number, evaluation(index, coarse(number, index)))
        decisions.append((number, index, verdict))
        if verdict is Verdict.CONTINUE and index == 10:
            study.complete(number)
        if verdict is not Verdict.CONTINUE or index == 10:
            del running[number]
    return decisions


def coarse(number: int, index: int) -> Vector:
    """Curves with ties."""
    return tuple(round(goal, 2) for goal in curve(number, index))


def decisions_of_the_definition(pruner: str, decisions: list[Decision]) -> list[Decision]:
    """What each judgement should have been after those before it, found anew each time."""
    expected: list[Decision] = []
    ended: set[int] = set()
    for place, (number, index, _) in enumerate(decisions):
        came = {other for other, reached, _ in decisions[: place + 1] if reached == index} - {number}
        own = coarse(number, index)
        if pruner == "asha":
            rung = ParetoFronts([own, *(coarse(other, index) for other in came)])
            stops = index in (1, 2, 4, 8) and not is_promoted(rung, own, 2)
        else:
            others = ParetoFronts(coarse(other, index) for other in came & ended)
            stops = index >= 3 and len(others) >= 2 and is_behind(others, own, {"median": 50.0, "percentile": 25.0}[pruner])
        if index == 10:
            ended.add(number)
        expected.append((number, index, Verdict.PRUNE if stops and index < 10 else Verdict.CONTINUE))
    return expected


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("pruner", endurance_but(["median", "percentile", "asha"], "median", "asha"))
def test_trials_side_by_side_are_judged_as_the_definition_says_over_restarts(tmp_path: Path, pruner: str) -> None:
    rng, running, decisions = random.Random(1), dict[int, int](), list[Decision]()
    for n_trials in (20, 40, 60):
        decisions += race_side_by_side(open_study(tmp_path, pruner, n_trials=60), n_trials, rng, running)
    assert decisions == decisions_of_the_definition(pruner, decisions)
    assert 10 < sum(verdict is Verdict.PRUNE for _, _, verdict in decisions) < 55


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize("pruner", endurance_but(["median", "percentile", "asha"], "median"))
def test_a_study_that_is_opened_again_and_again_decides_the_same(tmp_path: Path, pruner: str) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "often").mkdir()
    expected = race(open_study(tmp_path / "once", pruner), 40)
    states: dict[int, str] = {}
    for n_trials in range(8, 41, 8):
        states = race(open_study(tmp_path / "often", pruner), n_trials)
    assert states == expected


def test_a_study_opened_in_the_middle_of_a_trial_goes_on_judging(tmp_path: Path) -> None:
    study = open_study(tmp_path, "median")
    race(study, 10)
    asked = study.ask()
    assert asked is not None
    study.report(asked.number, evaluation(1, (0.0, 0.0)))
    study.report(asked.number, evaluation(2, (0.0, 0.0)))
    again = open_study(tmp_path, "median")
    assert again.report(asked.number, evaluation(3, (0.0, 0.0))) is Verdict.PRUNE


@pytest.mark.usefixtures("in_memory")
def test_pruned_trials_are_the_last_that_tpe_takes_for_good(tmp_path: Path) -> None:
    study = open_study(tmp_path, "asha", n_trials=24)
    race(study)
    for trial in study._study.trials:
        n = sum(name.startswith("evaluation/") for name in trial.user_attrs)
        assert trial.constraints == ({} if trial.state.name == "COMPLETE" else {"ended early": pytest.approx(2 - n / 10)})


@pytest.mark.parametrize("pruner", [name for name, pruner in PRUNERS.items() if not pruner.pareto])
def test_pruners_that_compare_single_values_are_refused(tmp_path: Path, pruner: str) -> None:
    refused = f"--pruner {pruner} compares trials by one goal, and --metric {GOALS} names several: use one"
    with pytest.raises(ConfigError, match=refused):
        open_study(tmp_path, pruner)


def test_the_cost_of_a_judgement_grows_less_than_the_study() -> None:
    """Vectors that are compared, not seconds."""
    rng = random.Random(0)
    asked = {}
    for n in (250, 4000):
        fronts = ParetoFronts((rng.random(), rng.random()) for _ in range(n))
        asked[n] = max(len(fronts.front(index)) for index in range(20)) * math.ceil(math.log2(n))
    assert asked[4000] < 8 * asked[250], "16 times the trials"


def test_one_goal_without_requirements_is_left_to_optunas_pruner(tmp_path: Path) -> None:
    space = load("smart_mtl", "laptop")
    study = Study(f"journal:{tmp_path / 'j'}", "s", space, Objective("sst/accuracy"), "random", "asha", 0, 4, 10)
    assert type(study._study.pruner) is SuccessiveHalvingPruner


def test_a_kill_before_the_end_is_told_changes_nothing(tmp_path: Path) -> None:
    study = open_study(tmp_path, "median")
    asked = study.ask()
    assert asked is not None
    study.report(asked.number, evaluation(1, (0.1, 0.1)))
    told = {**evaluation(2, (0.1, 0.1)).to_dict(), "score": 0.1, "scores": {"sst/accuracy": 0.1, "sts/pearson": 0.1}}
    trial = optuna.trial.Trial(study._study, study._store.trial(asked.number)._trial_id)
    trial.set_user_attr("evaluation/2", told | {"pruned": "why"})
    again = open_study(tmp_path, "median")
    assert again.resume_unfinished() == []
    assert (again.record(asked.number).state, again.record(asked.number).reason) == ("PRUNED", "why")
    assert again._store.trial(asked.number).constraints == {"ended early": pytest.approx(1.8)}
