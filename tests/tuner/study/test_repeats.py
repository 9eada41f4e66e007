"""No configuration is trained twice: a repeat is told from the record, and an exhausted space ends the search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from model.training.evaluation import Evaluation
from tests.support.cases import slow_but
from tuner.config.objective import Objective
from tuner.space import load
from tuner.study import Study, Suggestion, Verdict
from tuner.study.proposals import MAX_REPEATS

SPACE = """\
name: few
fixed: {mixture: [sst]}
search:
  smart.enabled: {choice: [true, false]}
  smart.epsilon: {choice: [1.0e-5, 1.0e-4]}
"""
"""Three configurations in four assignments: without SMART, ε changes nothing."""
N = 4
Open = Callable[..., Study]


@pytest.fixture
def open_study(tmp_path: Path) -> Open:
    def opened(text: str = SPACE, **changes: Any) -> Study:
        (tmp_path / "few.yaml").write_text(text, encoding="utf-8")
        options: dict[str, Any] = {
            "storage": f"journal:{tmp_path}/study.journal", "name": "few", "space": load(tmp_path / "few.yaml"),
            "objective": Objective("sst/accuracy"), "sampler": "random", "pruner": "none", "seed": 3, "n_trials": 20,
            "n_evaluations": N,
        }  # fmt: skip
        return Study(**{**options, **changes})

    return opened


def evaluation(index: int, score: float) -> Evaluation:
    return Evaluation(index, N, index, N, index * 8, {"sst/accuracy": score}, {"sst/loss": 1.0}, index * 2.0)


def train(study: Study, asked: Suggestion) -> Verdict:
    smart = asked.config.smart
    level = 0.5 + (smart.epsilon * 1000 if smart.enabled else 0.0)
    for index in range(1, N + 1):
        verdict = study.report(asked.number, evaluation(index, level * index / N))
        if verdict is not Verdict.CONTINUE:
            return verdict
    study.complete(asked.number)
    return Verdict.CONTINUE


def asked_of(study: Study) -> Iterator[Suggestion]:
    while (asked := study.ask()) is not None:
        yield asked


@pytest.mark.parametrize("sampler", slow_but(["random", "tpe", "qmc", "grid", "gp", "cmaes"], "random", "tpe", "grid"))
def test_each_configuration_is_trained_once_and_the_search_ends(open_study: Open, sampler: str) -> None:
    study = open_study(sampler=sampler)
    trained = []
    for asked in asked_of(study):
        trained.append(asked.config)
        train(study, asked)
    assert len(trained) == len({config.model_dump_json() for config in trained}) == 3
    records = study.records()
    assert all(record.state == "COMPLETE" for record in records)
    assert sum(record.same_as is None for record in records) == 3
    if sampler == "grid":
        assert (len(records), study.exhausted) == (4, None)  # the grid ends by itself
        return
    assert len(records) <= 3 * (MAX_REPEATS + 1) + MAX_REPEATS
    assert study.exhausted == (
        "the search ends after 3 trials, with less than the compute of 20 full ones used: "
        f"the last {MAX_REPEATS} suggested configurations were repeats, and 1000 random ones held no new one"
    )
    assert open_study(sampler=sampler).ask() is None, "a resumed search finds the same"


def test_a_repeat_has_the_record_of_its_original(open_study: Open) -> None:
    study = open_study()
    for asked in asked_of(study):
        train(study, asked)
    told = [study.record(number) for number in study.ended]
    assert told
    for repeat in told:
        assert repeat.same_as is not None
        source = study.record(repeat.same_as)
        assert (source.same_as, source.number < repeat.number) == (None, True)
        for name in ("state", "score", "metrics", "evaluations", "config"):
            assert getattr(repeat, name) == getattr(source, name), name
        assert (repeat.seconds, repeat.reason) == (0.0, f"the same configuration as trial {source.number}")
        ours, theirs = (study._study.trials[record.number] for record in (repeat, source))
        assert (ours.value, ours.intermediate_values) == (theirs.value, theirs.intermediate_values)
    assert study.best is not None and study.best.same_as is None


def test_a_pruned_configuration_is_not_tried_again(open_study: Open) -> None:
    study = open_study(pruner="median", n_trials=100)
    first = study.ask()
    assert first is not None
    study.report(first.number, evaluation(1, 0.1))
    study._study._storage.set_trial_user_attr(study._store.trial(first.number)._trial_id, "reason", "pruned by hand")
    study._study.tell(first.number, state=TrialState.PRUNED)
    for asked in asked_of(study):
        assert asked.config != first.config
        train(study, asked)
    repeats = [record for record in study.records() if record.same_as == first.number]
    assert {record.state for record in repeats} == {"PRUNED"}
    assert {record.reason for record in repeats} == {f"the same configuration as trial {first.number}, pruned by hand"}
    assert {record.score for record in repeats} == {0.1}


def test_what_runs_is_not_started_again(open_study: Open) -> None:
    study = open_study()
    running = [asked for asked in (study.ask() for _ in range(3)) if asked]
    assert len({asked.config.model_dump_json() for asked in running}) == 3
    assert study.ask() is None
    waiting = [record for record in study.records() if record.same_as is not None]
    assert {record.state for record in waiting} == {"FAIL"}
    assert all(record.reason == f"the same configuration as trial {record.same_as}, which still runs" for record in waiting)
    for asked in running:
        assert train(study, asked) is Verdict.CONTINUE


def test_a_failed_configuration_may_be_tried_again(open_study: Open) -> None:
    study = open_study()
    first = study.ask()
    assert first is not None
    study.fail(first.number, "a rank died")
    again = None
    for asked in asked_of(study):
        again = asked if asked.config == first.config else again
        train(study, asked)
    assert again is not None
    assert study.record(again.number).state == "COMPLETE"


def test_repeats_do_not_use_up_the_total(open_study: Open) -> None:
    """A continuous parameter that only half of the configurations have: the other half is one configuration."""
    text = SPACE.replace("{choice: [1.0e-5, 1.0e-4]}", "{float: [1.0e-5, 1.0e-4], when: {smart.enabled: true}}")
    study = open_study(text, n_trials=8)
    for asked in asked_of(study):
        train(study, asked)
    records = study.records()
    assert sum(record.same_as is None for record in records) == 8
    assert len(records) > 8, "the draw without SMART is repeated"
    assert study.exhausted is None
    more = open_study(text, n_trials=9)
    assert more.ask() is not None
    assert more.ask() is None


@pytest.mark.parametrize("goals", ["sst/accuracy", "sst/accuracy,sst/f1"])
@pytest.mark.parametrize("pruner", ["asha", "asha-promote"])
def test_a_repeat_has_not_arrived_at_a_rung(open_study: Open, pruner: str, goals: str) -> None:
    """Nine repeats of the best trial would fill the better half of a rung, and end whatever is new."""
    text = SPACE.replace("{choice: [1.0e-5, 1.0e-4]}", "{float: [1.0e-5, 1.0e-4]}")
    study = open_study(text, pruner=pruner, n_trials=40, objective=Objective(goals))
    for level in (0.9, 0.1, 0.2):
        come_to_a_rung(study, level)
    for _ in range(9):
        study._study.enqueue_trial(study._study.trials[0].params)
    assert come_to_a_rung(study, 0.5) is Verdict.CONTINUE, "second of four"
    assert len([record for record in study.records() if record.same_as is not None]) >= 9


def come_to_a_rung(study: Study, level: float) -> Verdict:
    """The verdict on a new trial at the first rung, its first evaluation of four. One that pauses has ended then."""
    asked = study.ask()
    assert asked is not None
    metrics = {"sst/accuracy": level, "sst/f1": level}
    verdict = study.report(asked.number, Evaluation(1, N, 1, N, 8, metrics, {}, 2.0))
    if verdict is Verdict.PAUSE:
        study.prune(asked.number, "by hand")
    return verdict


def test_a_sampler_that_repeats_itself_is_passed_over(open_study: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it insists on one configuration, the others are found at random."""

    def insist(trial: optuna.Trial, name: str, choices: Any) -> Any:
        return trial._suggest(name, optuna.distributions.CategoricalDistribution(choices)) if _is_fixed(trial) else choices[0]

    monkeypatch.setattr(optuna.Trial, "suggest_categorical", insist)
    study = open_study()
    found = []
    for asked in asked_of(study):
        found.append(asked.config)
        train(study, asked)
    assert len(found) == 3


def _is_fixed(trial: optuna.Trial) -> bool:
    return "fixed_params" in trial._cached_frozen_trial.system_attrs


def test_a_repeat_that_a_kill_came_before_is_told_on_resume(open_study: Open) -> None:
    """Killed before it was told, it is a trial that was left running."""
    study = open_study(n_trials=3)
    first = study.ask()
    assert first is not None
    train(study, first)
    study._study.enqueue_trial(study._store.trial(first.number).params)
    study._study.ask()
    resumed = open_study(n_trials=3)
    assert resumed.resume_unfinished() == []
    assert resumed.record(1).same_as == first.number
    for asked in asked_of(resumed):
        train(resumed, asked)
    assert sum(record.same_as is None and record.reason is None for record in resumed.records()) == 3
