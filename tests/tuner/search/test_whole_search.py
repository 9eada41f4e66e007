"""A whole search from the command line: real Ray, real DeepSpeed ranks, a real study on disk, a real MLflow store.

The trials are tiny, nothing else is. One search serves many tests.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from model import train
from model.config import parse
from model.saved_model import folder as saved_model
from tests.support.searches import results_of, run_command, search_here, write_space
from tuner.commands.reproduce import command as reproduce
from tuner.config import run_folder
from tuner.report.charts.timeline import schedule
from tuner.search import tokenise
from tuner.tracking import timeline

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """A search of seven trials that is over, two ranks to a trial."""
    folder = tmp_path_factory.mktemp("search")
    space = write_space(folder, tiny_backbone)
    arguments = ["--space", str(space), "--name", "one", "--runs-dir", str(folder), "--seed", "1", "--workers-per-trial", "2"]
    arguments += ["--max-trials", "7"]
    done = search_here(*arguments, "--set", "engine.zero_stage=2", "--json")
    assert done.status == 0, done.err
    return {"folder": folder / "one", "results": results_of(folder / "one"), "done": done}


def study_of(run: dict[str, Any]) -> optuna.Study:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = JournalStorage(JournalFileBackend(str(run["folder"] / "study.journal")))
        return optuna.load_study(storage=storage, study_name="one")


def test_prunes_and_fails_and_completes(run: dict[str, Any]) -> None:
    states = {trial["number"]: trial["state"] for trial in run["results"]["trials"]}
    assert sorted(states) == list(range(7))
    assert states[0] == states[1] == "COMPLETE"
    assert states[2] == "FAIL", "a learning rate of 1e30 diverges"
    assert "PRUNED" in states.values()
    reason = run["results"]["trials"][2]["reason"]
    assert "nan" in reason


def test_optuna_agrees(run: dict[str, Any]) -> None:
    frozen = study_of(run).get_trials()
    assert all(trial.state is not TrialState.RUNNING for trial in frozen)
    for entry in run["results"]["trials"]:
        trial = frozen[entry["number"]]
        assert trial.state.name == entry["state"]
        if entry["state"] == "COMPLETE":
            assert trial.value == entry["score"]
        reported = {index + 1: evaluation["score"] for index, evaluation in enumerate(entry["evaluations"])}
        assert trial.intermediate_values == reported


def test_the_tokens_are_kept_beside_the_run(run: dict[str, Any]) -> None:
    (kept,) = (run["folder"].parent / tokenise.FOLDER).iterdir()
    assert kept.suffix == ".npz"
    assert not (run["folder"] / tokenise.OWN).exists()


def test_all_stores_agree(run: dict[str, Any]) -> None:
    assert run["results"]["consistency"] == []
    assert "not compared" not in run["done"].err


def test_mlflow_agrees(run: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        mlflow = run["results"]["mlflow"]
        client = MlflowClient(tracking_uri=mlflow["tracking_uri"])
        parent = client.get_run(mlflow["run_id"])
        runs = client.search_runs([mlflow["experiment_id"]], f"tags.`mlflow.parentRunId` = '{mlflow['run_id']}'")
        histories = {found.info.run_id: client.get_metric_history(found.info.run_id, "score") for found in runs}
        artifacts = {path.path for path in client.list_artifacts(runs[0].info.run_id)}
    assert parent.info.status == "FINISHED"
    status = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
    assert len(runs) == len(run["results"]["trials"])
    assert {"config.yaml", "deepspeed.json"} <= artifacts
    for found in runs:
        number = int(found.info.run_name.rpartition(" ")[2].lstrip("0") or 0)
        entry = run["results"]["trials"][number]
        assert found.info.status == status[entry["state"]]
        assert found.data.tags["state"] == entry["state"]
        scores = [(metric.step, metric.value) for metric in histories[found.info.run_id]]
        assert sorted(scores) == [(evaluation["step"], evaluation["score"]) for evaluation in entry["evaluations"]]
        assert found.data.params["optim.lr"] == str(entry["config"]["optim"]["lr"])


def test_the_report_and_its_timeline_tell_of_every_trial(run: dict[str, Any]) -> None:
    text = (run["folder"] / "report.html").read_text(encoding="utf-8")
    assert "UNFINISHED" not in text
    assert text.count("/runs/") >= 7, "a link to each trial's MLflow run"
    found = schedule(timeline.read(run["folder"]))
    assert found is not None
    told = {segment.trial: segment for segment in found.segments}
    for trial in run["results"]["trials"]:
        segment = told[trial["number"]]
        assert segment.ended_as == trial["state"]
        evaluations = [span for span in segment.spans if span.kind == "evaluation"]
        assert len(evaluations) == len(trial["evaluations"])
        if trial["evaluations"]:
            assert segment.node != "node unknown"
            assert 0 < sum(span.seconds for span in evaluations) < trial["seconds"]
    assert found.gang["n_workers"] == 2
    assert 0 < found.held_s <= found.slot_s


def test_best_complete_trial_is_champion(run: dict[str, Any]) -> None:
    results = run["results"]
    complete = [trial for trial in results["trials"] if trial["state"] == "COMPLETE"]
    best = max(complete, key=lambda trial: trial["score"])
    champion = results["champion"]
    assert champion["number"] == best["number"]
    assert champion["metrics"] == best["metrics"]
    model = saved_model.read(Path(champion["path"]))
    assert model.config == parse(champion["config"])
    assert set(champion["dev"]) == set(champion["metrics"])


def test_champion_reproduces_its_metrics(run: dict[str, Any]) -> None:
    champion = run["results"]["champion"]
    done = run_command(train.main, "--evaluate-only", "--model", champion["path"], "--data", "demo")
    assert done.status == 0, done.err
    found = done.events[-1]["metrics"]
    assert found == pytest.approx(champion["metrics"], abs=1e-6)


def test_champion_trains_again_to_the_last_bit(run: dict[str, Any]) -> None:
    """From its record alone, with the same two ranks, and the run stays as it was."""
    before = sorted(path.name for path in run["folder"].iterdir())
    done = run_command(reproduce.main, str(run["folder"]))
    assert done.status == reproduce.MATCHES, done.err
    lines = done.out.splitlines()
    assert lines[0].endswith("2 × (1 CPU) on one node")
    assert lines[-1] == "equal: all 5 evaluations are the same to the last bit"
    assert sorted(path.name for path in run["folder"].iterdir()) == before


def test_keeps_only_the_best_model(run: dict[str, Any]) -> None:
    kept = [path.name for path in (run["folder"] / "models").iterdir()]
    assert kept == [str(run["results"]["champion"]["number"])]
    assert not (run["folder"] / "tune").exists(), "Tune's own record is not needed any more"


def test_events_are_json_lines(run: dict[str, Any]) -> None:
    kinds = [event["event"] for event in run["done"].events]
    assert kinds[0] == "search_started"
    assert kinds[-1] == "search_finished"
    assert kinds.count("trial_finished") == 7


def test_stderr_is_quiet(run: dict[str, Any]) -> None:
    assert "Traceback" not in run["done"].err
    assert "WARNING" not in run["done"].err


def test_all_trials_failing_is_said(tmp_path: Path, tiny_backbone: Path) -> None:
    space = write_space(tmp_path, tiny_backbone, REPEATING)
    diverging = ["--set", "optim.lr=1.0e+30", "--set", "smart.enabled=false"]
    done = search_here("--space", str(space), "--name", "bad", "--runs-dir", str(tmp_path), "--trials", "1", *diverging)
    assert done.status == 1, done.err
    assert "no champion" in done.out
    assert "commonest failure" in done.out
    assert "nan" in done.out


REPEATING = """
name: repeating
metric: sst/accuracy
options: {{trials: 9, finalists: 0, pruner: none, sampler: random, cpus_per_worker: 1, gpus_per_worker: 0}}
fixed: {{backbone: {backbone}, max_length: 32, mixture: [sst], budget.examples: 48, budget.evaluations: 2, smart.mu: 0.0}}
search:
  smart.enabled: {{choice: [true, false]}}
  smart.epsilon: {{choice: [1.0e-5, 1.0e-4]}}
"""
"""Three configurations in four assignments."""


def test_an_exhausted_space_ends_the_search_and_its_repeats_are_told_alike(tmp_path: Path, tiny_backbone: Path) -> None:
    space = write_space(tmp_path, tiny_backbone, REPEATING)
    done = search_here("--space", str(space), "--name", "one", "--runs-dir", str(tmp_path), "--json")
    assert done.status == 0, done.err
    assert "the search ends after 3 trials, with less than the compute of 9 full ones used: " in done.err
    run = {"folder": tmp_path / "one", "results": results_of(tmp_path / "one")}
    trials = run["results"]["trials"]
    trained = [trial for trial in trials if trial["same_as"] is None]
    assert [trial["state"] for trial in trained] == ["COMPLETE"] * 3
    assert len({json.dumps(trial["config"]) for trial in trained}) == 3
    told = [trial for trial in trials if trial["same_as"] is not None and trial["state"] == "COMPLETE"]
    assert told
    for trial in told:
        source = trials[trial["same_as"]]
        assert {name: trial[name] for name in ("score", "metrics", "evaluations", "config")} == {
            name: source[name] for name in ("score", "metrics", "evaluations", "config")
        }
    events = [event["event"] for event in done.events]
    assert events.count("trial_started") == 3
    assert events.count("trial_finished") == len(trials)
    test_optuna_agrees(run)
    test_mlflow_agrees(run)


def test_a_budget_counts_what_earlier_sessions_used(run: dict[str, Any]) -> None:
    """The last test: it goes on with the run."""
    folder = run["folder"]
    run_folder.update_state(folder, wall_s=3600.0)
    done = search_here("--resume", "one", "--runs-dir", str(folder.parent), "--trials", "9", "--time-budget", "1h")
    assert done.status == 0, done.err
    results = results_of(folder)
    assert "time budget of 1 h" in results["stopped_by"]
    assert results["trials"] == run["results"]["trials"]
