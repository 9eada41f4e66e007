"""Two whole searches under `no-negative-transfer`: one trains the controls, one finds them. Nothing is a stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.searches import command
from tuner.search import CHAMPION, SHORT
from tuner.tracking import read_runs

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

NAMES = ("first", "second")
REQUIRED = "no-negative-transfer:0.05"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """Both searches, of three trials each, by name: results, stderr, and which controls lay in the cache afterwards."""
    folder = tmp_path_factory.mktemp("controls")
    sizes = ["--max-concurrent", "1", "--set", "max_length=32", "--set", "budget.examples=320", "--set", "budget.evaluations=2"]
    arguments = [
        "--profile",
        "laptop",
        "--tasks",
        "sst,sts",
        "--metric",
        "sst/accuracy",
        "--trials",
        "3",
        "--finalists",
        "0",
        "--require",
        REQUIRED,
    ]
    runs: dict[str, Any] = {"folder": folder}
    for name in NAMES:
        where = ["--backbone", str(tiny_backbone), "--name", name, "--runs-dir", str(folder), "--quiet"]
        process = command(*arguments, *sizes, *where)
        _, err = process.communicate(timeout=600)
        assert process.returncode in (CHAMPION, SHORT), err
        results = json.loads((folder / name / "results.json").read_text(encoding="utf-8"))
        cached = {path.name: path.read_bytes() for path in (folder / ".controls").iterdir()}
        runs[name] = {"results": results, "err": err, "cached": cached, "status": process.returncode}
    return runs


def test_the_first_search_trains_a_control_of_each_task_and_the_second_none(found: dict[str, Any]) -> None:
    first, second = (found[name] for name in NAMES)
    assert {task: control["cached"] for task, control in first["results"]["controls"].items()} == {"sst": False, "sts": False}
    assert {task: control["cached"] for task, control in second["results"]["controls"].items()} == {"sst": True, "sts": True}
    assert first["cached"] == second["cached"]
    assert len(first["cached"]) == 2
    assert "first the single-task controls of sst, sts, which are no trials" in first["err"]
    assert "control sst  COMPLETE  score" in first["err"]
    assert "control" not in second["err"]
    for task in ("sst", "sts"):
        assert first["results"]["controls"][task]["value"] == second["results"]["controls"][task]["value"]
        assert first["results"]["controls"][task]["config"]["mixture"] == [task]


@pytest.mark.parametrize("name", NAMES)
def test_trials_are_compared_with_the_controls_of_their_own_tasks(found: dict[str, Any], name: str) -> None:
    results = found[name]["results"]
    alone = {control["metric"]: control["value"] for control in results["controls"].values()}
    assert len(results["trials"]) == 3, "controls are no trials"
    for trial in results["trials"]:
        most = max(value - 0.05 - trial["metrics"][metric] for metric, value in alone.items() if metric in trial["metrics"])
        assert trial["requirements"] == {REQUIRED: {"met": most <= 0, "missed_by": pytest.approx(max(most, 0.0))}}
    assert found[name]["status"] == (CHAMPION if results["champion"]["feasible"] else SHORT)
    assert results["consistency"] == []
    assert not (found["folder"] / name / "controls").exists(), "what they were trained in is gone"


@pytest.mark.parametrize("name", NAMES)
def test_mlflow_has_a_nested_run_of_each_control_and_of_each_trial(found: dict[str, Any], name: str) -> None:
    mlflow = found[name]["results"]["mlflow"]
    parent, *children = read_runs(mlflow["tracking_uri"], mlflow["run_id"])
    assert parent.number is None
    assert sorted(run.number for run in children if run.number is not None) == [0, 1, 2]
    controls = [run for run in children if run.training is not None]
    values = sorted(control["value"] for control in found[name]["results"]["controls"].values())
    assert [run.state for run in controls] == ["COMPLETE"] * 2
    assert sorted(run.score for run in controls if run.score is not None) == pytest.approx(values)
