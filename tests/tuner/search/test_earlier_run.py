"""A run of an earlier version is resumed, checked, reported and shown as if this version had begun it, also when renamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.earlier_run import NAME, unpack
from tests.support.searches import outcomes, results_of, run_command, search_here
from tuner.commands import check, report, status

RENAMED = "renamed"
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The folder of runs, what was recorded before, and the search as it was resumed in a renamed folder."""
    runs = unpack(tmp_path_factory.mktemp("earlier"))
    shown = run_command(status.main, NAME, "--runs-dir", str(runs))
    before = results_of(runs / NAME)
    (runs / NAME).rename(runs / RENAMED)
    return {
        "runs": runs,
        "shown": shown,
        "before": before,
        "done": search_here("--resume", RENAMED, "--runs-dir", str(runs), "--finalists", "0"),
        "after": results_of(runs / RENAMED),
    }


def test_it_was_interrupted_in_its_third_trial(run: dict[str, Any]) -> None:
    assert run["shown"].status == 0
    assert "interrupted" in run["shown"].out
    assert [trial["state"] for trial in run["before"]["trials"]] == ["COMPLETE", "COMPLETE"]


def test_it_is_resumed_to_its_end(run: dict[str, Any]) -> None:
    assert run["done"].status == 0, run["done"].err
    assert outcomes(run["after"])[:2] == outcomes(run["before"])[:2], "finished trials are as they were"
    third = run["after"]["trials"][2]
    assert third["state"] == "COMPLETE"
    assert len(third["evaluations"]) == 3
    assert len(run["after"]["trials"]) == 4
    assert run["after"]["mlflow"]["run_id"] == run["before"]["mlflow"]["run_id"]
    assert run["after"]["optuna"]["study_name"] == NAME
    assert not (run["runs"] / NAME).exists(), "MLflow's artifacts went to the renamed folder"


def test_it_is_checked_and_reported(run: dict[str, Any]) -> None:
    assert run_command(check.main, RENAMED, "--runs-dir", str(run["runs"])).status == 0
    written = run_command(report.main, RENAMED, "--runs-dir", str(run["runs"]))
    assert written.status == 0
    assert Path(written.out.strip()).is_file()
