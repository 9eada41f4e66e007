"""A finished run in the real stores, made once per test process and copied."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import mlflow_store, samples
from tuner.commands import check
from tuner.config import options
from tuner.config.objective import Objective
from tuner.results import results_json as results
from tuner.space import load
from tuner.study import Study
from tuner.tracking.mlflow import MlflowTracking

SPACE = """\
name: tiny
fixed: {mixture: [sst, sts]}
search:
  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}
"""


def play(study: Study, tracking: MlflowTracking, scores: list[float], ending: str | None = None) -> None:
    """One trial in both stores, as the bridge plays it: complete, or failed with the reason `ending`."""
    asked = study.ask()
    assert asked is not None
    tracking.trial_started(asked.number, asked.config)
    for index, score in enumerate(scores, start=1):
        evaluation = samples.evaluation(index, score, pearson=score)
        study.report(asked.number, evaluation)
        tracking.evaluated(asked.number, evaluation, score)
    if study.record(asked.number).is_finished:
        pass
    elif ending is None:
        study.complete(asked.number)
    else:
        study.fail(asked.number, ending)
    tracking.trial_finished(study.record(asked.number))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four trials: two complete, one failed after an evaluation, one unfinished; trial 1 is the champion."""
    folder = tmp_path_factory.mktemp("runs") / "night"
    folder.mkdir()
    mlflow_store.put_into(folder)
    space = folder.parent / "tiny.yaml"
    space.write_text(SPACE, encoding="utf-8")
    options.save(options.Options(space=str(space), name="night", runs_dir=str(folder.parent)), folder)
    storage = f"journal:{folder / 'study.journal'}"
    objective = Objective("mean", ("sst", "sts"))
    study = Study(storage, "night", load(space), objective, "random", "none", 0, 9, 2)
    facts = samples.facts(folder)
    tracking = MlflowTracking(None, folder, "night")
    tracking.search_started(facts)
    play(study, tracking, [0.3, 0.5])
    play(study, tracking, [0.3, 0.6])
    play(study, tracking, [0.1], ending="the loss became nan at step 12")
    asked = study.ask()
    assert asked is not None
    tracking.trial_started(asked.number, asked.config)
    champion = study.best
    assert champion is not None
    (folder / "champion").mkdir()
    content = {"config": dict(champion.config), "metrics": dict(champion.metrics)}
    (folder / "champion" / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    tracking.flush()
    mlflow = {"tracking_uri": tracking.tracking_uri, "experiment_id": tracking.experiment_id, "run_id": tracking.run_id}
    found = samples.results(facts, study.records(), champion, mlflow=mlflow, optuna={"storage": storage, "study_name": "night"})
    tracking.search_finished(found)
    study.suspend()
    results.write(folder / results.FILE_NAME, found)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may break."""
    folder = tmp_path / "night"
    shutil.copytree(made, folder)
    return folder


def said(run: Path, capsys: pytest.CaptureFixture[str], *, status: int) -> list[str]:
    assert check.main([str(run)]) == status
    return capsys.readouterr().out.splitlines()


def edit_results(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    found = results.read(run / results.FILE_NAME)
    change(found)
    results.write(run / results.FILE_NAME, found)


def edit_mlflow(run: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(run / "mlflow.db") as database:
        changed = database.execute(statement, values).rowcount
    database.close()
    assert changed >= 1, "the statement changed nothing"
