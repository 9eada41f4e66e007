"""A whole search for two goals with a pruner, under requirements that no trial meets: nothing is a stand-in."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support.searches import command
from tuner.search import SHORT
from tuner.study.fronts import Fronts
from tuner.study.pareto_pruners import is_promoted

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GOALS, REQUIRED = "sst/accuracy,sts/pearson", ("sst/f1>=0.999", "sts/pearson>=-1")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """Eight trials of two tasks, one after the other, halved after the first, second and fourth of five evaluations."""
    folder = tmp_path_factory.mktemp("required")
    sizes = ["--set", "max_length=32", "--set", "budget.examples=480", "--set", "budget.evaluations=5"]
    required = [part for text in REQUIRED for part in ("--require", text)]
    arguments = [
        "--profile",
        "laptop",
        "--tasks",
        "sst,sts",
        "--metric",
        GOALS,
        "--pruner",
        "asha",
        "--trials",
        "8",
        "--finalists",
        "0",
        "--rung-resource",
        "steps",
    ]
    where = ["--backbone", str(tiny_backbone), "--name", "r", "--runs-dir", str(folder), "--max-concurrent", "1", "--quiet"]
    process = command(*arguments, *required, *sizes, *where)
    out, err = process.communicate(timeout=600)
    assert process.returncode == SHORT, err
    results = json.loads((folder / "r" / "results.json").read_text(encoding="utf-8"))
    return {"folder": folder, "results": results, "out": out}


def test_the_search_says_that_no_trial_meets_the_requirements(found: dict[str, Any]) -> None:
    results, champion = found["results"], found["results"]["champion"]
    assert results["requirements"] == list(REQUIRED)
    assert champion["feasible"] is False
    assert champion["requirements"][REQUIRED[1]] == {"met": True, "missed_by": 0.0}
    missed = champion["requirements"][REQUIRED[0]]["missed_by"]
    assert missed == pytest.approx(0.999 - champion["metrics"]["sst/f1"])
    complete = [trial for trial in results["trials"] if trial["state"] == "COMPLETE"]
    assert missed == min(trial["requirements"][REQUIRED[0]]["missed_by"] for trial in complete)
    assert champion["number"] in results["front"]
    assert "NO TRIAL MEETS THE REQUIREMENTS: the champion is only the nearest; it misses sst/f1>=0.999 by" in found["out"]
    assert Path(champion["path"], "model.safetensors").is_file()


def test_trials_were_pruned_by_rank_as_the_rule_says(found: dict[str, Any]) -> None:
    """Asked in order, one at a time, so that each rung can be played again."""
    rungs: dict[int, Fronts] = {}
    for trial in found["results"]["trials"]:
        judged = [rung for rung in (1, 2, 4) if rung <= len(trial["evaluations"])]
        for rung in judged:
            metrics = trial["evaluations"][rung - 1]["metrics"]
            short = max(0.0, 0.999 - metrics["sst/f1"])
            vector = (metrics["sst/accuracy"], metrics["sts/pearson"], -short)
            fronts = rungs.setdefault(rung, Fronts())
            fronts.add(vector)
            stopped = trial["state"] == "PRUNED" and rung == len(trial["evaluations"])
            assert is_promoted(fronts, vector, 2) != stopped, (trial["number"], rung)
    states = {trial["state"] for trial in found["results"]["trials"]}
    assert states == {"COMPLETE", "PRUNED"}, "a search in which nothing is pruned says little"


def test_mlflow_marks_what_is_missed(found: dict[str, Any]) -> None:
    with sqlite3.connect(found["folder"] / "r" / "mlflow.db") as store:
        values = store.execute("select distinct value from tags where key = 'requirements'").fetchall()
    assert values == [("missed",)]
