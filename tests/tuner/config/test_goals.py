"""Several goals: what is best, what the study does with them, and which searches are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError
from model.training.evaluation import Evaluation
from tests.support import samples
from tuner.config.objective import CUE_GAP, Objective
from tuner.config.options import Options
from tuner.results.pareto import best_of, dominates, front_of
from tuner.results.trial_record import TrialRecord
from tuner.search.plan import make
from tuner.space import load
from tuner.study import SAMPLERS, Study, Verdict

CLEAN = "clean/cfimdb/accuracy"
BOTH = f"{CLEAN},{CUE_GAP}"
GRID = st.integers(0, 4).map(lambda n: n / 4)


def record(number: int, clean: float, gap: float, state: str = "COMPLETE") -> TrialRecord:
    scores = {CLEAN: clean, CUE_GAP: gap}
    return replace(samples.record(number), state=state, score=clean, scores=scores)


def evaluation(index: int, clean: float, gap: float, n: int = 2) -> Evaluation:
    return replace(samples.evaluation(index, 0.5), n_evaluations=n, metrics={CLEAN: clean, CUE_GAP: gap})


class TestObjective:
    def test_has_a_value_and_a_direction_for_each_goal(self) -> None:
        objective = Objective(BOTH)
        assert objective.goals == (CLEAN, CUE_GAP)
        assert objective.directions == ["maximize", "minimize"]
        assert objective.scores({CLEAN: 0.9, CUE_GAP: 0.2}) == {CLEAN: 0.9, CUE_GAP: 0.2}
        assert objective.score({CLEAN: 0.9, CUE_GAP: 0.2}) == 0.9
        assert objective.required_tasks == ("cfimdb",)
        assert set(objective.watched) == {"clean", "inverted"}

    def test_means_stand_beside_metrics(self) -> None:
        objective = Objective("mean, quora/f1", ("sst", "quora"))
        metrics = {"sst/accuracy": 0.4, "quora/accuracy": 0.8, "quora/f1": 0.7}
        assert objective.scores(metrics) == {"mean": pytest.approx(0.6), "quora/f1": 0.7}
        assert objective.required_tasks == ("sst", "quora")
        assert objective.watched == ()

    @pytest.mark.parametrize(("name", "expected"), [
        (CUE_GAP, "cannot be the first metric, because a random model minimises it"),
        (f"{CUE_GAP},{CLEAN}", "cannot be the first metric, because a random model minimises it"),
        (f"{CLEAN},{CLEAN}", "names a goal twice"),
        ("sst/accuracy,dev/sst/accuracy", "the metric dev/sst/accuracy is on dev"),
        ("dev-inverted/cfimdb/accuracy", "nothing is chosen on what is reported"),
        ("sst/accuracy,qora/f1", "unknown metric qora/f1"),
        ("sst/accuracy,", "unknown metric ;"),
    ])  # fmt: skip
    def test_mistakes_are_told(self, name: str, expected: str) -> None:
        with pytest.raises(ConfigError) as raised:
            Objective(name)
        assert any(expected in problem for problem in raised.value.problems), raised.value.problems


@settings(max_examples=60, derandomize=True, deadline=None)
@given(values=st.lists(st.tuples(GRID, GRID), min_size=1, max_size=8))
def test_the_front_is_what_nobody_dominates(values: list[tuple[float, float]]) -> None:
    records = [record(number, clean, gap) for number, (clean, gap) in enumerate(values)]
    expected = [
        number
        for number, (clean, gap) in enumerate(values)
        if not any(a >= clean and b <= gap and (a > clean or b < gap) for a, b in values)
    ]
    assert [found.number for found in front_of(records)] == expected
    best = best_of(records)
    assert best is not None
    assert best.number in expected, "the champion is on the front"
    assert best.score == max(clean for clean, _ in values)


@given(a=st.tuples(GRID, GRID), b=st.tuples(GRID, GRID), c=st.tuples(GRID, GRID))
def test_domination_is_a_strict_order(a: Any, b: Any, c: Any) -> None:
    assert not dominates(a, a)
    assert not (dominates(a, b) and dominates(b, a))
    assert not (dominates(a, b) and dominates(b, c)) or dominates(a, c)


def test_only_complete_trials_are_on_the_front() -> None:
    records = [record(0, 0.5, 0.5), record(1, 0.9, 0.1, state="PRUNED"), record(2, 0.9, 0.1, state="FAIL")]
    assert [found.number for found in front_of(records)] == [0]


def open_study(folder: Path, sampler: str = "random", name: str = BOTH, n_trials: int = 6) -> Study:
    space = load("robust_cfimdb", "laptop")
    return Study(f"journal:{folder / 'j'}", "s", space, Objective(name), sampler, "none", 0, n_trials, 2)


@pytest.mark.parametrize("sampler", [name for name, sampler in SAMPLERS.items() if sampler.several_goals and name != "grid"])
def test_every_sampler_follows_several_goals(tmp_path: Path, sampler: str) -> None:
    study = open_study(tmp_path, sampler, n_trials=8)
    for number in range(8):
        asked = study.ask()
        assert asked is not None
        assert study.report(asked.number, evaluation(1, 0.5, 0.5)) is Verdict.CONTINUE
        study.report(asked.number, evaluation(2, 0.5 + number / 20, 0.1 + number / 20 % 0.3))
        study.complete(asked.number)
    assert study.ask() is None
    stored = optuna.load_study(study_name="s", storage=study._study._storage)
    assert [trial.values for trial in stored.trials] == [list(found.scores.values()) for found in study.records()]
    assert {trial.number for trial in stored.best_trials} == {found.number for found in study.front}
    assert study.best is not None
    assert study.best.number in {found.number for found in study.front}


def test_a_repeated_evaluation_changes_nothing_and_a_resumed_study_knows_its_scores(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    asked = study.ask()
    assert asked is not None
    study.report(asked.number, evaluation(1, 0.5, 0.4))
    study.report(asked.number, evaluation(1, 0.9, 0.9))
    assert open_study(tmp_path).record(asked.number).scores == {CLEAN: 0.5, CUE_GAP: 0.4}


def test_a_goal_that_is_not_finite_fails_the_trial(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    asked = study.ask()
    assert asked is not None
    assert study.report(asked.number, evaluation(1, 0.5, float("nan"))) is Verdict.STOP
    assert "the score became nan at evaluation 1 of 2" in str(study.record(asked.number).reason)


@pytest.mark.parametrize(("changes", "expected"), [
    ({"pruner": "wilcoxon"}, "--pruner wilcoxon compares trials by one goal, and --metric sst/accuracy,quora/f1"),
    ({"pruner": "none", "sampler": "cmaes"}, "--sampler cmaes follows one goal"),
    ({"pruner": "none", "metric": BOTH, "space": "robust_cfimdb", "settings": ("watch=[clean]",)},
     '--set "watch=[clean, inverted]"'),
    ({"space": "robust_cfimdb", "metric": None}, "--data demo has no arms"),
])  # fmt: skip
def test_what_cannot_be_searched_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    given_options = {"metric": "sst/accuracy,quora/f1", "runs_dir": str(tmp_path), "profile": "laptop"} | changes
    with pytest.raises(ConfigError) as raised:
        make(Options(**given_options), has_gpu=False)
    assert any(expected in problem for problem in raised.value.problems), raised.value.problems
