"""The study on disk: verdicts, states, totals, resumption."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from model.config import ConfigError
from model.training.evaluation import Evaluation
from tests.support.cases import endurance, slow_but
from tuner.artifacts.addresses import sqlite_url
from tuner.config.objective import Objective
from tuner.space import Space, load
from tuner.space.distributions import suggest
from tuner.study import PRUNERS, SAMPLERS, Study, Verdict

SPACE = """\
name: tiny
fixed: {mixture: [sst, sts]}
search:
  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}
  optim.dropout: {float: [0.0, 0.5]}
  smart.enabled: {choice: [true, false]}
  smart.steps: {int: [0, 3], when: {smart.enabled: true}}
  mixing.strategy: {choice: [uniform, ratios]}
  mixing.ratios: {simplex: [-1.0, 1.0], when: {mixing.strategy: ratios}}
start:
  - {smart.enabled: false, optim.lr: 1.0e-4}
  - {smart.enabled: true, smart.steps: 1}
"""

GRID = """\
name: tiny_grid
fixed: {mixture: [sst, sts]}
search:
  smart.enabled: {choice: [true, false]}
  smart.steps: {int: [0, 2], when: {smart.enabled: true}}
  optim.dropout: {float: [0.0, 0.2], step: 0.1}
start:
  - {smart.enabled: true, smart.steps: 1}
"""

PAIRS = [(sampler, pruner) for sampler in SAMPLERS for pruner in PRUNERS]
QUICK = [pair for pair in PAIRS if "gp" not in pair and ("tpe" in pair or "median" in pair)]
N_EVALUATIONS = 5
Open = Callable[..., Study]


@pytest.fixture(scope="session")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Space]:
    folder = tmp_path_factory.mktemp("spaces")
    loaded = {}
    for name, text in (("tiny", SPACE), ("grid", GRID)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        loaded[name] = load(folder / f"{name}.yaml")
    return loaded


@pytest.fixture(params=["journal", endurance("sqlite")])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    (tmp_path / "a?b%20").mkdir()
    storages = {"journal": f"journal:{tmp_path}/a?b%20/run/study.journal", "sqlite": sqlite_url(tmp_path / "a?b%20/study.db")}
    return storages[request.param]


@pytest.fixture
def open_study(storage: str, spaces: dict[str, Space]) -> Open:
    def opened(**changes: Any) -> Study:
        options: dict[str, Any] = {
            "storage": storage, "name": "study", "space": spaces["tiny"], "objective": Objective("mean", ("sst", "sts")),
            "sampler": "random", "pruner": "median", "seed": 7, "n_trials": 6, "n_evaluations": N_EVALUATIONS,
        }  # fmt: skip
        return Study(**{**options, **changes})

    return opened


def evaluation(index: int, score: float, n_evaluations: int = N_EVALUATIONS) -> Evaluation:
    metrics = {"sst/accuracy": score, "sts/pearson": score, "sts/spearman": 0.0}
    return Evaluation(
        index, n_evaluations, index * 10, n_evaluations * 10, index * 320, metrics, {"sst/loss": 1.0}, index * 1.5
    )


def asked_number(study: Study) -> int:
    asked = study.ask()
    assert asked is not None
    return asked.number


def killed(*arguments: object, **more: object) -> None:
    raise KeyboardInterrupt


def run(study: Study, number: int, scores: list[float]) -> Verdict:
    """Report one score after another until the trial is over."""
    verdict = run_until(study, number, scores, len(scores))
    if verdict is Verdict.CONTINUE:
        study.complete(number)
    return verdict


def run_until(study: Study, number: int, scores: list[float], last: int) -> Verdict:
    """Report one score after another up to evaluation `last`, or until the trial is over."""
    for index, score in enumerate(scores[:last], start=1):
        verdict = study.report(number, evaluation(index, score))
        if verdict is Verdict.PAUSE:
            study.release(number)
        if verdict is not Verdict.CONTINUE:
            return verdict
    return Verdict.CONTINUE


def ask(study: Study) -> int:
    asked = study.ask()
    assert asked is not None
    return asked.number


def constant(score: float) -> list[float]:
    return [score] * N_EVALUATIONS


def test_a_complete_trial_has_the_score_of_its_last_evaluation(open_study: Open) -> None:
    study = open_study()
    before = study.best
    assert before is None
    asked = study.ask()
    assert asked is not None
    assert run(study, asked.number, [0.1, 0.9, 0.2, 0.3, 0.4]) is Verdict.CONTINUE
    record = study.record(asked.number)
    assert (record.state, record.score, record.reason) == ("COMPLETE", 0.4, None)
    assert record.metrics == evaluation(5, 0.4).metrics
    assert record.config == asked.config.to_dict()
    assert asked.config.seed == 7
    assert [item["index"] for item in record.evaluations] == [1, 2, 3, 4, 5]
    assert record.evaluations[1] == {**evaluation(2, 0.9).to_dict(), "score": 0.9, "scores": {study.objective.name: 0.9}}
    assert record.seconds == 7.5
    assert study.best == record
    assert record.scores == {study.objective.name: 0.4}
    names = "number state score scores requirements metrics evaluations config seconds reason same_as note params"
    assert set(record.to_dict()) == set(names.split())


def test_the_best_is_complete_and_the_earliest_of_equals(open_study: Open) -> None:
    study = open_study(pruner="none")
    for score in (0.5, 0.7, 0.7):
        run(study, ask(study), constant(score))
    study.report(ask(study), evaluation(1, 0.9))
    assert study.best is not None
    assert study.best.number == 1


def test_a_pruned_trial_is_pruned_in_optuna_with_its_reason(open_study: Open, storage: str) -> None:
    study = open_study()
    for score in (0.8, 0.6):
        run(study, ask(study), constant(score))
    number = ask(study)
    assert study.report(number, evaluation(1, 0.1)) is Verdict.CONTINUE  # the first of five is not judged
    assert study.report(number, evaluation(2, 0.1)) is Verdict.PRUNE
    record = study.record(number)
    assert (record.state, record.score) == ("PRUNED", 0.1)
    assert record.reason == "pruned by median at evaluation 2 of 5, score 0.1000"
    assert study._study.trials[number].state is optuna.trial.TrialState.PRUNED
    assert study.report(number, evaluation(3, 0.9)) is Verdict.PRUNE  # a late report changes nothing
    study.complete(number)
    study.fail(number, "too late")
    assert study.record(number) == record


def test_the_last_evaluation_is_not_put_to_the_pruner(open_study: Open) -> None:
    study = open_study()
    for score in (0.8, 0.6):
        run(study, ask(study), constant(score))
    number = ask(study)
    study.report(number, evaluation(1, 0.9))
    assert study.report(number, evaluation(5, 0.1)) is Verdict.CONTINUE
    study.complete(number)
    assert study.record(number).state == "COMPLETE"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_fails_the_trial_and_the_search_goes_on(open_study: Open, score: float) -> None:
    study = open_study()
    number = ask(study)
    study.report(number, evaluation(1, 0.5))
    assert study.report(number, evaluation(2, score)) is Verdict.STOP
    record = study.record(number)
    assert (record.state, record.score) == ("FAIL", None)
    assert record.reason == f"the score became {score} at evaluation 2 of 5, step 20: sst/accuracy {score}, sts/pearson {score}"
    assert [item["index"] for item in record.evaluations] == [1]
    json.dumps(record.to_dict(), allow_nan=False)
    assert study.report(number, evaluation(3, 0.5)) is Verdict.STOP
    run(study, ask(study), constant(0.5))
    assert study.best is not None


def test_a_retried_trial_may_report_an_index_again(open_study: Open) -> None:
    study = open_study()
    number = ask(study)
    for index, score in ((1, 0.1), (2, 0.2), (3, 0.3)):
        study.report(number, evaluation(index, score))
    before = study.record(number)
    for index in (2, 3):
        assert study.report(number, evaluation(index, 0.9)) is Verdict.CONTINUE
    assert study.record(number) == before
    for index, score in ((4, 0.4), (5, 0.5)):
        study.report(number, evaluation(index, score))
    study.complete(number)
    assert study.record(number).score == 0.5


def test_completing_before_the_last_evaluation_is_an_error_of_ours(open_study: Open) -> None:
    study = open_study()
    number = ask(study)
    for reported in (None, 1, 4):
        if reported is not None:
            study.report(number, evaluation(reported, 0.5))
        with pytest.raises(AssertionError, match="before its last evaluation"):
            study.complete(number)


def test_the_budget_counts_finished_and_running_trials_also_after_reopening(open_study: Open) -> None:
    study = open_study(n_trials=3)
    run(study, ask(study), constant(0.5))
    for index in range(1, N_EVALUATIONS):
        study.report(1 if index > 1 else ask(study), evaluation(index, 0.5))
    running = ask(study)
    assert study.ask() is None
    study.fail(1, "out of memory")  # having used four fifths
    assert open_study(n_trials=2).ask() is None
    more = open_study(n_trials=3)
    assert ask(more) == 3, "it left room for another"
    assert more.ask() is None
    assert [record.state for record in more.records()] == ["COMPLETE", "FAIL", "RUNNING", "RUNNING"]
    assert more.record(1).reason == "out of memory"
    assert more.record(running).score is None


def test_starts_come_first_and_once(open_study: Open) -> None:
    first = open_study().ask()
    assert first is not None
    assert (first.config.smart.enabled, first.config.optim.lr) == (False, 1e-4)
    second = open_study().ask()
    assert second is not None
    assert (second.config.smart.enabled, second.config.smart.steps) == (True, 1)
    rest = [open_study().ask() for _ in range(4)]
    assert [asked.number for asked in rest if asked] == [2, 3, 4, 5]
    assert open_study().ask() is None


def test_a_reopened_search_does_not_draw_the_same_numbers_again(open_study: Open) -> None:
    rates = []
    for _ in range(6):
        asked = open_study().ask()
        assert asked is not None
        rates.append(asked.config.optim.lr)
    assert len(set(rates)) == 6


def test_a_seed_that_the_space_fixes_stays(open_study: Open, spaces: dict[str, Space]) -> None:
    asked = open_study(space=spaces["tiny"].fix({"seed": 3})).ask()
    assert asked is not None
    assert asked.config.seed == 3


@pytest.mark.parametrize("storage", ["journal", "sqlite"], indirect=True)
@pytest.mark.parametrize("suspended", [False, True], ids=["killed", "interrupted"])
def test_unfinished_trials_go_on_as_what_they_are(open_study: Open, suspended: bool) -> None:
    study = open_study(n_trials=4)
    run(study, ask(study), constant(0.5))
    begun = [study.ask() for _ in range(3)]
    study.report(2, evaluation(1, 0.5))
    if suspended:
        study.suspend()
        assert {frozen.state.name for frozen in study._study.trials} == {"COMPLETE", "WAITING"}

    resumed = open_study(n_trials=4)
    assert resumed.resume_unfinished() == begun
    assert resumed.ask() is None, "nothing is asked again"
    assert [record.state for record in resumed.records()] == ["COMPLETE", "RUNNING", "RUNNING", "RUNNING"]
    assert [item["score"] for item in resumed.record(2).evaluations] == [0.5]
    assert resumed.report(2, evaluation(1, 0.5)) is Verdict.CONTINUE
    for number in (1, 2, 3):
        run(resumed, number, constant(0.4))
    assert [frozen.state.name for frozen in resumed._study.trials] == ["COMPLETE"] * 4
    assert resumed.resume_unfinished() == []


@pytest.mark.parametrize("n_drawn", [0, 1, 2])
def test_a_trial_that_a_kill_left_half_drawn_is_drawn_to_its_end(open_study: Open, n_drawn: int) -> None:
    study = open_study()
    trial = study._study.ask()  # the first start configuration
    for parameter in study.space.parameters[:n_drawn]:
        for name, distribution in parameter.distributions(("sst", "sts")).items():
            suggest(trial, name, distribution)
    drawn = study._study.trials[0].params
    resumed = open_study()
    (asked,) = resumed.resume_unfinished()
    assert asked.number == 0
    assert (asked.config.optim.lr, asked.config.smart.enabled) == (1e-4, False)
    assert drawn.items() <= resumed._study.trials[0].params.items()
    assert resumed.record(0).config == asked.config.to_dict()


def test_an_evaluation_that_a_kill_left_half_stored_is_stored(open_study: Open) -> None:
    study = open_study(pruner="none")
    number = ask(study)
    half = optuna.trial.Trial(study._study, study._store.trial(number)._trial_id)
    half.report(0.5, 1)
    assert study.record(number).evaluations == []
    run(study, number, constant(0.5))
    assert [item["index"] for item in study.record(number).evaluations] == [1, 2, 3, 4, 5]
    assert study.record(number).state == "COMPLETE"


def test_another_process_sees_the_same_records(open_study: Open, storage: str) -> None:
    study = open_study()
    run(study, ask(study), constant(0.5))
    run(study, ask(study), [0.1, math.nan])
    study.report(ask(study), evaluation(1, 0.25))
    code = (
        "import sys, json, pickle; study = pickle.load(sys.stdin.buffer);"
        "json.dump([record.to_dict() for record in study.records()], sys.stdout)"
    )
    printed = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(study), capture_output=True, check=True)
    assert json.loads(printed.stdout) == [record.to_dict() for record in study.records()]
    assert b"optuna" not in printed.stderr.lower()


def test_a_pickled_study_holds_no_open_storage(open_study: Open) -> None:
    study = open_study()
    number = ask(study)
    copy = pickle.loads(pickle.dumps(study))
    assert "_study" not in vars(copy)
    assert copy.record(number) == study.record(number)


def test_going_on_with_another_space_or_metric_is_refused(open_study: Open, spaces: dict[str, Space]) -> None:
    open_study()
    with pytest.raises(ConfigError) as caught:
        open_study(space=spaces["tiny"].fix({"backbone": "bert-base-uncased"}), objective=Objective("sst/accuracy"))
    assert [problem.split(";")[0] for problem in caught.value.problems] == [
        "the study study was begun with another space",
        "the study study was begun with another metric",
    ]


def test_a_study_of_a_space_whose_name_is_no_longer_valid_goes_on_under_the_suggested_name(
    open_study: Open, spaces: dict[str, Space]
) -> None:
    open_study(space=replace(spaces["tiny"], name="Ann's space"))
    open_study(space=replace(spaces["tiny"], name="Ann-s-space"))


def test_unknown_sampler_and_pruner_are_told_together(open_study: Open) -> None:
    with pytest.raises(ConfigError) as caught:
        open_study(sampler="tpee", pruner="hyperbnd")
    assert caught.value.problems == [
        "unknown sampler tpee (did you mean tpe?); the samplers are tpe, random, gp, cmaes, qmc, nsga2, grid",
        "unknown pruner hyperbnd (did you mean hyperband?); "
        "the pruners are median, percentile, asha, asha-promote, hyperband, wilcoxon, none",
    ]


def test_the_grid_is_tried_once_each_also_over_resumptions(open_study: Open, spaces: dict[str, Space]) -> None:
    seen = []
    while (asked := open_study(space=spaces["grid"], sampler="grid", n_trials=100).ask()) is not None:
        seen.append((asked.config.smart.enabled, asked.config.smart.steps, asked.config.optim.dropout))
    assert len(seen) == len(set(seen)) == spaces["grid"].n_grid == 12
    assert seen[0][:2] == (True, 1)  # the start configuration


def test_a_space_without_a_grid_is_refused(open_study: Open) -> None:
    with pytest.raises(ConfigError, match=r"optim\.lr is continuous"):
        open_study(sampler="grid")


@pytest.mark.parametrize("storage", [
    "study.db", "nosql://x", "postgresql://me:secret@localhost:1/x", "sqlite:////no/such/folder/x.db", "journal:/proc/x/y",
])  # fmt: skip
def test_a_storage_that_cannot_be_used_is_told_in_one_sentence(open_study: Open, storage: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_study(storage=storage)
    (problem,) = caught.value.problems
    assert "\n" not in problem
    assert "secret" not in problem


def test_a_file_that_is_not_a_journal_is_left_alone(open_study: Open, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("line\nno newline at the end")
    with pytest.raises(ConfigError, match="is not an Optuna journal"):
        open_study(storage=f"journal:{notes}")
    assert notes.read_text() == "line\nno newline at the end"


@pytest.mark.parametrize("storage", ["journal"], indirect=True)
@pytest.mark.parametrize("n_torn", [1, 10, 60])
def test_a_torn_last_line_of_the_journal_is_cut(open_study: Open, storage: str, n_torn: int) -> None:
    study = open_study()
    run(study, ask(study), constant(0.5))
    before = study.records()
    path = Path(storage.removeprefix("journal:"))
    with path.open("ab") as journal:
        journal.write(path.read_bytes().splitlines()[-1][:n_torn])
    resumed = open_study()
    assert resumed.records() == before
    run(resumed, ask(resumed), constant(0.6))
    assert [record.score for record in open_study().records()] == [0.5, 0.6]


@pytest.mark.parametrize("storage", ["journal"], indirect=True)
def test_a_killed_driver_leaves_no_lock_and_no_running_trial(open_study: Open, storage: str) -> None:
    study = open_study()
    code = (
        "import sys, os, pickle; study = pickle.load(sys.stdin.buffer); study.ask();"
        "study._study._storage._backend._lock.acquire(); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(study), check=False)
    assert killed.returncode == -9
    resumed = open_study()
    assert [asked.number for asked in resumed.resume_unfinished()] == [0]
    run(resumed, 0, constant(0.5))
    assert resumed.records()[0].state == "COMPLETE"


def test_a_verdict_that_was_not_told_is_told_when_taken_up(open_study: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study()
    for number in range(2):
        assert asked_number(study) == number
        run(study, number, constant(0.5))
    calm, ending = asked_number(study), asked_number(study)
    monkeypatch.setattr(study._study, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        for index in range(1, N_EVALUATIONS):
            study.report(ending, evaluation(index, 0.1))
    resumed = open_study()
    assert [asked.number for asked in resumed.resume_unfinished()] == [calm]
    record = resumed.record(ending)
    assert record.state == "PRUNED"
    assert record.reason == f"pruned by median at evaluation {len(record.evaluations)} of {N_EVALUATIONS}, score 0.1000"


def test_a_configuration_that_is_refused_fails_and_the_next_is_asked(open_study: Open, spaces: dict[str, Space]) -> None:
    space = replace(spaces["tiny"], fixed={"mixture": ["sst", "sts"], "mixing.loss_weights": "explicit"}, start=())
    study = open_study(space=space, n_trials=2)
    assert study.ask() is None
    assert [record.state for record in study.records()] == ["FAIL", "FAIL"]
    assert "mixing.weights needs exactly the tasks of the mixture" in str(study.record(0).reason)


@pytest.mark.parametrize("storage", ["journal"], indirect=True)
@pytest.mark.parametrize(("sampler", "pruner"), slow_but(PAIRS, *QUICK))
def test_every_sampler_works_with_every_pruner(open_study: Open, spaces: dict[str, Space], sampler: str, pruner: str) -> None:
    space = spaces["grid" if sampler == "grid" else "tiny"]
    study = open_study(space=space, sampler=sampler, pruner=pruner, n_trials=8)
    while (asked := study.ask()) is not None:
        level = 1 - asked.config.optim.dropout - 0.01 * asked.number
        run(study, asked.number, [level * index / N_EVALUATIONS for index in range(1, N_EVALUATIONS + 1)])
    states = [record.state for record in study.records() if record.same_as is None]  # gp asks for the same corner again
    used = round(sum(record.share for record in study.records()), 6)
    assert 8 <= used < 9 or len(states) == space.n_grid, "the budget, or the whole grid"
    assert len(states) == 8 if pruner == "none" else len(states) > 8
    assert set(states) <= {"COMPLETE", "PRUNED"}
    assert "COMPLETE" in states
    assert ("PRUNED" in states) == (pruner != "none")


@pytest.mark.parametrize("storage", ["journal"], indirect=True)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_resumed_and_a_retried_trial_are_judged_as_one_that_ran_through(open_study: Open, storage: str, pruner: str) -> None:
    """In the middle the driver is gone, and the trial repeats what it had reported since its checkpoint."""
    changes: dict[str, Any] = {"pruner": pruner, "n_trials": 50}
    through, broken = open_study(storage=f"{storage}.through", **changes), open_study(**changes)
    for study in (through, broken):
        for top in (0.4, 0.8, 0.6, 0.7, 0.5, 0.9):
            run(study, ask(study), [top * index / N_EVALUATIONS for index in range(1, N_EVALUATIONS + 1)])
        while study.paused:
            study.prune(study.paused[0], "by hand")
    scores = [0.3, 0.5, 0.6, 0.6, 0.6]
    run(through, ask(through), scores)
    number = ask(broken)
    verdict = run_until(broken, number, scores, 2)
    if verdict is Verdict.CONTINUE:
        broken = open_study(**changes)
        assert [asked.number for asked in broken.resume_unfinished()] == [number]
        assert broken.report(number, evaluation(2, 0.01)) is Verdict.CONTINUE, "told before: nothing changes"
        run(broken, number, scores)
    assert broken.records() == through.records()


def test_other_data_are_not_ranked_with_the_first(tmp_path: Path, spaces: dict[str, Space]) -> None:
    arguments = (f"journal:{tmp_path / 'j'}", "study", spaces["tiny"], Objective("sst/accuracy"), "random", "none", 0, 3, 5)
    Study(*arguments, data_sha256="aa")
    Study(*arguments, data_sha256="aa")
    with pytest.raises(ConfigError, match="the study study was begun with other data"):
        Study(*arguments, data_sha256="bb")
