"""Whole searches under requirements: one for two goals with a pruner, which trains the controls of `no-negative-transfer` and
whose trials all miss something; and one from Python, which finds these controls. Nothing is a stand-in."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.support import raylets
from tests.support.searches import lend_tokens, results_of, search_here
from tuner import search
from tuner.results.search_result import SearchResult
from tuner.search import CHAMPION, SHORT
from tuner.study.pareto_fronts import ParetoFronts
from tuner.study.pruners.asha import is_promoted
from tuner.tracking.mlflow import read_runs

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GOALS, REQUIRED = "sst/accuracy,sts/pearson", ("sst/f1>=0.999", "sts/pearson>=-1", "no-negative-transfer:0.05")
TRANSFER = REQUIRED[2]
SIZES = {"max_length": 32, "budget.examples": 480, "budget.evaluations": 5}
N_TRIALS = {"first": 8, "second": 2}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """What both searches left, by name: results, status, stderr, and which controls lay in the cache afterwards.

    The first halves its eight trials, one after the other, after the first, second and fourth of five evaluations.
    """
    folder = tmp_path_factory.mktemp("required")
    lend_tokens(folder)
    sizes = [part for name, value in SIZES.items() for part in ("--set", f"{name}={value}")]
    required = [part for text in REQUIRED for part in ("--require", text)]
    arguments = ["--profile", "laptop", "--tasks", "sst,sts", "--metric", GOALS, "--pruner", "asha"]
    where = ["--backbone", str(tiny_backbone), "--name", "first", "--runs-dir", str(folder), "--max-concurrent", "1", "--quiet"]
    done = search_here(*arguments, *required, *sizes, "--trials", "8", "--max-trials", "8", "--finalists", "0", *where)
    assert done.status == SHORT, done.err
    found = {"folder": folder, "first": left_by(folder, "first", done.status, done.err) | {"out": done.out}}

    raylets.join_shared()
    results: list[SearchResult] = []
    settings: dict[str, Any] = {"backbone": str(tiny_backbone), **SIZES}
    keywords: dict[str, Any] = {"profile": "laptop", "tasks": ["sst", "sts"], "metric": "sst/accuracy", "require": TRANSFER}
    keywords |= {"name": "second", "runs_dir": folder, "trials": 2, "finalists": 0, "quiet": True}
    keywords |= {"no_preflight": True, "register": False}
    thread = threading.Thread(target=lambda: results.append(search(settings=settings, **keywords)))
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        thread.start()
        thread.join(300)
    (result,) = results
    second = left_by(folder, "second", result.exit_status, err.getvalue())
    return found | {"second": second | {"out": out.getvalue(), "result": result}}


def left_by(folder: Path, name: str, status: int, err: str) -> dict[str, Any]:
    cached = {path.name: path.read_bytes() for path in (folder / ".controls").iterdir()}
    return {"results": results_of(folder / name), "cached": cached, "status": status, "err": err}


def test_a_search_from_python_in_a_thread_uses_the_ray_that_runs_and_leaves_it_running(found: dict[str, Any]) -> None:
    """And prints nothing of its own."""
    result: SearchResult = found["second"]["result"]
    assert ray.is_initialized()
    assert ray.get(ray.put(1)) == 1
    assert [trial.state for trial in result.trials] == ["COMPLETE"] * 2
    assert len(result.to_frame()) == 2
    assert result.champion is not None
    assert sorted(result.champion.dev) == sorted(result.champion.metrics)
    predictions = result.champion.predict("sst", ["a gripping film", "a dull film"])
    assert all(prediction.label for prediction in predictions)
    assert len(predictions) == 2
    assert found["second"]["out"] == ""
    assert "Traceback" not in found["second"]["err"]


def test_the_search_says_that_no_trial_meets_the_requirements(found: dict[str, Any]) -> None:
    results, champion = found["first"]["results"], found["first"]["results"]["champion"]
    assert results["requirements"] == list(REQUIRED)
    assert champion["feasible"] is False
    assert champion["requirements"][REQUIRED[1]] == {"met": True, "missed_by": 0.0}
    assert champion["requirements"][REQUIRED[0]]["missed_by"] == pytest.approx(0.999 - champion["metrics"]["sst/f1"])
    complete = [trial for trial in results["trials"] if trial["state"] == "COMPLETE"]
    assert missed(champion) == min(missed(trial) for trial in complete)
    assert champion["number"] in results["front"]
    assert "NO TRIAL MEETS THE REQUIREMENTS" in found["first"]["out"]
    assert "misses sst/f1>=0.999 by" in found["first"]["out"]
    assert Path(champion["path"], "model.safetensors").is_file()


def missed(trial: dict[str, Any]) -> float:
    return sum(one["missed_by"] for one in trial["requirements"].values())


def test_trials_were_pruned_by_rank_as_the_rule_says(found: dict[str, Any]) -> None:
    """Asked in order, one at a time, so that each rung can be played again."""
    results = found["first"]["results"]
    rungs: dict[int, ParetoFronts] = {}
    for trial in results["trials"]:
        judged = [rung for rung in (1, 2, 4) if rung <= len(trial["evaluations"])]
        for rung in judged:
            metrics = trial["evaluations"][rung - 1]["metrics"]
            short = max(0.0, 0.999 - metrics["sst/f1"]) + max(0.0, below_controls(results, metrics))
            vector = (metrics["sst/accuracy"], metrics["sts/pearson"], -short)
            fronts = rungs.setdefault(rung, ParetoFronts())
            fronts.add(vector)
            stopped = trial["state"] == "PRUNED" and rung == len(trial["evaluations"])
            assert is_promoted(fronts, vector, 2) != stopped, (trial["number"], rung)
    states = {trial["state"] for trial in results["trials"]}
    assert states == {"COMPLETE", "PRUNED"}, "a search in which nothing is pruned says little"


def below_controls(results: dict[str, Any], metrics: dict[str, float]) -> float:
    """How far a trial is beyond what it may lose against the controls of its own tasks."""
    alone = {control["metric"]: control["value"] for control in results["controls"].values()}
    return max(value - 0.05 - metrics[metric] for metric, value in alone.items() if metric in metrics)


def test_the_first_search_trains_a_control_of_each_task_and_the_second_none(found: dict[str, Any]) -> None:
    first, second = found["first"], found["second"]
    assert {task: control["cached"] for task, control in first["results"]["controls"].items()} == {"sst": False, "sts": False}
    assert {task: control["cached"] for task, control in second["results"]["controls"].items()} == {"sst": True, "sts": True}
    assert first["cached"] == second["cached"]
    assert len(first["cached"]) == 2
    assert "training the single-task controls first: sst, sts" in first["err"]
    assert "control sst  COMPLETE  score" in first["err"]
    assert "control" not in second["err"]
    for task in ("sst", "sts"):
        assert first["results"]["controls"][task]["value"] == second["results"]["controls"][task]["value"]
        assert first["results"]["controls"][task]["config"]["mixture"] == [task]


@pytest.mark.parametrize("name", N_TRIALS)
def test_trials_are_compared_with_the_controls_of_their_own_tasks(found: dict[str, Any], name: str) -> None:
    results = found[name]["results"]
    assert len(results["trials"]) == N_TRIALS[name], "controls are no trials"
    for trial in results["trials"]:
        most = below_controls(results, trial["metrics"])
        assert trial["requirements"][TRANSFER] == {"met": most <= 0, "missed_by": pytest.approx(max(most, 0.0))}
    assert found[name]["status"] == (CHAMPION if results["champion"]["feasible"] else SHORT)
    assert results["consistency"] == []
    assert not (found["folder"] / name / "controls").exists(), "what they were trained in is gone"


@pytest.mark.parametrize("name", N_TRIALS)
def test_mlflow_has_a_nested_run_of_each_control_and_of_each_trial(found: dict[str, Any], name: str) -> None:
    mlflow = found[name]["results"]["mlflow"]
    parent, *children = read_runs(mlflow["tracking_uri"], mlflow["run_id"])
    assert parent.number is None
    assert sorted(run.number for run in children if run.number is not None) == list(range(N_TRIALS[name]))
    controls = [run for run in children if run.training is not None]
    values = sorted(control["value"] for control in found[name]["results"]["controls"].values())
    assert [run.state for run in controls] == ["COMPLETE"] * 2
    assert sorted(run.score for run in controls if run.score is not None) == pytest.approx(values)


def test_mlflow_marks_what_is_missed(found: dict[str, Any]) -> None:
    with sqlite3.connect(found["folder"] / "first" / "mlflow.db") as store:
        values = store.execute("select distinct value from tags where key = 'requirements'").fetchall()
    assert values == [("missed",)]
