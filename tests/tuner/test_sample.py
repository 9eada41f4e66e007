"""The sample that stands for all trials at equal compute: which trials it is, and the decisions that follow."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.storages import InMemoryStorage

from tests.support import samples
from tests.support.cases import endurance_but
from tests.support.whole_study import judge_by_all
from tuner.front import Leaders, best_of, front_of
from tuner.objective import Objective
from tuner.requirements import Requirements
from tuner.space import load
from tuner.study import PROMOTING, PRUNERS, Study, Verdict, sample
from tuner.study import study as study_module
from tuner.study.pruners import PARETO_PRUNERS
from tuner.study.sample import Sample, place

N = 10
SPACE = "name: x\nfixed: {mixture: [sst, sts]}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}\n"
ONE, TWO = "sst/accuracy", "sst/accuracy,sts/pearson"
CASES = [
    *((pruner, ONE, ()) for pruner in PRUNERS if pruner not in PROMOTING),
    *((pruner, TWO, ()) for pruner in PARETO_PRUNERS if pruner not in PROMOTING),
    *((pruner, ONE, ("sts/pearson>=0.4",)) for pruner in PARETO_PRUNERS if pruner not in PROMOTING),
]
"""Pruner, goals, requirements. `asha-promote` ranks all trials, on its own ladder."""
Decision = tuple[int, int, Verdict]


class TestSample:
    def test_within_the_limit_it_is_all_trials(self) -> None:
        kept = filled(range(50), limit=50)
        assert sorted(kept.within(1.0)) == list(range(50))
        assert sorted(kept.within(1.0, but=7)) == [*range(7), *range(8, 50)]

    @pytest.mark.parametrize("seed", range(5))
    def test_beyond_it_the_lowest_hashes_whatever_the_order(self, seed: int) -> None:
        numbers = list(range(400))
        random.Random(seed).shuffle(numbers)
        kept = filled(numbers, limit=30)
        assert sorted(kept.within(1.0)) == sorted(sorted(range(400), key=place)[:30])
        assert len(kept) == 30

    def test_it_is_uniform(self) -> None:
        """The mean number of a sample of 600 of 10,000, in standard errors; and it is not the even or the late ones."""
        chosen = np.array(filled(range(10_000), limit=600).within(1.0))
        error = (chosen.mean() - 4999.5) / (10_000 / 12**0.5 / 600**0.5)
        assert abs(error) < 3
        counts, _ = np.histogram(chosen, bins=10, range=(0, 10_000))
        assert counts.min() > 60 - 3 * 60**0.5
        assert abs((chosen % 2).mean() - 0.5) < 3 * 0.5 / 600**0.5

    def test_a_curve_grows_with_its_trial(self) -> None:
        kept: Sample[float] = Sample(2)
        kept.put(0, [(1.0, 0.1)], is_complete=False)
        assert (kept.within(1.0), kept.within(2.0)) == ([0.1], [])
        kept.put(0, [(1.0, 0.1), (2.0, 0.2)], is_complete=True)
        assert (kept.within(1.0), kept.within(2.0), kept.within(9.0)) == ([0.1], [0.2], [0.2])
        assert len(kept) == 1

    def test_a_trial_without_an_evaluation_takes_no_room(self) -> None:
        kept: Sample[float] = Sample(1)
        kept.put(min(range(9), key=place), [], is_complete=False)
        assert len(kept) == 0


def filled(numbers: range | list[int], limit: int) -> Sample[int]:
    kept: Sample[int] = Sample(limit)
    for number in numbers:
        kept.put(number, [(1.0, number)], is_complete=False)
    return kept


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storage for each name that is there again when its study is opened again: a file would take most of the time."""
    storages: defaultdict[str, InMemoryStorage] = defaultdict(InMemoryStorage)
    monkeypatch.setattr(study_module, "open_storage", lambda given: storages[given])


def open_study(folder: Path, pruner: str, goals: str, required: tuple[str, ...]) -> Study:
    (folder / "x.yaml").write_text(SPACE, encoding="utf-8")
    return Study.open(
        f"journal:{folder / 'journal'}", "x", load(folder / "x.yaml"), Objective(goals), "random", pruner, 0, 80, N,
        requirements=Requirements.parse(required),
    )  # fmt: skip


def race(study: Study, n_trials: int, n_at_once: int, rng: random.Random, running: dict[int, int]) -> list[Decision]:
    """Trials of different cost side by side, in a random order, until n were asked for; `running` is how far they are."""
    decisions, n_asked = [], len(study.records())
    while True:
        while n_asked < n_trials and len(running) < n_at_once:
            asked = study.ask()
            assert asked is not None
            running[asked.number] = 0
            n_asked += 1
        if n_asked == n_trials:
            return decisions
        number = rng.choice(sorted(running))
        running[number] += 1
        index = running[number]
        traits = random.Random(number)
        cost, merit, taste = traits.choice([1.0, 1.12, 2.0, 4.0]), traits.random(), traits.random()
        metrics = {
            "sst/accuracy": round(merit * index**0.3 + 0.01 * index, 2 if index < N else 9),  # rounded: there are ties
            "sts/pearson": round(taste * index**0.2, 2),
        }
        looked = replace(samples.evaluation(index, 0.0), n_evaluations=N, metrics=metrics, compute=cost * index)
        verdict = study.report(number, looked)
        decisions.append((number, index, verdict))
        if verdict is Verdict.CONTINUE and index == N:
            study.complete(number)
        if verdict is not Verdict.CONTINUE or index == N:
            del running[number]


@pytest.mark.filterwarnings("ignore:WilcoxonPruner finds steps", "ignore:The best trial has no intermediate")
@pytest.mark.parametrize("n_at_once", endurance_but([1, 8], 8))
@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize(("pruner", "goals", "required"), endurance_but(CASES, ("median", ONE, ())))
def test_a_study_within_the_limit_is_judged_by_all_of_its_trials(
    tmp_path: Path, pruner: str, goals: str, required: tuple[str, ...], n_at_once: int
) -> None:
    """Decision by decision, with a restart in the middle."""
    streams = []
    for name in ("kept", "read anew"):
        folder = tmp_path / name
        folder.mkdir()
        rng, running, decisions = random.Random(1), dict[int, int](), list[Decision]()
        for n_trials in (40, 80):
            study = open_study(folder, pruner, goals, required)
            if name == "read anew":
                judge_by_all(study)
            decisions += race(study, n_trials, n_at_once, rng, running)
        streams.append(decisions)
    assert streams[0] == streams[1]
    n_pruned = sum(verdict is Verdict.PRUNE for _, _, verdict in streams[0])
    assert (5 < n_pruned < 75) or pruner == "none", "a comparison in which nothing is pruned says little"


@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize(("pruner", "goals", "required"), endurance_but(CASES, ("asha", TWO, ())))
def test_beyond_the_limit_a_restart_changes_no_decision(
    tmp_path: Path, pruner: str, goals: str, required: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "LIMIT", 8)
    streams = []
    for name, stops in (("once", (80,)), ("often", (20, 40, 60, 80))):
        folder = tmp_path / name
        folder.mkdir()
        rng, running, decisions = random.Random(1), dict[int, int](), list[Decision]()
        for n_trials in stops:
            decisions += race(open_study(folder, pruner, goals, required), n_trials, 8, rng, running)
        streams.append(decisions)
    assert streams[0] == streams[1]


def test_a_repeat_has_not_arrived(tmp_path: Path) -> None:
    """Nine repeats of the best trial would fill the better half of a rung, and end whatever is new."""
    study = open_study(tmp_path, "asha", ONE, ())
    for level in (0.9, 0.1, 0.2):
        report(study, level, n=2)
    for _ in range(9):
        study._study.enqueue_trial({"optim.lr": study.record(0).config["optim"]["lr"]})
    asked = study.ask()  # past the repeats
    assert asked is not None
    assert study.ended == list(range(3, 12))
    report(study, 0.5, n=1, number=asked.number)
    assert study.report(asked.number, evaluation(2, 0.5)) is Verdict.CONTINUE, "second of four"


def report(study: Study, level: float, n: int, number: int | None = None) -> None:
    if number is None:
        asked = study.ask()
        assert asked is not None
        number = asked.number
    for index in range(1, n + 1):
        study.report(number, evaluation(index, level))


def evaluation(index: int, level: float):  # type: ignore[no-untyped-def]
    return replace(samples.evaluation(index, level), n_evaluations=N, compute=float(index))


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


@pytest.mark.parametrize("goals", [ONE, TWO])
def test_a_study_keeps_up_its_best_its_front_and_what_is_unfinished(tmp_path: Path, goals: str) -> None:
    study, rng, running = open_study(tmp_path, "asha", goals, ()), random.Random(1), dict[int, int]()
    for n_trials in range(5, 60, 5):
        race(study, n_trials, 4, rng, running)
        records = study.records()
        assert study.best == best_of(records)
        assert study.front == (front_of(records) if goals == TWO else [])
        assert set(study.unfinished) == {record.number for record in records if not record.is_finished}
    study.park()
    again = open_study(tmp_path, "asha", goals, ())
    assert (again.best, again.front) == (study.best, study.front)
    assert set(again.unfinished) == set()
    assert {asked.number for asked in again.take_up()} == set(again.unfinished) == set(running)
