"""A study's cost does not grow with it, counted in storage calls and trials read; and its decisions stay Optuna's."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import BasePruner, HyperbandPruner, PercentilePruner, SuccessiveHalvingPruner, WilcoxonPruner
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from model.evaluation import Evaluation
from tuner.objective import Objective
from tuner.space import Space, load
from tuner.study import PRUNERS, Study, Verdict, bounded_tpe
from tuner.study import study as study_module
from tuner.study.bounded_tpe import BoundedTPESampler, Ranking
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

optuna.logging.set_verbosity(optuna.logging.ERROR)


class CountingStorage(InMemoryStorage):
    """Optuna's own storage, which also counts its calls and the trials that it hands out."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.n_read = 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("get_", "set_", "create_")):
            super().__getattribute__("calls")[name] += 1
        return super().__getattribute__(name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        found = super().get_all_trials(study_id, deepcopy, states)
        self.n_read += len(self._studies[study_id].trials)
        return found

    def reset(self) -> None:
        self.calls.clear()
        self.n_read = 0


@pytest.fixture(scope="module")
def space() -> Space:
    return load("smart_mtl", "laptop").restrict(tasks=("sst", "quora", "sts", "cfimdb"), required=("sst",))[0]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> CountingStorage:
    storage = CountingStorage()
    monkeypatch.setattr(study_module, "open_storage", lambda given: storage)
    return storage


def evaluation(index: int, score: float) -> Evaluation:
    return Evaluation(index, N_EVALUATIONS, index, N_EVALUATIONS, index, {"sst/accuracy": score}, {}, float(index))


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


@pytest.mark.parametrize("pruner", PRUNERS)
def test_the_cost_of_a_report_does_not_grow_with_the_number_of_trials(
    space: Space, counting: CountingStorage, pruner: str
) -> None:
    study = Study.open("memory:", "grows", space, OBJECTIVE, "random", pruner, 0, 1000, N_EVALUATIONS, rung_resource="steps")
    rng = random.Random(0)
    grow(study, 10, rng)
    small, n_read_small = cost_of_a_report(study, counting)
    grow(study, 200, rng)
    large, n_read_large = cost_of_a_report(study, counting)
    assert n_read_small == n_read_large == 0, "a report reads no other trial"
    assert large == small
    assert sum(large.values()) < 30


def test_the_cost_of_an_ask_is_a_fixed_number_of_looks_at_the_study(space: Space, counting: CountingStorage) -> None:
    study = Study.open("memory:", "grows", space, OBJECTIVE, "tpe", "median", 0, 1000, N_EVALUATIONS, rung_resource="steps")
    rng = random.Random(0)
    looks = []
    for n in (30, 60):
        grow(study, n, rng)
        counting.reset()
        assert study.ask() is not None
        looks.append(counting.calls["get_all_trials"])
    assert looks[0] == looks[1] <= 3


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
@pytest.mark.parametrize("name", PAIRS)
def test_running_statistics_decide_as_optuna_does(name: str, n_at_once: int) -> None:
    streams = []
    for make in PAIRS[name]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            pruner = make()
        study = optuna.create_study(study_name="same", direction="maximize", sampler=RandomSampler(seed=4), pruner=pruner)
        if isinstance(pruner, Running):
            pruner.restart(study, [])
        streams.append(play(study, seed=5, n_trials=80, n_at_once=n_at_once, restart_at=50))
    assert streams[0] == streams[1]
    pruned = [number for number, _, stops in streams[0] if stops]
    assert 5 < len(pruned) < 80
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
        assert numbers(kept.choose(trials[:n])) == numbers(Ranking().choose(trials[:n]))


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
