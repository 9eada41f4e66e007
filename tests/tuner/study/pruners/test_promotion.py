"""Halving by promotion: exact decisions against a transcription of ASHA, properties, and what a study keeps of it."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from model.training.evaluation import Evaluation
from tests.support.cases import slow_but
from tuner.config.objective import Objective
from tuner.space import load
from tuner.study import SAMPLERS, Study, Verdict, opening, read_records
from tuner.study.pareto_fronts import ParetoFronts, Vector
from tuner.study.pruners.asha import is_promoted
from tuner.study.pruners.asha_promote import PromotionScheduler, Rung
from tuner.study.pruners.base import Schedule
from tuner.study.samplers.view import as_pruned

N = 10
RUNGS = (1, 2, 4, 8)
SPACE = "name: x\nfixed: {mixture: [sst, sts]}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}\n"
Scores = Callable[[int, int], float]
"""The score of a trial at an evaluation."""


def open_study(storage: str, folder: Path, **changes: Any) -> Study:
    (folder / "x.yaml").write_text(SPACE, encoding="utf-8")
    options: dict[str, Any] = {"sampler": "random", "pruner": "asha-promote", "seed": 0, "n_trials": 20, "n_evaluations": N}
    options |= {"objective": Objective("sst/accuracy")} | changes
    options = {"max_trials": options["n_trials"]} | options  # as many as that, however little they use
    return Study(storage, "x", load(folder / "x.yaml"), **options)


def evaluation(index: int, score: float) -> Evaluation:
    metrics = {"sst/accuracy": score, "sts/pearson": 0.5 - score}
    return Evaluation(index, N, index, N, index, metrics, {}, float(index))


def noisy(seed: int) -> Scores:
    """Curves that rise, wave and cross; no two scores are equal."""
    rng = random.Random(seed)
    drawn = [(rng.random(), rng.uniform(0.1, 1.0), rng.random()) for _ in range(200)]

    def score(number: int, index: int) -> float:
        end, speed, phase = drawn[number]
        return end * (1 - math.exp(-speed * index)) + 0.02 * math.sin(9 * index * phase)

    return score


class Workers:
    """Some workers that train in turns, an evaluation at a time; writes down what is begun, and from which evaluation."""

    def __init__(self, study: Study, n: int, scores: Scores) -> None:
        self.study, self.n, self.scores = study, n, scores
        self.jobs: list[tuple[int, int]] = []
        self.trained: Counter[tuple[int, int]] = Counter()
        self.verdicts: list[tuple[int, int, Verdict]] = []

    def run(self, most: float = math.inf) -> None:
        """Until the search is over, or `most` evaluations are made."""
        slots: list[tuple[int, int] | None] = [None] * self.n
        self.is_over = False
        while not self.is_over and sum(self.trained.values()) < most:
            slots = [self._turn(slot) for slot in slots]
            self.is_over &= not any(slots)

    def _turn(self, slot: tuple[int, int] | None) -> tuple[int, int] | None:
        if slot is None:
            asked = self.study.ask()
            if asked is None:
                self.is_over = not self.study.waits
                return None
            slot = asked.number, len(self.study.record(asked.number).evaluations)
            self.jobs.append(slot)
        number, index = slot[0], slot[1] + 1
        self.trained[number, index] += 1
        verdict = self.study.report(number, evaluation(index, self.scores(number, index)))
        self.verdicts.append((number, index, verdict))
        if verdict is Verdict.PAUSE:
            self.study.release(number)
        elif verdict is Verdict.CONTINUE and index == N:
            self.study.complete(number)
        elif verdict is Verdict.CONTINUE:
            return number, index
        return None


def algorithm_2(n_trials: int, scores: Scores, eta: int = 2) -> list[tuple[int, int]]:
    """`get_job` and `run_then_return_val_loss` of Li et al. 2020 with one worker: (trial, evaluation that it is trained from).

    As `asha` here does, one trial goes on where 1 in η is none; the paper's would wait for η of them.
    """
    rungs: dict[int, dict[int, float]] = {rung: {} for rung in RUNGS}
    promoted: dict[int, set[int]] = {rung: set() for rung in RUNGS}
    jobs, n_begun = [], 0

    def get_job() -> tuple[int, int] | None:
        nonlocal n_begun
        for k in reversed(RUNGS):
            best = sorted(rungs[k], key=lambda trial: -rungs[k][trial])[: max(len(rungs[k]) // eta, 1)]
            promotable = [trial for trial in best if trial not in promoted[k]]
            if promotable:
                promoted[k].add(promotable[0])
                return promotable[0], k
        if n_begun < n_trials:
            n_begun += 1
            return n_begun - 1, 0
        return None

    while (job := get_job()) is not None:
        trial, start = job
        jobs.append(job)
        target = next((rung for rung in RUNGS if rung > start), N)
        if target < N:
            rungs[target][trial] = scores(trial, target)
    return jobs


def joined(jobs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Jobs without those in which the worker goes on at once with the trial that it has: we do not stop for these."""
    return [job for before, job in zip([None, *jobs], jobs, strict=False) if before is None or job[0] != before[0]]


def test_one_worker_decides_as_algorithm_2(tmp_path: Path) -> None:
    n_promoted = 0
    for seed in range(6):
        scores = noisy(seed)
        workers = Workers(open_study("memory:", tmp_path), 1, scores)
        workers.run()
        assert workers.jobs == joined(algorithm_2(20, scores))
        n_promoted += sum(start > 0 for _, start in workers.jobs)
    assert n_promoted > 10, "searches in which nothing is promoted say little"


def test_a_list_made_by_hand(tmp_path: Path) -> None:
    """Trial 0 is alone and goes to its end. With four at evaluation 1 two go on, 0 and 1; with six three, 0, 1 and 5, which is
    better than 2. At evaluation 2 it meets 0 and 1, and one of three goes on."""
    tops = [0.8, 0.7, 0.6, 0.5, 0.4, 0.65]
    workers = Workers(open_study("memory:", tmp_path, n_trials=6), 1, lambda number, index: tops[number])
    workers.run()
    assert workers.jobs == [(0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (4, 0), (5, 0)]
    assert {number: record.state for number, record in enumerate(workers.study.records())} == {
        0: "COMPLETE", 1: "PRUNED", 2: "PRUNED", 3: "PRUNED", 4: "PRUNED", 5: "PRUNED",
    }  # fmt: skip
    reasons = [record.reason for record in workers.study.records()]
    assert reasons[1] == "not promoted from evaluation 2 of 10, score 0.7000"
    assert reasons[3] == "not promoted from evaluation 1 of 10, score 0.5000"
    assert reasons[5] == "not promoted from evaluation 2 of 10, score 0.6500"


@settings(max_examples=15, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 10**6), n_workers=st.integers(1, 7),
    goals=st.sampled_from(["sst/accuracy", "sst/accuracy,sts/pearson"]), fails=st.sets(st.integers(0, 19), max_size=6),
)  # fmt: skip
def test_every_search_ends_settled_and_trains_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_workers: int, goals: str, fails: set[int]
) -> None:
    scores = noisy(seed)
    study = open_study("memory:", tmp_path_factory.mktemp("x"), objective=Objective(goals))
    failing = {number: random.Random(number + seed).randint(1, N) for number in fails}
    workers = Workers(
        study, n_workers, lambda number, index: math.nan if failing.get(number, 99) <= index else scores(number, index),
    )  # fmt: skip
    workers.run()
    records = study.records()
    assert len(records) == 20
    assert {record.state for record in records} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert {trial.state.name for trial in study._study.trials} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert any(record.state == "COMPLETE" for record in records)
    assert study.paused == []
    assert set(workers.trained.values()) == {1}
    for record in records:
        assert [found["index"] for found in record.evaluations] == list(range(1, len(record.evaluations) + 1))
        if record.state == "PRUNED":
            assert len(record.evaluations) in RUNGS
    pauses = [(number, index) for number, index, verdict in workers.verdicts if verdict is Verdict.PAUSE]
    goes_on = [job for job in workers.jobs if job[1] > 0]
    assert set(goes_on) <= set(pauses), "only what paused is promoted, from where it paused"
    assert len(goes_on) == len(set(goes_on))


@settings(max_examples=15, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10**6), n_workers=st.integers(1, 7))
def test_whoever_goes_on_from_a_rung_is_among_the_best_half_of_those_that_came(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n_workers: int
) -> None:
    scores = noisy(seed)
    study = open_study("memory:", tmp_path_factory.mktemp("x"))
    came: dict[int, list[float]] = {rung: [] for rung in RUNGS}

    def share(number: int, rung: int) -> bool:
        ahead = sum(score > scores(number, rung) for score in came[rung])
        return ahead < max(len(came[rung]) // 2, 1)

    class Watched(Workers):
        def _turn(self, slot: tuple[int, int] | None) -> tuple[int, int] | None:
            n_jobs, n_verdicts = len(self.jobs), len(self.verdicts)
            after = super()._turn(slot)
            if len(self.jobs) > n_jobs and self.jobs[-1][1] > 0:
                assert share(*self.jobs[-1])
            if len(self.verdicts) > n_verdicts:
                number, index, verdict = self.verdicts[-1]
                if index in RUNGS:
                    came[index].append(scores(number, index))
                    assert (verdict is Verdict.CONTINUE) == share(number, index)
            return after

    Watched(study, n_workers, scores).run()
    for rung in RUNGS:
        left = [scores(record.number, rung) for record in study.records() if len(record.evaluations) == rung]
        ordered = sorted(came[rung], reverse=True)
        assert not set(left) & set(ordered[: max(len(ordered) // 2, 1)]), "nobody that halving would let go on is left behind"


def test_a_failed_trial_makes_room_for_the_next_best(tmp_path: Path) -> None:
    study = open_study("memory:", tmp_path, n_trials=2)
    workers = Workers(study, 2, lambda number, index: math.nan if number == 0 and index == 5 else 0.9 - 0.1 * number)
    workers.run()
    assert [(record.state, len(record.evaluations)) for record in study.records()] == [("FAIL", 4), ("COMPLETE", N)]
    assert workers.jobs == [(0, 0), (1, 0), (1, 1)]


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    values=st.one_of(
        st.lists(st.tuples(st.integers(0, 5).map(float)), min_size=1, max_size=12),
        st.lists(st.tuples(st.integers(0, 5).map(float), st.integers(0, 5).map(float)), min_size=1, max_size=12),
    ),
    factor=st.sampled_from([2, 3]),
)
def test_a_rung_judges_as_halving_by_rank_does(values: list[Vector], factor: int) -> None:
    rung, fronts = Rung(), ParetoFronts(values)
    for value in values:
        rung.add(value)
    assert [rung.is_among_best(value, factor) for value in values] == [is_promoted(fronts, value, factor) for value in values]


@settings(max_examples=25, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_rung_holds_the_goals_of_all_that_came_there_failed_ones_as_the_worst(seed: int) -> None:
    rng = random.Random(seed)
    scheduler = PromotionScheduler(optuna.create_study(), Schedule(N), lambda trial: [])
    running: list[int] = []
    curves: dict[int, list[Vector]] = {}
    failed: set[int] = set()
    for _ in range(150):
        if len(curves) < 30 and (not running or rng.random() < 0.3):
            running.append(len(curves))
            curves[len(curves)] = []
        number = scheduler.promote()
        if number is not None:
            running.append(number)
        number = rng.choice(running) if running else None
        if number is None:
            continue
        if rng.random() < 0.05:
            scheduler.end(number, TrialState.FAIL)
            failed.add(number)
            running.remove(number)
        elif len(curves[number]) == N:
            scheduler.end(number, TrialState.COMPLETE)
            running.remove(number)
        else:
            curves[number].append((rng.randint(0, 9) / 10,))
            if not scheduler.arrive(number, curves[number][-1]):
                scheduler.release(number)
                running.remove(number)
        for rung in RUNGS:
            came = {one: curve[rung - 1] for one, curve in curves.items() if len(curve) >= rung}
            assert scheduler._rungs[rung]._values == sorted((-math.inf,) if one in failed else came[one] for one in came)
        assert scheduler._rungs.keys() == set(RUNGS)


def journal(folder: Path) -> str:
    return f"journal:{folder / 'journal'}"


def test_an_interrupted_search_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Killed after every evaluation: each session takes up what ran, and finds paused what was."""
    scores = noisy(3)
    calm = Workers(open_study("memory:", tmp_path, n_trials=10), 1, scores)
    calm.run()
    n_sessions, trained, paused_once = 0, Counter[tuple[int, int]](), False
    while True:
        n_sessions += 1
        study = open_study(journal(tmp_path), tmp_path, n_trials=10)
        before = {record.number: record.state for record in study.records()}
        unfinished = study.resume_unfinished()
        assert study.paused == [number for number, state in before.items() if state == "PAUSED"]
        paused_once |= bool(study.paused)
        workers = Workers(study, 1, scores)
        asked = unfinished[0] if unfinished else study.ask()
        if asked is None:
            break
        index = len(study.record(asked.number).evaluations) + 1
        trained[asked.number, index] += 1
        verdict = study.report(asked.number, evaluation(index, scores(asked.number, index)))
        if verdict is Verdict.CONTINUE and index == N:
            study.complete(asked.number)
        assert workers.jobs == []
    assert paused_once
    assert n_sessions > 20
    assert set(trained.values()) == {1}
    assert [(r.state, r.evaluations, r.reason) for r in study.records()] == [
        (r.state, r.evaluations, r.reason) for r in calm.study.records()
    ]


def test_between_two_sessions_a_paused_trial_waits_and_says_so(tmp_path: Path) -> None:
    study = open_study(journal(tmp_path), tmp_path)
    Workers(study, 1, lambda number, index: 0.5 - 0.01 * number).run(most=12)
    assert [record.state for record in study.records()][:3] == ["COMPLETE", "PAUSED", "PAUSED"]
    assert [study._study.trials[number].state for number in (1, 2)] == [TrialState.RUNNING] * 2
    study.suspend()
    assert all(trial.state is not TrialState.RUNNING for trial in study._study.trials)
    told = read_records(journal(tmp_path), "x")
    assert [(record.number, record.state, record.score, record.reason) for record in told][1:] == [
        (1, "PAUSED", 0.49, "paused by asha-promote at evaluation 1 of 10, score 0.4900"),
        (2, "PAUSED", 0.48, "paused by asha-promote at evaluation 1 of 10, score 0.4800"),
    ]
    again = open_study(journal(tmp_path), tmp_path)
    assert again.resume_unfinished() == []
    assert again.paused == [1, 2]
    asked = again.ask()
    assert asked is not None
    assert asked.number == 3, "a waiting trial is not drawn as a new one"


def test_a_promoted_trial_that_a_kill_cuts_off_is_taken_up_and_not_promoted_again(tmp_path: Path) -> None:
    study = open_study(journal(tmp_path), tmp_path)
    tops = [0.5, 0.4, 0.3, 0.2]
    Workers(study, 1, lambda number, index: tops[number]).run(most=10 + 3)
    asked = study.ask()
    assert asked is not None
    assert asked.number == 1
    assert study.record(1).state == "RUNNING"
    # kill -9
    again = open_study(journal(tmp_path), tmp_path)
    assert [one.number for one in again.resume_unfinished()] == [1]
    assert again.paused == [2, 3]


def test_what_a_budget_leaves_paused_is_settled_with_its_reason(tmp_path: Path) -> None:
    study = open_study(journal(tmp_path), tmp_path)
    Workers(study, 1, lambda number, index: 0.5 - 0.01 * number).run(most=11)
    study.prune_paused("the time budget of 1 h is used up")
    assert study.ended == [1]
    assert study.record(1).state == "PRUNED"
    assert study.record(1).reason == "not promoted from evaluation 1 of 10, score 0.4900: the time budget of 1 h is used up"
    assert study.paused == []


@pytest.mark.parametrize("sampler", slow_but([name for name in SAMPLERS if name != "grid"], "tpe", "nsga2"))
def test_every_sampler_works_with_it(tmp_path: Path, sampler: str) -> None:
    study = open_study("memory:", tmp_path, sampler=sampler, n_trials=16)
    Workers(study, 3, noisy(1)).run()
    assert {record.state for record in study.records() if record.same_as is None} == {"COMPLETE", "PRUNED"}


def test_to_the_sampler_a_paused_trial_is_a_pruned_one(tmp_path: Path) -> None:
    """The next draw is that of a study in which it was pruned; the draw of one in which it runs is another."""

    def drawn(end: Callable[[Study, int], None]) -> dict[str, Any]:
        study = open_study("memory:", tmp_path, sampler="tpe", n_trials=40)
        Workers(study, 1, lambda number, index: 0.5 - 0.01 * number).run(most=60)
        for number in study.paused:
            end(study, number)
        trial = study._study.ask()
        study.space.suggest(trial)
        return dict(trial.params)

    def run_on(study: Study, number: int) -> None:
        frozen = study._store.trial(number)
        study._study._storage.set_trial_user_attr(frozen._trial_id, "promoted", len(study.record(number).evaluations))

    paused = drawn(lambda study, number: None)
    assert paused == drawn(lambda study, number: study.prune(number, "pruned"))
    assert paused != drawn(run_on)


def test_under_several_goals_it_breaks_the_constraint_of_pruned_trials(tmp_path: Path) -> None:
    objective = Objective("sst/accuracy,sts/pearson")
    study = open_study("memory:", tmp_path, objective=objective, n_trials=30)
    tops = [0.9, 0.8]
    study.ask(), study.ask()
    for number in (0, 1):
        metrics = {"sst/accuracy": tops[number], "sts/pearson": tops[number]}
        verdict = study.report(number, Evaluation(1, N, 1, N, 1, metrics, {}, 1.0))
    assert verdict is Verdict.PAUSE
    seen = as_pruned(study._store.trial(1), objective)
    study.release(1)
    study.prune(1, "as a pruned one")
    assert (seen.state, seen.constraints) == (study._store.trial(1).state, study._store.trial(1).constraints)


def test_reports_and_asks_cost_the_same_number_of_calls_however_many_trials_are_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.counting_storage import CountingStorage

    storage = CountingStorage()
    monkeypatch.setattr(opening, "open_storage", lambda given: storage)
    study = open_study("memory:", tmp_path, n_trials=1000)
    costs = []
    for n in (12, 60):
        worse = iter(range(10**6))
        while len(study.paused) < n:
            asked = study.ask()
            assert asked is not None
            for index in range(len(study.record(asked.number).evaluations) + 1, N + 1):
                level = -1.0 - 0.001 * next(worse)
                verdict = study.report(asked.number, evaluation(index, level))
                if verdict is Verdict.PAUSE:
                    study.release(asked.number)
                    break
            else:
                study.complete(asked.number)
        storage.reset()
        asked = study.ask()
        assert asked is not None
        n_asking = storage.calls.total()
        storage.reset()
        study.report(asked.number, evaluation(len(study.record(asked.number).evaluations) + 1, 2.0))
        costs.append((n_asking, storage.calls.total()))
        assert storage.n_read == 0
    assert costs[0][1] == costs[1][1]
    assert costs[1][0] <= costs[0][0] + 2, "a new trial and a promoted one are asked for with few calls"
    assert max(costs[1]) < 30


optuna.logging.set_verbosity(optuna.logging.ERROR)
