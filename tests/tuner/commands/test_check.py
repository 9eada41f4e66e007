"""Do all stores of a run say the same? A run is made in the real stores, found consistent, and then broken store by store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.training.evaluation import Evaluation
from tests.support import samples
from tests.support.finished_run import edit_mlflow, edit_results, made, run, said
from tuner.commands import check
from tuner.config import options
from tuner.config.objective import Objective
from tuner.search import consistency
from tuner.tracking.mlflow import MlflowTracking, RunFound

__all__ = ["made", "run"]  # fixtures

REFUSED = "the configuration is refused"


def append_to_journal(run: Path, **entry: Any) -> None:
    with (run / "study.journal").open("a", encoding="utf-8") as journal:
        journal.write(json.dumps({"worker_id": "x", **entry}) + "\n")


RUN_OF = "(select run_uuid from tags where key = 'trial' and value = ?)"


def test_a_search_that_ended_well_is_consistent(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(run, capsys, status=0) == ["night: Optuna, MLflow and results.json agree on 3 trial(s)"]


def test_a_run_is_found_by_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["night", "--runs-dir", str(run.parent)]) == 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda trial: trial.update(score=0.4), "trial 0: results.json says COMPLETE, score 0.4"),
        (lambda trial: trial.update(state="PRUNED"), "trial 0: results.json says PRUNED, score 0.5"),
        (lambda trial: trial.update(reason="why not"), '"why not"'),
        (lambda trial: trial.update(number=7), "trial 7: results.json says COMPLETE, score 0.5, and Optuna does not have it"),
    ],
)
def test_results_that_differ_are_reported_for_both_stores(
    run: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    edit_results(run, lambda found: change(found["trials"][0]))
    lines = said(run, capsys, status=1)
    assert any(sentence in line and "Optuna" in line for line in lines)
    assert any("MLflow" in line for line in lines)


def test_a_trial_that_results_lost_is_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_results(run, lambda found: found["trials"].pop(0))
    expected = "trial 0: {} says COMPLETE, score 0.5, and results.json does not have it"
    assert said(run, capsys, status=1) == [expected.format("Optuna"), expected.format("MLflow")]


def test_a_trial_that_runs_for_ever_in_optuna_is_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append_to_journal(run, op_code=4, study_id=0, datetime_start="2026-01-01T00:00:00")
    assert said(run, capsys, status=1) == ["trial 4 is still RUNNING in Optuna"]  # trial 3 waits


def test_a_score_that_optuna_holds_differently_is_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = run / "study.journal"
    text = journal.read_text(encoding="utf-8")
    assert text.count('"values":[0.5]') == 1
    journal.write_text(text.replace('"values":[0.5]', '"values":[0.7]'), encoding="utf-8")
    (line,) = said(run, capsys, status=1)
    assert line.startswith("trial 0: results.json says COMPLETE, score 0.5; Optuna says COMPLETE, score 0.69999")


@pytest.mark.parametrize(
    ("statement", "values", "sentences"),
    [
        (f"update runs set status = 'RUNNING' where run_uuid = {RUN_OF}", ["2"], ["trial 2 is still RUNNING in MLflow"]),
        (
            f"update runs set status = 'FINISHED' where run_uuid = {RUN_OF}",
            ["2"],
            ["trial 2: MLflow has the status FINISHED and the tag state FAIL, which do not go together"],
        ),
        (
            f"update tags set value = 'bad luck' where key = 'reason' and run_uuid = {RUN_OF}",
            ["2"],
            [
                'trial 2: results.json says FAIL, no score, "the loss became nan at step 12"; '
                'MLflow says FAIL, no score, "bad luck"'
            ],
        ),
        (
            f"update latest_metrics set value = 0.25 where key = 'score' and run_uuid = {RUN_OF}",
            ["1"],
            ["trial 1: results.json says COMPLETE, score 0.59999999999999998; MLflow says COMPLETE, score 0.25"],
        ),
        (
            f"update runs set lifecycle_stage = 'deleted' where run_uuid = {RUN_OF}",
            ["0"],
            ["trial 0: results.json says COMPLETE, score 0.5, and MLflow does not have it"],
        ),
        (
            "update tags set value = '0' where key = 'trial' and value = ?",
            ["1"],
            [
                "MLflow has 2 runs of trial 0",
                "trial 1: results.json says COMPLETE, score 0.59999999999999998, and MLflow does not have it",
            ],
        ),
        ("update runs set status = 'RUNNING' where name = ?", ["night"], ["the search is still RUNNING in MLflow"]),
    ],
)  # fmt: skip
def test_mlflow_that_differs_is_reported(
    run: Path, capsys: pytest.CaptureFixture[str], statement: str, values: list[str], sentences: list[str]
) -> None:
    edit_mlflow(run, statement, *values)
    assert set(sentences) <= set(said(run, capsys, status=1))


def test_an_unreachable_mlflow_is_not_compared(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "mlflow.db").unlink()
    assert check.main([str(run)]) == 0
    out, err = capsys.readouterr()
    assert out == "night: Optuna and results.json agree on 3 trial(s)\n"
    assert err == f"MLflow was not compared: {run / 'mlflow.db'} does not exist\n"
    assert not (run / "mlflow.db").exists()


def test_a_study_that_is_gone_is_reported_and_not_created(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "study.journal").unlink()
    assert said(run, capsys, status=1) == [f"there is no study night in journal:{run / 'study.journal'}"]
    assert not (run / "study.journal").exists()


def test_a_champion_without_a_model_is_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "champion")
    (line,) = said(run, capsys, status=1)
    assert line.startswith("the champion, trial 1, has no model: ")


def test_a_champion_with_another_models_metrics_is_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "champion" / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("0.6", "0.61"), encoding="utf-8")
    (line,) = said(run, capsys, status=1)
    assert "sst/accuracy 0.6, sts/pearson 0.6 in results.json, but sst/accuracy 0.61" in line


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"number": 2}, "the champion, trial 2, is FAIL among the trials"),
        ({"number": 9}, "the champion, trial 9, is not among the trials"),
        ({"score": 0.9}, "the champion, trial 1, has the score 0.9 and"),
    ],
)
def test_a_champion_that_is_no_such_trial_is_reported(
    run: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], sentence: str
) -> None:
    edit_results(run, lambda found: found["champion"].update(change))
    assert said(run, capsys, status=1)[0].startswith(sentence)


def test_a_model_that_nobody_named_is_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit_results(run, lambda found: found.update(champion=None))
    assert said(run, capsys, status=1) == ["champion/ is there, but results.json names no champion"]


@pytest.mark.parametrize(
    ("number", "status", "sentences"),
    [
        (0, "TERMINATED", []),
        (2, "TERMINATED", []),
        (2, "ERROR", []),
        (3, "PENDING", []),  # it was interrupted
        (0, "RUNNING", ["trial 0: Tune says RUNNING, and Optuna says COMPLETE"]),
        (0, "ERROR", ["trial 0: Tune says ERROR, and Optuna says COMPLETE"]),
        (8, "TERMINATED", ["trial 8: Tune says TERMINATED, and Optuna says nothing"]),
    ],
)
def test_disagreements_with_tune(made: Path, number: int, status: str, sentences: list[str]) -> None:
    from tuner.study import read_records

    records = read_records(f"journal:{made / 'study.journal'}", "night")
    assert consistency.tune_disagreements({number: status}, {record.number: record for record in records}, {3}) == sentences


def test_no_such_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["night", "--runs-dir", str(tmp_path)]) == 2
    assert "there is no run night" in capsys.readouterr().err


def test_a_run_without_results(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "results.json").unlink()
    assert check.main([str(run)]) == 2
    assert "the search has not finished" in capsys.readouterr().err


def test_a_run_that_still_runs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tuner.config import run_folder

    with run_folder.opened(run, options.load(run)):
        assert check.main([str(run)]) == 2
    assert "is running; check it when it has ended" in capsys.readouterr().err
    assert check.main([str(run)]) == 0


def test_a_refused_configuration_is_in_mlflow_too(made: Path, tmp_path: Path) -> None:
    """Its settings break a rule, so they cannot be parsed; its run says so."""
    shutil.copy(made / "mlflow.db", tmp_path / "mlflow.db")
    tracking = MlflowTracking(None, tmp_path, "other")
    tracking.search_started(samples.facts(tmp_path))
    refused = samples.record(0, "FAIL", reason=f"{REFUSED}: …", config={"mixture": ["sst"], "optim": {"lr": -1.0}})
    tracking.trial_finished(refused)
    tracking.flush()
    assert tracking.run_id is not None
    from tuner.tracking.mlflow import read_runs

    _, child = read_runs(tracking.tracking_uri, tracking.run_id)
    assert (child.number, child.status, child.state, child.reason) == (0, "FAILED", "FAIL", f"{REFUSED}: …")


def test_resume_writes_what_a_killed_driver_had_not_sent(made: Path, tmp_path: Path) -> None:
    """A new store, as after an outage that lasted to the end: every finished trial is written from its record."""
    shutil.copy(made / "mlflow.db", tmp_path / "mlflow.db")
    records = (samples.record(0, score=0.6), samples.record(1, "PRUNED", 0.3, reason="worse than the median"))
    tracking = MlflowTracking(None, tmp_path, "other")
    facts = samples.facts(tmp_path, finished=records)
    tracking.search_started(facts)
    tracking.search_finished(samples.results(facts, list(records), records[0]))
    from tuner.tracking.mlflow import read_runs

    assert tracking.run_id is not None
    trials = [{"number": r.number, "state": r.state, "score": r.score, "reason": r.reason} for r in records]
    assert consistency.mlflow_disagreements(trials, read_runs(tracking.tracking_uri, tracking.run_id)) == []


def test_scores_are_equal_up_to_what_a_database_loses() -> None:
    one = consistency.Entry("COMPLETE", 0.1 + 0.2, None)
    assert one.agrees(consistency.Entry("COMPLETE", 0.3, None))
    assert not one.agrees(consistency.Entry("COMPLETE", 0.30001, None))
    assert not one.agrees(consistency.Entry("COMPLETE", None, None))


def test_evaluation_of_samples_has_the_score_that_is_played() -> None:
    """The fixture tells MLflow the score that the study computes."""
    evaluation: Evaluation = samples.evaluation(1, 0.3, pearson=0.3)
    assert Objective("mean", ("sst", "sts")).score(evaluation.metrics) == 0.3


def test_a_paused_trial_is_unfinished_in_all_stores_or_reported() -> None:
    why = "paused by asha-promote at evaluation 1 of 2, score 0.5000"
    records = [samples.record(0, "PAUSED", 0.5, reason=why)]
    parent = RunFound(None, "KILLED", None, None, None)
    runs = [parent, RunFound(0, "SCHEDULED", "PAUSED", 0.5, why)]
    assert consistency.compare({}, "results.json", consistency.optuna_entries(records, {0}), "Optuna") == []
    assert consistency.mlflow_disagreements([], runs, {0}) == []
    assert consistency.compare({}, "results.json", consistency.optuna_entries(records), "Optuna") == [
        "trial 0 is still PAUSED in Optuna"
    ]
    assert consistency.mlflow_disagreements([], runs) == ["trial 0 is still PAUSED in MLflow"]
    (line,) = consistency.mlflow_disagreements([], [parent, RunFound(0, "KILLED", "PAUSED", 0.5, why)], {0})[:1]
    assert line == "trial 0: MLflow has the status KILLED and the tag state PAUSED, which do not go together"
