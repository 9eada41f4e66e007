"""What is told of a confirmation: the summary, status, the registry, the card, MLflow and `tuner.search.consistency`."""

from __future__ import annotations

import io
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.support import mlflow_store, samples
from tests.support.finalists import come_to, tried
from tests.support.finished_run import edit_mlflow, edit_results, made, run, said
from tests.support.records import exported, registered
from tests.support.status_folder import folder
from tuner.commands import check, status
from tuner.config import run_folder
from tuner.config.options import Options
from tuner.config.requirements import Requirements
from tuner.results import results_json as results
from tuner.results.export import card
from tuner.results.summary import print_summary
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import DEFAULT
from tuner.search.confirmation.outcome import Outcome
from tuner.search.confirmation.trainings import FOLDER, ConfirmationRecords
from tuner.tracking.mlflow import MlflowTracking
from tuner.tracking.mlflow.registry import Previous, _origin, verdict

__all__ = ["folder", "made", "run"]  # fixtures


def confirmed(default: float = 0.60) -> Outcome:
    return come_to(
        tried("3", [0.70, 0.72], search=0.8, right=0.9), tried("default", [default, default + 0.02]), tried("1", [None])
    )


def told(tmp_path: Path, found: Outcome) -> dict[str, Any]:
    """results.json of a search that was confirmed."""
    plan = samples.facts(tmp_path / "night")
    built = samples.results(plan, [samples.record(3, score=0.8)], samples.record(3, score=0.8), confirmation=found.confirmation)
    return built | {"champion": found.champion and found.champion | {"path": str(plan.run_dir / "champion")}}


def shown(contents: dict[str, Any], width: int = 80) -> list[str]:
    stream = io.StringIO()
    print_summary(Console(file=stream, width=width), contents)
    return stream.getvalue().splitlines()


def test_the_summary_has_a_small_table_and_plain_sentences(tmp_path: Path) -> None:
    lines = shown(told(tmp_path, confirmed()))
    start = next(i for i, line in enumerate(lines) if line.startswith("rank  finalist"))
    assert [line.split() for line in lines[start : start + 4]] == [
        ["rank", "finalist", "search", "mean", "s.d.", "bound", "optimism", "seeds", "dev"],
        ["1", "trial", "3", "0.8000", "0.7100", "0.0141", "0.6808", "+0.0900", "2", "0.9000"],
        ["2", "default", "-", "0.6100", "0.0141", "0.5808", "-", "2", "0.5000"],
        ["-", "trial", "1", "0.9000", "-", "-", "-", "-", "0", "-"],
    ]
    assert all(len(line) <= 80 for line in lines[start : start + 4])
    assert "confirmed: trial 3 with 0.7100 ± 0.0141 on select; the search's score of 0.8000 was 0.0900 too high" in lines
    (against,) = [line for line in lines if line.startswith("on dev against the untuned default: +0.4000, 95 % interval +0.3")]
    assert against.endswith("better in 100 % of the resamples")
    assert "the champion beats the untuned default on dev" in lines
    assert any(line.startswith("champion: trial 3, seed 12 (its best on select),  score 0.7200") for line in lines)


def test_a_default_that_wins_is_said_and_used(tmp_path: Path) -> None:
    lines = shown(told(tmp_path, confirmed(default=0.9)))
    assert "THE SEARCH DOES NOT BEAT THE UNTUNED DEFAULT, which is the champion" in lines
    assert "confirmed: the untuned default with 0.9100 ± 0.0141 on select" in lines
    assert any(line.startswith("champion: the untuned default, seed 12") for line in lines)


def test_requirements_that_only_a_lucky_seed_met_are_missed(tmp_path: Path) -> None:
    text = "sst/accuracy>=0.72"
    found = come_to(
        tried("3", [0.70, 0.73], search=0.8, **{"sst_accuracy>=0.72": -0.01}), requirements=Requirements.parse([text])
    )
    contents = told(tmp_path, found) | {"requirements": [text]}
    (line,) = [line for line in shown(contents, 200) if "FINALIST" in line]
    assert line.startswith("NO FINALIST MEETS THE REQUIREMENTS on fresh seeds: the champion is only the nearest")
    assert line.endswith("it misses sst/accuracy>=0.72 by 0.0050")


def test_results_are_json(tmp_path: Path) -> None:
    path = tmp_path / results.FILE_NAME
    results.write(path, told(tmp_path, confirmed()))
    assert results.read(path)["confirmation"]["finalists"][0]["name"] == "trial 3"


def test_the_card_has_mean_and_spread_beside_the_models_own(tmp_path: Path) -> None:
    found = confirmed()
    assert found.champion is not None
    contents = exported(found.champion["config"])
    contents |= {"confirmation": found.confirmation, "champion": found.champion}
    text = card(contents)
    assert "## Confirmation" in text
    assert "| sst/accuracy | 0.9000 | 0.0000 |" in text
    assert "- the champion beats the untuned default on dev" in text
    assert "Trial 3, of 1 (1 COMPLETE)" in text
    won = confirmed(default=0.9)
    text = card(contents | {"confirmation": won.confirmation, "champion": won.champion})
    assert "The untuned default, beside the trials, 1 (1 COMPLETE)" in text


def test_the_registry_compares_confirmed_means() -> None:
    confirmation = {"mean": 0.65, "seed": 12}
    found = registered(0.7, confirmed=confirmation)
    assert verdict(found, Previous(2, found["metric"], 0.66))[0] is False
    takes, why = verdict(found, Previous(2, found["metric"], 0.64))
    assert takes
    assert "its score of 0.6500 beats the 0.6400 of version 2" in why
    assert _origin(found["champion"]) == {"trial": "3", "seed": "12"}
    assert _origin(found["champion"] | {"number": None}) == {"trial": DEFAULT, "seed": "12"}


def test_status_tells_how_far_the_confirmation_is(folder: Path) -> None:
    kept = ConfirmationRecords(folder / FOLDER)
    kept.begin([1, 2, 3])
    kept.put(TrialRecord(1, "COMPLETE", 0.5, {}, [], {}, 1.0, None))
    with run_folder.opened(folder, Options()):
        found = status.status(folder)
        assert (found.stage, found.confirmed) == ("confirming", (1, 3))
        assert "confirmation: 1 of 3 trainings ended" in status.describe(found)
        kept.end()
        assert status.status(folder).stage == "searching"


class TestMlflow:
    def record(self, state: str = "COMPLETE") -> TrialRecord:
        return samples.record(1 << 40, state, 0.6)

    def opened(self, path: Path, run_id: str | None = None) -> MlflowTracking:
        tracking = MlflowTracking(None, path, "night", run_id)
        tracking.search_started(samples.facts(path))
        tracking.announce({1 << 40: ("finalist trial 3 seed 11", {"finalist": "trial 3", "seed": "11"})})
        return tracking

    def stored(self, path: Path) -> tuple[list[Any], list[Any], list[Any]]:
        """Status, tags and scores of the runs that are a finalist's."""
        with sqlite3.connect(path / "mlflow.db") as store:
            runs = store.execute(
                "select name, status, run_uuid from runs join tags using (run_uuid) where key = 'finalist'"
            ).fetchall()
            tags = [store.execute("select key, value from tags where run_uuid = ?", (run[2],)).fetchall() for run in runs]
            scores = store.execute("select value from metrics where key = 'score' order by step").fetchall()
        return [run[:2] for run in runs], [dict(one) for one in tags], [score for (score,) in scores]

    def test_a_finalist_is_a_nested_run_and_no_trial(self, tmp_path: Path) -> None:
        mlflow_store.put_into(tmp_path)
        tracking = self.opened(tmp_path)
        tracking.trial_started(1 << 40, samples.CONFIG)
        tracking.evaluated(1 << 40, samples.evaluation(1, 0.5), 0.5)
        tracking.evaluated(1 << 40, samples.evaluation(2, 0.6), 0.6)
        tracking.trial_finished(self.record())
        tracking.search_finished(told(tmp_path, confirmed()))
        ((name, state),), (tags,), scores = self.stored(tmp_path)
        assert (name, state) == ("finalist trial 3 seed 11", "FINISHED")
        assert tags["mlflow.parentRunId"] == tracking.run_id
        assert "trial" not in tags, "a warm start would take it for a trial"
        assert (tags["state"], tags["seed"]) == ("COMPLETE", "11")
        assert scores == [0.5, 0.6]
        with sqlite3.connect(tmp_path / "mlflow.db") as store:
            of_parent = dict(store.execute("select key, value from latest_metrics where run_uuid = ?", (tracking.run_id,)))
        assert of_parent["confirmed/mean"] == pytest.approx(0.71)
        assert of_parent["confirmed/vs_default/low"] > 0
        assert "best_score" not in of_parent, "a finalist is not the best trial"

    def test_what_a_kill_kept_from_it_is_written_by_the_next_session_once(self, tmp_path: Path) -> None:
        mlflow_store.put_into(tmp_path)
        first = self.opened(tmp_path)
        first.trial_started(1 << 40, samples.CONFIG)
        first.evaluated(1 << 40, samples.evaluation(1, 0.5), 0.5)
        first.flush()
        for _ in range(2):
            later = self.opened(tmp_path, first.run_id)
            later.catch_up([self.record()])
            later.flush()
        runs, _, scores = self.stored(tmp_path)
        assert runs == [("finalist trial 3 seed 11", "FINISHED")]
        assert scores == [0.5, 0.6]


class TestCheck:
    """The run of `test_check`, whose champion is made the first finalist: on another seed, with a model of its own."""

    def confirm(self, run: Path) -> None:
        training = {"number": 7, "seed": 11, "state": "COMPLETE", "score": 0.55, "reason": None}

        def change(found: dict[str, Any]) -> None:
            metrics = found["champion"]["metrics"]
            first = {"rank": 1, "name": "trial 1", "trial": 1, "trainings": [training | {"metrics": metrics}]}
            found["confirmation"] = {"finalists": [first]}
            found["champion"] |= {"score": 0.55, "confirmed": {"training": 7}}

        edit_results(run, change)
        with sqlite3.connect(run / "mlflow.db") as store:
            (parent,) = store.execute("select run_uuid from runs where run_uuid not in (select run_uuid from tags where key = "
                                      "'mlflow.parentRunId')").fetchone()  # fmt: skip
            columns = [row[1] for row in store.execute("pragma table_info(runs)")]
            chosen = ", ".join("'new'" if name == "run_uuid" else name for name in columns)
            store.execute(f"insert into runs select {chosen} from runs where run_uuid = ?", (parent,))
            tags = {"mlflow.parentRunId": parent, "training": "7", "finalist": "trial 1", "state": "COMPLETE"}
            store.executemany("insert into tags (key, value, run_uuid) values (?, ?, 'new')", tags.items())
            store.execute("update runs set status = 'FINISHED' where run_uuid = 'new'")
            columns = "key, value, timestamp, step, is_nan, run_uuid"
            store.execute(f"insert into latest_metrics ({columns}) values ('score', 0.55, 1, 1, 0, 'new')")
        store.close()

    def test_a_confirmed_champion_is_compared_with_its_training(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.confirm(run)
        assert said(run, capsys, status=0) == ["night: Optuna, MLflow and results.json agree on 3 trial(s)"]
        edit_results(run, lambda found: found["champion"].update(score=0.7))
        (sentence,) = said(run, capsys, status=check.DISAGREE)
        assert sentence.startswith("the champion, trial 1, has the score 0.7")
        assert "but its training 0.55" in sentence
        edit_results(run, lambda found: found["champion"]["confirmed"].update(training=8))
        (sentence,) = said(run, capsys, status=check.DISAGREE)
        assert "is not among the trainings of the first finalist" in sentence

    def test_a_finalist_of_which_mlflow_says_something_else(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.confirm(run)
        edit_mlflow(run, "update latest_metrics set value = 0.5 where run_uuid = 'new'")
        (sentence,) = said(run, capsys, status=check.DISAGREE)
        assert sentence.startswith("finalist trial 1 seed 11: results.json says COMPLETE, score 0.55")
        edit_mlflow(run, "delete from tags where key = 'training'")
        (sentence,) = [line for line in said(run, capsys, status=check.DISAGREE) if "finalist" in line]
        assert sentence.endswith("and MLflow does not have it")

    def test_a_model_that_is_gone(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.confirm(run)
        shutil.rmtree(run / "champion")
        (sentence,) = said(run, capsys, status=check.DISAGREE)
        assert sentence.startswith("the champion, trial 1, has no model")
