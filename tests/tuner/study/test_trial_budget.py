"""The budget of a search in full trials: what a trial uses of it, when another may begin, and when the search is over."""

from __future__ import annotations

import json
import math
import os
import pickle
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from model.training.evaluation import Evaluation
from tests.support import samples
from tuner.config.objective import Objective
from tuner.space import Space, load
from tuner.study import Study, Suggestion, Verdict, opening
from tuner.study.storage import open_storage
from tuner.study.trial_budget import PRIOR, TrialBudget

N = 10
SPACE = """\
name: x
fixed: {mixture: [sst, sts]}
search:
  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}
  optim.dropout: {float: [0.0, 0.5]}
"""
FEW = "name: x\nfixed: {mixture: [sst]}\nsearch:\n  smart.enabled: {choice: [true, false]}\n"
Scores = Callable[[int, int], float]
"""The score of a trial at an evaluation."""


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk would take most of the time."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Space:
    return space_of(SPACE, tmp_path_factory.mktemp("space"))


def space_of(text: str, folder: Path) -> Space:
    (folder / "x.yaml").write_text(text, encoding="utf-8")
    return load(folder / "x.yaml")


def open_study(space: Space, storage: str = "memory:", **changes: Any) -> Study:
    options: dict[str, Any] = {"sampler": "random", "pruner": "asha", "seed": 0, "n_trials": 12, "n_evaluations": N}
    return Study(storage, "x", space, Objective("sst/accuracy"), **{**options, **changes})


def evaluation(index: int, score: float) -> Evaluation:
    return Evaluation(index, N, index, N, index, {"sst/accuracy": score, "sts/pearson": score}, {}, float(index))


def noisy(seed: int) -> Scores:
    """Curves that rise, wave and cross."""

    def score(number: int, index: int) -> float:
        rng = random.Random(f"{seed} {number}")
        end, speed, phase = rng.random(), rng.uniform(0.1, 1.0), rng.random()
        return end * (1 - math.exp(-speed * index)) + 0.02 * math.sin(9 * index * phase)

    return score


def begin(study: Study) -> Suggestion:
    asked = study.ask()
    assert asked is not None
    return asked


class Slots:
    """So many trials side by side, which advance in a random order; notes the most that ran at once."""

    def __init__(self, study: Study, n: int, scores: Scores, seed: int = 0) -> None:
        self.study, self.n, self.scores = study, n, scores
        self.rng = random.Random(seed)
        self.running: dict[int, int] = {}
        """Evaluations made, by trial."""

    def run(self, most: float = math.inf) -> None:
        """Until there is nothing left to run, or `most` evaluations are made."""
        n_made = 0
        while n_made < most:
            self.fill()
            if not self.running:
                return
            self.advance(self.rng.choice(sorted(self.running)))
            n_made += 1

    def fill(self) -> None:
        while len(self.running) < self.n:
            asked = self.study.ask()
            if asked is None:
                assert self.running or not self.study.waits, "it waits for what runs alone"
                return
            self.running[asked.number] = len(self.study.record(asked.number).evaluations)

    def advance(self, number: int) -> Verdict:
        self.running[number] += 1
        index = self.running[number]
        verdict = self.study.report(number, evaluation(index, self.scores(number, index)))
        if verdict is Verdict.PAUSE:
            self.study.release(number)
        elif verdict is Verdict.CONTINUE and index == N:
            self.study.complete(number)
        if verdict is not Verdict.CONTINUE or index == N:
            del self.running[number]
        return verdict


def failing(scores: Scores, at: dict[int, int]) -> Scores:
    """The scores, but some trials fail at an evaluation."""
    return lambda number, index: math.nan if at.get(number, N + 1) <= index else scores(number, index)


# Decisions


def test_a_trial_uses_the_share_of_its_evaluations() -> None:
    budget = TrialBudget(3, None, N)
    budget.begin(0)
    assert budget.used == 0.0
    budget.reported(0, 3)
    budget.end(0)
    assert budget.used == 0.3
    budget.begin(1)
    budget.end(1)  # before its first evaluation
    assert budget.shares == {0: 0.3, 1: 0.1}
    budget.begin(2)
    budget.drop(2)  # a repeat
    assert budget.shares == {0: 0.3, 1: 0.1}
    budget.begin(0)  # it was paused and goes on
    assert (budget.used, budget.running) == (0.4, {0})
    budget.reported(0, 4)
    assert budget.used == 0.5


def test_what_runs_is_counted_as_an_average_trial_among_some_full_ones() -> None:
    budget = TrialBudget(4, None, N)
    for number in range(8):
        budget.begin(number)
        budget.reported(number, 1)
        budget.end(number)
    expected = (PRIOR + 0.8) / (PRIOR + 8)
    assert budget.used == pytest.approx(0.8)
    begun: list[int] = []
    while budget.has_room:
        begun.append(8 + len(begun))
        budget.begin(begun[-1])
    assert (round(expected, 6), len(begun)) == (0.4, 8), "eight times 0.4 are the 3.2 that are left"
    budget.reported(8, 6)  # more than the average: it is counted with what it has used
    budget.reported(9, 1)
    assert (budget.has_room, budget.is_spent) == (False, False)
    for number in (10, 11):
        budget.end(number)
    assert (budget.has_room, budget.is_spent) == (True, False)


def test_a_budget_is_spent_by_what_was_used_alone() -> None:
    budget = TrialBudget(1, None, N)
    budget.begin(0)
    assert (budget.has_room, budget.is_spent) == (False, False)
    budget.reported(0, N)
    assert (budget.has_room, budget.is_spent) == (False, True)


def test_tenths_that_add_up_to_the_budget_spend_it() -> None:
    budget = TrialBudget(1, None, N)
    for number in range(10):
        assert budget.has_room
        budget.begin(number)
        budget.reported(number, 1)
        budget.end(number)
    assert sum([0.1] * 10) < 1
    assert (budget.has_room, budget.is_spent) == (False, True)


def test_the_budget_of_records_leaves_out_repeats() -> None:
    records = [
        samples.record(0, score=0.5),
        samples.record(1, "PRUNED", 0.4, evaluations=[{"index": 1, "n_evaluations": 2}]),
        samples.record(2, score=0.5, same_as=0),
        samples.record(3, "RUNNING", None, evaluations=[{"index": 1, "n_evaluations": 2}]),
        samples.record(4, "PAUSED", None, evaluations=[{"index": 1, "n_evaluations": 2}]),
        samples.record(5, "FAIL", None),
        samples.record(6, "RUNNING", None),
    ]
    budget = TrialBudget.of(records, 9, None, 2)
    assert budget.shares == {0: 1.0, 1: 0.5, 3: 0.5, 4: 0.5, 5: 0.5, 6: 0.0}
    assert budget.running == {3, 6}


# Searches


@pytest.mark.parametrize("n_slots", [1, 3, 8])
@pytest.mark.parametrize("n_trials", [1, 7, 12])
def test_without_pruning_a_budget_of_n_is_exactly_n_trials(space: Space, n_trials: int, n_slots: int) -> None:
    study = open_study(space, pruner="none", n_trials=n_trials)
    Slots(study, n_slots, noisy(0)).run()
    assert [record.state for record in study.records()] == ["COMPLETE"] * n_trials
    assert study.budget.used == n_trials


@settings(max_examples=25, derandomize=True)
@given(
    seed=st.integers(0, 10**6), n_slots=st.integers(1, 8), n_trials=st.integers(1, 15),
    pruner=st.sampled_from(["median", "asha", "asha-promote", "none"]),
    fails=st.dictionaries(st.integers(0, 30), st.integers(1, N), max_size=8),
)  # fmt: skip
def test_a_search_uses_its_budget_and_at_most_a_trial_more_for_each_slot(
    space: Space, seed: int, n_slots: int, n_trials: int, pruner: str, fails: dict[int, int]
) -> None:
    study = open_study(space, pruner=pruner, n_trials=n_trials)
    Slots(study, n_slots, failing(noisy(seed), fails), seed).run()
    records = study.records()
    n_failed = sum(record.state == "FAIL" for record in records)
    assert n_trials <= round(study.budget.used, 6) or n_failed >= n_trials
    assert study.budget.used < n_trials + n_slots
    assert study.budget.used == pytest.approx(sum(record.share for record in records))
    assert len(records) >= n_trials
    assert all(record.is_finished for record in records)
    assert (study.budget.running, study.paused, study.waits) == (set(), [], False)


@pytest.mark.parametrize("pruner", ["asha", "asha-promote"])
def test_halving_makes_more_trials_of_a_budget_and_exceeds_it_little(space: Space, pruner: str) -> None:
    for seed in range(6):
        study = open_study(space, pruner=pruner, n_trials=20)
        Slots(study, 4, noisy(seed), seed).run()
        assert 20 <= round(study.budget.used, 6) < 22
        assert len(study.records()) > 25


@pytest.mark.parametrize("n_slots", [1, 3])
@pytest.mark.parametrize("at", [1, 3])
def test_a_search_in_which_everything_fails_ends_after_as_many_trials_as_its_budget(
    space: Space, at: int, n_slots: int
) -> None:
    study = open_study(space, pruner="none", n_trials=3)
    Slots(study, n_slots, failing(noisy(0), dict.fromkeys(range(100), at))).run()
    states = [record.state for record in study.records()]
    assert set(states) == {"FAIL"}
    assert 3 <= len(states) < 3 + n_slots
    assert study.exhausted is not None
    assert study.exhausted.startswith("the search ends because 3 trials failed")


def test_a_repeat_uses_nothing(tmp_path: Path) -> None:
    study = open_study(space_of(FEW, tmp_path), pruner="none", n_trials=5)
    Slots(study, 1, noisy(0)).run()
    records = study.records()
    assert sum(record.same_as is not None for record in records) >= 10
    assert study.budget.shares == {record.number: 1.0 for record in records if record.same_as is None}
    assert study.budget.used == 2
    assert study.exhausted is not None
    assert study.exhausted.startswith("the search ends after 2 trials, with less than the compute of 5 full ones used")
    assert not study.waits


def test_refused_configurations_use_an_evaluation_each_and_end_the_search(space: Space, tmp_path: Path) -> None:
    refused = replace(space, fixed={"mixture": ["sst", "sts"], "mixing.loss_weights": "explicit"})
    study = open_study(refused, f"journal:{tmp_path / 'j'}", n_trials=4)
    assert study.ask() is None
    assert study.budget.shares == dict.fromkeys(range(4), 1 / N)
    again = open_study(refused, study.storage, n_trials=5)
    assert again.budget.shares == study.budget.shares
    assert again.ask() is None
    assert [record.state for record in again.records()] == ["FAIL"] * 5


@pytest.mark.parametrize("pruner", ["none", "asha", "asha-promote"])
def test_max_trials_limits_their_number_before_the_budget_does(space: Space, pruner: str) -> None:
    study = open_study(space, pruner=pruner, n_trials=20, max_trials=6)
    slots = Slots(study, 2, noisy(1))
    slots.run()
    assert len(study.records()) == 6
    assert study.budget.is_full
    assert study.budget.used <= 6
    assert (study.ask(), study.waits) == (None, False)


def test_max_trials_above_what_the_budget_allows_changes_nothing(space: Space) -> None:
    streams = []
    for max_trials in (None, 1000):
        study = open_study(space, max_trials=max_trials)
        Slots(study, 2, noisy(1)).run()
        streams.append([(record.state, record.score) for record in study.records()])
    assert streams[0] == streams[1]


def test_max_trials_does_not_count_repeats(tmp_path: Path) -> None:
    study = open_study(space_of(FEW, tmp_path), pruner="none", n_trials=5, max_trials=2)
    first = begin(study)
    study._study.enqueue_trial(study._study.trials[0].params)
    other = begin(study)
    assert other.config != first.config
    assert len(study.records()) >= 3
    assert (study.ask(), study.budget.is_full) == (None, True)


# Sessions


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("pruner", ["none", "asha", "asha-promote"])
@pytest.mark.parametrize("n_made", [17, 40, 75])
def test_a_study_opened_again_has_the_same_budget_and_asks_for_as_many_more(
    space: Space, tmp_path: Path, pruner: str, n_made: int
) -> None:
    kept = f"journal:{tmp_path / 'j'}"
    calm, cut = (open_study(space, storage, pruner=pruner) for storage in ("memory:", kept))
    slots = Slots(cut, 2, failing(noisy(2), {3: 1, 5: 4}))
    slots.run(n_made)
    cut.suspend()
    again = open_study(space, kept, pruner=pruner)
    assert {asked.number for asked in again.resume_unfinished()} == set(slots.running)
    assert again.budget == cut.budget
    slots.study = again
    slots.run()
    Slots(calm, 2, failing(noisy(2), {3: 1, 5: 4})).run()
    assert again.budget.shares == calm.budget.shares
    assert [record.state for record in again.records()] == [record.state for record in calm.records()]


def test_another_process_has_the_same_budget(space: Space, tmp_path: Path) -> None:
    study = open_study(space, f"journal:{tmp_path / 'j'}", n_trials=3)
    Slots(study, 2, failing(noisy(2), {1: 1})).run(9)
    code = (
        "import sys, json, pickle; b = pickle.load(sys.stdin.buffer).budget; print(json.dumps([b.shares, sorted(b.running)]))"
    )
    printed = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(study), capture_output=True, check=True)
    shares, running = json.loads(printed.stdout)
    assert {int(number): share for number, share in shares.items()} == study.budget.shares
    assert running == sorted(study.budget.running)


def test_more_trials_extend_a_search_that_has_ended(space: Space, tmp_path: Path) -> None:
    storage = f"journal:{tmp_path / 'j'}"
    study = open_study(space, storage, n_trials=3)
    Slots(study, 1, noisy(4)).run()
    n_before, used = len(study.records()), study.budget.used
    assert open_study(space, storage, n_trials=3).ask() is None
    more = open_study(space, storage, n_trials=5)
    Slots(more, 1, noisy(4)).run()
    assert len(more.records()) > n_before
    assert more.budget.used == pytest.approx(used + sum(record.share for record in more.records()[n_before:]))
    assert 5 <= round(more.budget.used, 6) < 6


# Waiting


def test_it_waits_while_what_runs_has_the_rest_of_the_budget(space: Space) -> None:
    study = open_study(space, pruner="none", n_trials=2)
    first, second = begin(study), begin(study)
    assert (study.ask(), study.waits) == (None, True)
    for index in range(1, 6):
        study.report(first.number, evaluation(index, 0.5))
    study.fail(first.number, "it broke")  # half a trial is left
    third = begin(study)
    for number in (second.number, third.number):
        assert (study.ask(), study.waits) == (None, True)
        for index in range(1, N + 1):
            study.report(number, evaluation(index, 0.5))
        study.complete(number)
    assert (study.ask(), study.waits) == (None, False)
    assert study.budget.used == 2.5


def test_it_does_not_wait_for_what_runs_when_the_budget_is_spent(space: Space) -> None:
    study = open_study(space, pruner="none", n_trials=2)
    first, second = begin(study), begin(study)
    for index in range(1, N):
        study.report(first.number, evaluation(index, 0.5))
    study.fail(first.number, "late")
    third = begin(study)  # 0.9 and what the second will use leave a tenth
    for index in range(1, N + 1):
        study.report(second.number, evaluation(index, 0.5))
    study.complete(second.number)
    assert (study.ask(), study.waits) == (None, True), "1.9 and what the third will use"
    study.report(third.number, evaluation(1, 0.5))
    assert (study.ask(), study.waits) == (None, False), "the third runs still, and nothing can come after it"
    assert study.unfinished == {third.number}


def test_it_does_not_wait_for_room_that_max_trials_or_the_space_forbids(space: Space, tmp_path: Path) -> None:
    study = open_study(space, pruner="none", n_trials=3, max_trials=1)
    begin(study)
    assert (study.ask(), study.waits) == (None, False)
    few = open_study(space_of(FEW, tmp_path), pruner="none", n_trials=5)
    begin(few), begin(few)
    assert few.ask() is None
    assert few.exhausted is not None
    assert not few.waits


@settings(max_examples=25, derandomize=True)
@given(seed=st.integers(0, 10**6), n_slots=st.integers(2, 6), pruner=st.sampled_from(["median", "asha", "asha-promote"]))
def test_what_it_waits_for_may_come_and_when_it_does_not_wait_nothing_comes(
    space: Space, seed: int, n_slots: int, pruner: str
) -> None:
    study = open_study(space, pruner=pruner, n_trials=5)
    slots = Slots(study, n_slots, noisy(seed), seed)
    is_over = False
    while True:
        n_before = len(slots.running)
        slots.fill()
        assert not (is_over and len(slots.running) > n_before), "nothing comes after the end"
        if not slots.running:
            break
        if len(slots.running) < n_slots:
            is_over |= not study.waits
        slots.advance(slots.rng.choice(sorted(slots.running)))
    assert not study.waits


# Pausing


def test_a_paused_trial_has_used_what_it_was_trained_for_and_goes_on_from_there(space: Space) -> None:
    study = open_study(space, pruner="asha-promote", n_trials=4)
    slots = Slots(study, 1, lambda number, index: (0.8, 0.7, 0.6, 0.5)[number])
    slots.run(N + 3)
    assert study.paused == [1, 2, 3]
    assert study.budget.shares == {0: 1.0, 1: 0.1, 2: 0.1, 3: 0.1}
    assert study.budget.running == set()
    promoted = begin(study)
    assert promoted.number == 1
    assert (study.budget.shares[1], study.budget.running) == (0.1, {1})
    slots.running[1] = 1
    slots.advance(1)
    assert study.budget.shares[1] == 0.2


def test_a_spent_budget_promotes_nothing_and_settles_what_is_paused(space: Space) -> None:
    study = open_study(space, pruner="asha-promote", n_trials=1)
    slots = Slots(study, 2, lambda number, index: 1.0 - 0.1 * number)
    first = begin(study)
    assert (study.ask(), study.waits) == (None, True), "the first may pause, and leave most of the budget"
    slots.running[first.number] = 0
    slots.run()
    assert [record.state for record in study.records()] == ["COMPLETE"]
    bigger = open_study(space, pruner="asha-promote", n_trials=2)
    slots = Slots(bigger, 1, lambda number, index: 1.0 - 0.01 * number)
    slots.run()
    assert bigger.paused == []
    states = [record.state for record in bigger.records()]
    assert Counter(states) == {"COMPLETE": 1, "PRUNED": len(states) - 1}
    assert 2 <= round(bigger.budget.used, 6) < 3
    assert all("not promoted" in str(record.reason) for record in bigger.records() if record.state == "PRUNED")


# Endurance


Costs = set[tuple[int, int]]
"""Calls of the storage, and how many of them read all trials."""


class Counted:
    """Counts the calls of a storage, which otherwise works as before."""

    def __init__(self, storage: BaseStorage) -> None:
        self.calls: Counter[str] = Counter()
        for name in dir(BaseStorage):
            if name.startswith(("get_", "set_", "create_")):
                setattr(storage, name, self._counted(name, getattr(storage, name)))

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments, **named)

        return call

    def taken(self) -> tuple[int, int]:
        """The calls since the last time, and how many of them read all trials."""
        counts = self.calls.total(), self.calls["get_all_trials"]
        self.calls.clear()
        return counts


@pytest.mark.endurance
@pytest.mark.usefixtures("unsynced")
def test_ten_thousand_trials_with_tpe_and_asha(space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage(f"journal:{tmp_path / 'j'}")
    counted = Counted(storage)
    monkeypatch.setattr(opening, "open_storage", lambda given: storage)
    changes: dict[str, Any] = {"sampler": "tpe", "n_trials": 20_000, "max_trials": 10_000}
    study = open_study(space, f"journal:{tmp_path / 'j'}", **changes)
    verdicts: dict[int, Verdict] = {}
    asking, reporting = defaultdict[int, Costs](set), defaultdict[int, Costs](set)
    while (asked := study.ask()) is not None:
        assert asked.number not in verdicts
        thousand = asked.number // 1000
        asking[thousand].add(counted.taken())
        end = 1 - asked.config.optim.dropout - 0.1 * abs(math.log10(asked.config.optim.lr) + 4)
        for index in range(1, N + 1):
            score = end * (1 - math.exp(-index / 3)) + random.Random(f"{asked.number} {index}").gauss(0, 0.05)
            verdicts[asked.number] = study.report(asked.number, evaluation(index, score))
            reporting[thousand].add(counted.taken())
            if verdicts[asked.number] is not Verdict.CONTINUE:
                break
        else:
            study.complete(asked.number)
        counted.calls.clear()
    assert sorted(verdicts) == list(range(10_000))
    for costs, most_looks in ((asking, 2), (reporting, 1)):
        assert [max(costs[thousand]) for thousand in range(2, 10)] == [max(costs[1])] * 8
        assert max(n_looks for _, n_looks in costs[9]) == most_looks

    states = {Verdict.CONTINUE: TrialState.COMPLETE, Verdict.PRUNE: TrialState.PRUNED}
    trials = study._study.get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(10_000))
    assert [trial.state for trial in trials] == [states[verdicts[number]] for number in range(10_000)]

    monkeypatch.setattr(opening, "open_storage", open_storage)
    again = open_study(space, f"journal:{tmp_path / 'j'}", **changes)
    assert again.budget == study.budget
    assert again.budget.used == sum(record.share for record in again.records())
    assert again.budget.is_full
    assert 1000 < again.budget.used < 10_000
    assert again.ask() is None


optuna.logging.set_verbosity(optuna.logging.ERROR)
