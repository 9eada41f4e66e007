"""A whole search for two goals on a cue data set, from building it to the champion: nothing is a stand-in."""

from __future__ import annotations

import json
import sqlite3
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from model.cues.__main__ import main as cues
from tests.support.searches import results_of, run_command, search_here
from tuner.results.pareto import upwards

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

N_TRIALS = 3
CLEAN, GAP = "clean/cfimdb/accuracy", "cue_gap/cfimdb/accuracy"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """Three trials of `robust_cfimdb` on cues built from the demo corpus."""
    folder = tmp_path_factory.mktemp("robust")
    assert run_command(cues, "build", "--data", "demo", "--out", str(folder / "cues")).status == 0
    sizes = ["--set", "max_length=32", "--set", "budget.examples=64", "--set", "budget.evaluations=2"]
    arguments = ["--space", "robust_cfimdb", "--profile", "laptop", "--data", str(folder / "cues"), "--backbone", tiny_backbone]
    where = ["--name", "r", "--runs-dir", folder, "--max-concurrent", "1", "--quiet"]
    done = search_here(*map(str, (*arguments, "--trials", N_TRIALS, "--finalists", 0, *sizes, *where)))
    assert done.status == 0, done.err
    return {"folder": folder, "results": results_of(folder / "r"), "out": done.out}


def test_every_trial_has_both_goals_from_its_last_evaluation(found: dict[str, Any]) -> None:
    trials = found["results"]["trials"]
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * N_TRIALS
    for trial in trials:
        metrics = trial["evaluations"][-1]["metrics"]
        assert trial["scores"] == {CLEAN: metrics[CLEAN], GAP: metrics[GAP]}
        assert metrics[GAP] == pytest.approx(metrics[CLEAN] - metrics["inverted/cfimdb/accuracy"])
        assert trial["score"] == metrics[CLEAN]
        assert not any(name.startswith("dev") for name in metrics), "nothing of dev was looked at"


def test_the_front_is_optunas_and_the_champion_is_on_it(found: dict[str, Any]) -> None:
    results = found["results"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = JournalStorage(JournalFileBackend(str(found["folder"] / "r" / "study.journal")))
        study = optuna.load_study(storage=storage, study_name="r")
    assert results["front"] == sorted(trial.number for trial in study.best_trials)
    on_front = [trial for trial in results["trials"] if trial["number"] in results["front"]]
    assert results["champion"]["number"] == max(on_front, key=lambda trial: upwards(trial["scores"]))["number"]
    assert all(f"trial {number}  {CLEAN}" in found["out"] for number in results["front"])


def test_mlflow_marks_the_front(found: dict[str, Any]) -> None:
    with sqlite3.connect(found["folder"] / "r" / "mlflow.db") as store:
        tagged = store.execute("select count(*) from tags where key = 'front' and value = 'yes'").fetchone()
        statuses = store.execute("select distinct status from runs").fetchall()
    assert tagged == (len(found["results"]["front"]),)
    assert statuses == [("FINISHED",)]


def test_models_of_the_front_are_kept_and_read_the_arms_of_dev(found: dict[str, Any]) -> None:
    champion = found["results"]["champion"]["path"]
    done = run_command(cues, "evaluate", "--model", champion, "--cues", str(found["folder"] / "cues"), "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["models"]
    kept = {int(path.name) for path in (found["folder"] / "r" / "models").iterdir()}
    assert kept == set(found["results"]["front"])
