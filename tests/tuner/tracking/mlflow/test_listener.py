"""The runs of a search in a real MLflow store: SQLite, and a server that is unreachable for a while."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.engine.config import deepspeed_config
from tests.support import mlflow_store, samples
from tuner.config import command_lines as commands
from tuner.results.trial_record import TrialRecord
from tuner.search import controls
from tuner.tracking.mlflow import MlflowTracking, flatten, read_runs


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "night"
    folder.mkdir()
    mlflow_store.put_into(folder)
    return folder


class Reader:
    """Looks into a store with MLflow's own client."""

    def __init__(self, tracking: MlflowTracking) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow import MlflowClient

            self.client = MlflowClient(tracking_uri=tracking.tracking_uri)
        tracking.flush()
        self.flush = tracking.flush
        self.experiment_id = tracking.experiment_id
        self.run_id = tracking.run_id

    def parent(self) -> Any:
        self.flush()
        return self.client.get_run(self.run_id)

    def children(self) -> dict[str, Any]:
        self.flush()
        found = self.client.search_runs([self.experiment_id], f"tags.`mlflow.parentRunId` = '{self.run_id}'")
        assert len({run.info.run_name for run in found}) == len(found)
        return {run.info.run_name: run for run in found}

    def history(self, run: Any, metric: str) -> list[tuple[int, float]]:
        return sorted((point.step, point.value) for point in self.client.get_metric_history(run.info.run_id, metric))

    def text(self, run: Any, name: str, folder: Path) -> str:
        return Path(self.client.download_artifacts(run.info.run_id, name, str(folder))).read_text()


def play(tracking: MlflowTracking, record: TrialRecord, score: float = 0.5) -> None:
    """One trial from start to end, with two evaluations."""
    tracking.trial_started(record.number, samples.CONFIG)
    tracking.evaluated(record.number, samples.evaluation(1, score - 0.1), score - 0.1)
    tracking.evaluated(record.number, samples.evaluation(2, score), score)
    tracking.trial_finished(record)


def test_a_search_from_start_to_end(run_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    facts = samples.facts(run_dir)
    tracking = MlflowTracking(None, run_dir, "night")
    tracking.search_started(facts)
    records = [
        samples.record(0, score=0.6),
        samples.record(1, "PRUNED", 0.3, reason="below the median at evaluation 2"),
        samples.record(2, "FAIL", reason="the loss became NaN at step 12"),
        samples.record(3, score=0.7),
    ]
    for record in records:
        play(tracking, record, score=record.score or 0.4)
    tracking.search_finished(samples.results(facts, records, records[3]))

    assert capfd.readouterr() == ("", "")
    reader = Reader(tracking)
    children = reader.children()
    statuses = {name: run.info.status for name, run in children.items()}
    assert statuses == {"trial 0": "FINISHED", "trial 1": "KILLED", "trial 2": "FAILED", "trial 3": "FINISHED"}
    first = children["trial 0"]
    assert first.data.params == flatten(samples.CONFIG.to_dict())
    assert reader.history(first, "score") == [(10, 0.5), (20, 0.6)]
    assert reader.history(first, "sst/accuracy") == [(10, 0.5), (20, 0.6)]
    assert reader.history(first, "evaluation") == [(10, 1.0), (20, 2.0)]
    assert reader.history(first, "sst/loss") == [(10, 1.0), (20, 0.5)]
    assert reader.history(first, "system/cpu_utilization_percentage") == [(10, 98.0), (20, 98.0)]
    for run, tasks in ((reader.parent(), {"sst", "sts", "quora"}), (first, {"sst", "sts"})):
        data = {found.dataset.name: found.dataset for found in run.inputs.dataset_inputs}
        assert set(data) == tasks
        assert (data["sst"].digest, json.loads(data["sst"].profile)) == ("cd" * 18, {"train": 90, "select": 10, "dev": 20})
    tags = {"state": "PRUNED", "reason": "below the median at evaluation 2", "git_commit": "c0ffee", "data_sha256": "ab" * 32}
    tags |= {
        "space": "smart_mtl",
        "sampler": "tpe",
        "mixture": "sst,sts",
        "strategy": "loop_to_max",
        "smart": "on",
        "trial": "1",
    }
    assert (tags | {"trial": "1"}).items() <= children["trial 1"].data.tags.items()
    assert children["trial 2"].data.tags["reason"] == "the loss became NaN at step 12"
    assert "lambda: 1.0" in reader.text(first, "config.yaml", run_dir)
    assert json.loads(reader.text(first, "deepspeed.json", run_dir)) == deepspeed_config(samples.CONFIG, 1)

    parent = reader.parent()
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "night")
    assert parent.data.params["n_trials"] == "4"
    assert reader.history(parent, "best_score") == [(1, 0.6), (4, 0.7)]
    assert reader.history(parent, "best/sst/accuracy") == [(1, 0.6), (4, 0.7)]
    assert '"schema_version": 1' in reader.text(parent, "results.json", run_dir)
    assert first.info.artifact_uri.startswith((run_dir / "mlartifacts").as_uri())


def test_a_control_is_a_nested_run_and_no_trial(run_dir: Path) -> None:
    """Written once, in whichever session, whether this search trained it or found it in the cache."""
    evaluations = [samples.evaluation(index, score).to_dict() | {"score": score} for index, score in ((1, 0.3), (2, 0.4))]
    reached = {
        task: {
            "number": (1 << 40) + index, "value": 0.4, "config": samples.CONFIG.to_dict(), "seconds": 20.0,
            "evaluations": evaluations, "cached": index == 1, "trained_by": "night" if index == 0 else "earlier",
        }
        for index, task in enumerate(("sst", "sts"))
    }  # fmt: skip
    tracking = MlflowTracking(None, run_dir, "night")
    for _ in range(2):
        tracking.search_started(samples.facts(run_dir))
        controls.track(reached, tracking)
        tracking.flush()
        tracking = MlflowTracking(None, run_dir, "night", tracking.run_id)
    tracking.search_started(samples.facts(run_dir))
    play(tracking, samples.record(0, score=0.6))
    tracking.search_finished(samples.results(samples.facts(run_dir), [samples.record(0, score=0.6)], None))
    reader = Reader(tracking)
    children = reader.children()
    assert set(children) == {"control sst", "control sts", "trial 0"}
    sst, sts = children["control sst"], children["control sts"]
    assert (sst.info.status, sst.data.tags["state"]) == ("FINISHED", "COMPLETE")
    assert [(run.data.tags["control"], run.data.tags["cached"], run.data.tags["trained_by"]) for run in (sst, sts)] == [
        ("sst", "false", "night"), ("sts", "true", "earlier"),
    ]  # fmt: skip
    assert "trial" not in sst.data.tags, "a warm start would take it for a trial"
    assert [score for _, score in reader.history(sst, "score")] == [0.3, 0.4]
    assert reader.parent().data.metrics["best_score"] == 0.6, "a control is not the best trial"


def test_the_health_of_a_trial_is_logged_and_an_alarm_is_a_tag(run_dir: Path) -> None:
    tracking = MlflowTracking(None, run_dir, "night")
    tracking.search_started(samples.facts(run_dir))
    for number, evaluation in enumerate((samples.evaluation(1, 0.5), samples.unhealthy(1, 0.5))):
        tracking.trial_started(number, samples.CONFIG)
        tracking.evaluated(number, evaluation, 0.5)
    tracking.search_finished(samples.results(samples.facts(run_dir), [], None))
    reader = Reader(tracking)
    healthy, ill = (reader.children()[f"trial {number}"] for number in (0, 1))
    assert "smart-no-op" not in healthy.data.tags
    assert ill.data.tags["smart-no-op"] == "sst"
    assert reader.history(ill, "sst/saturated") == [(10, 0.25)]


@pytest.mark.parametrize(("finished", "status"), [(None, "KILLED"), ("2026-01-01T00:10:00+00:00", "FAILED")])
def test_a_search_without_champion(run_dir: Path, finished: str | None, status: str) -> None:
    facts = samples.facts(run_dir)
    tracking = MlflowTracking(None, run_dir, "night")
    tracking.search_started(facts)
    tracking.trial_started(0, samples.CONFIG)
    tracking.search_finished(samples.results(facts, [], None, finished=finished))
    reader = Reader(tracking)
    assert reader.parent().info.status == status
    child = reader.children()["trial 0"]
    assert (child.info.status, child.data.tags["reason"]) == ("KILLED", "interrupted")


def test_a_trial_that_failed_before_its_start_is_logged(run_dir: Path) -> None:
    tracking = MlflowTracking(None, run_dir, "night")
    tracking.search_started(samples.facts(run_dir))
    tracking.trial_finished(samples.record(0, "FAIL", reason="no node has two GPUs"))
    child = Reader(tracking).children()["trial 0"]
    assert (child.info.status, child.data.tags["reason"]) == ("FAILED", "no node has two GPUs")
    assert child.data.params == flatten(samples.CONFIG.to_dict())


def test_a_repeat_has_a_run_with_its_evaluations(run_dir: Path) -> None:
    tracking = MlflowTracking(None, run_dir, "night")
    tracking.search_started(samples.facts(run_dir))
    first = samples.record(0, score=0.6)
    repeat = samples.record(1, score=0.6, same_as=0, reason="the same configuration as trial 0")
    play(tracking, first, score=0.6)
    tracking.trial_finished(repeat)
    tracking.search_finished(samples.results(samples.facts(run_dir), [first, repeat], first))
    reader = Reader(tracking)
    told = reader.children()["trial 1"]
    assert told.info.status == "FINISHED"
    assert {
        "same_as": "0",
        "reason": "the same configuration as trial 0",
        "state": "COMPLETE",
    }.items() <= told.data.tags.items()
    assert told.data.params == reader.children()["trial 0"].data.params
    assert reader.history(told, "sst/accuracy") == [(10, 0.5), (20, 0.6)]
    assert reader.parent().data.metrics["best_trial"] == 0.0


def test_resume_after_kill_goes_on_with_the_same_runs(run_dir: Path) -> None:
    killed = MlflowTracking(None, run_dir, "night")
    killed.search_started(samples.facts(run_dir))
    done, told_late, continued = samples.record(0, score=0.6), samples.record(1, score=0.5), samples.record(3, score=0.3)
    play(killed, done)
    for number in (1, 2, 3, 4):
        killed.trial_started(number, samples.CONFIG)
    killed.flush()
    del killed  # kill -9: trials 1 to 4 and the search itself stay RUNNING in MLflow

    facts = samples.facts(run_dir, finished=(done, told_late), n_trials=9)
    resumed = MlflowTracking(None, run_dir, "night", run_id=_only_parent(run_dir))
    resumed.search_started(facts)
    reader = Reader(resumed)
    statuses = {name: run.info.status for name, run in reader.children().items()}
    ended, cut_off = (
        dict.fromkeys(("trial 0", "trial 1"), "FINISHED"),
        dict.fromkeys(("trial 2", "trial 3", "trial 4"), "KILLED"),
    )
    assert statuses == ended | cut_off
    assert reader.parent().info.status == "RUNNING"

    resumed.trial_finished(samples.record(2, "FAIL", reason="its node died"))
    play(resumed, continued, score=0.3)
    resumed.search_finished(samples.results(facts, [done], done))
    children = reader.children()
    assert set(children) == {f"trial {number}" for number in range(5)}
    assert (children["trial 2"].info.status, children["trial 2"].data.tags["reason"]) == ("FAILED", "its node died")
    assert (children["trial 3"].info.status, children["trial 3"].data.tags.get("reason")) == ("FINISHED", None)
    assert children["trial 3"].data.tags["state"] == "COMPLETE"
    assert (children["trial 4"].info.status, children["trial 4"].data.tags["reason"]) == ("KILLED", "interrupted")
    parent = reader.parent()
    assert parent.info.status == "FINISHED"
    assert reader.history(parent, "best_score") == [(1, 0.6)]  # trial 3 was no better than what the first session found


def test_resume_writes_what_a_kill_kept_from_mlflow(run_dir: Path) -> None:
    """Trial 0 lacks its last evaluation, 1 its run, 2 an evaluation before it goes on, the run's id was not noted, and the
    folder was renamed since."""
    started = "2026-01-01T00:00:00+00:00"
    killed = MlflowTracking(None, run_dir, "night")
    killed.search_started(samples.facts(run_dir, started=started))
    for number in (0, 2):
        killed.trial_started(number, samples.CONFIG)
        killed.evaluated(number, samples.evaluation(1, 0.5), 0.5)
    killed.flush()
    del killed

    done, lost = samples.record(0, score=0.6), samples.record(1, "PRUNED", 0.6, reason="below the median")
    unfinished = samples.record(2, "RUNNING", 0.6)
    resumed = MlflowTracking(None, run_dir, "night")
    renamed = samples.facts(run_dir, name="renamed", started=started, finished=(done, lost), unfinished=(unfinished,))
    resumed.search_started(renamed)
    reader = Reader(resumed)
    assert resumed.run_id == _only_parent(run_dir)
    children = reader.children()
    statuses = {name: run.info.status for name, run in children.items()}
    assert statuses == {"trial 0": "FINISHED", "trial 1": "KILLED", "trial 2": "KILLED"}
    assert [children[f"trial {number}"].data.tags["state"] for number in (0, 1)] == ["COMPLETE", "PRUNED"]
    for run in children.values():
        assert reader.history(run, "score") == [(10, 0.5), (20, 0.6)]
        assert reader.history(run, "evaluation") == [(10, 1.0), (20, 2.0)]
        assert run.data.params == flatten(samples.CONFIG.to_dict())
    resumed.trial_started(2, samples.CONFIG)
    going = reader.children()["trial 2"]
    assert (going.info.status, going.data.tags.get("reason")) == ("RUNNING", None)


def test_resume_with_a_store_that_lost_the_run_opens_a_new_one(run_dir: Path) -> None:
    told: list[str] = []
    tracking = MlflowTracking(None, run_dir, "night", run_id="f" * 32, warn=told.append)
    tracking.search_started(samples.facts(run_dir))
    assert Reader(tracking).parent().info.status == "RUNNING"
    assert told == []


def _only_parent(run_dir: Path) -> str:
    """The id that the killed driver had stored."""
    tracking = MlflowTracking(None, run_dir, "night")
    reader = Reader(tracking)
    experiment = reader.client.get_experiment_by_name("night")
    runs = reader.client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return str(parent.info.run_id)


def test_a_rejected_write_is_skipped_with_one_warning(run_dir: Path) -> None:
    told: list[str] = []
    tracking = MlflowTracking(None, run_dir, "night", warn=told.append)
    facts = samples.facts(run_dir)
    tracking.search_started(facts)
    tracking.trial_started(0, samples.CONFIG)
    tracking.trial_started(0, samples.CONFIG.model_copy(update={"seed": 4}))  # MLflow's parameters never change
    tracking.trial_started(0, samples.CONFIG.model_copy(update={"seed": 5}))
    tracking.trial_finished(samples.record(0, score=0.5))
    tracking.search_finished(samples.results(facts, [], None))
    assert len(told) == 1
    assert told[0].startswith("MLflow rejected a write, which is skipped (")
    child = Reader(tracking).children()["trial 0"]
    assert (child.info.status, child.data.params["seed"]) == ("FINISHED", "3")


@pytest.mark.slow
def test_limits_of_mlflow(run_dir: Path) -> None:
    """Long values are cut, and more than 100 parameters take several calls."""
    wide = samples.CONFIG.model_copy(update={"backbone": "b" * 7000})
    long = samples.record(0, "FAIL", reason="r" * 9000)
    tracking = MlflowTracking(None, run_dir, "n" * 600)
    tracking.search_started(samples.facts(run_dir))
    tracking.trial_started(0, wide)
    tracking.trial_finished(long)
    child = Reader(tracking).children()["trial 0"]
    assert child.data.params["backbone"] == "b" * 6000
    assert child.data.tags["reason"] == "r" * 8000
    many = flatten({"section": {f"p{i}": i for i in range(250)}})
    from tuner.tracking.mlflow.runs import log_params

    reader = Reader(tracking)
    log_params(reader.client, child.info.run_id, many)
    assert many.items() <= reader.client.get_run(child.info.run_id).data.params.items()


def test_flatten() -> None:
    nested = {"mixture": ["sst", "sts"], "mixing": {"ratios": {"sst": 0.25, "sts": 0.75}}, "optim": {"lr": 2e-5}, "on": True}
    flat = {"mixture": "sst,sts", "mixing.ratios.sst": "0.25", "mixing.ratios.sts": "0.75", "optim.lr": "2e-05", "on": "True"}
    assert flatten(nested) == flat


def test_the_command_for_mlflows_page(tmp_path: Path) -> None:
    """The page itself on a server, without the password; else the command that serves the run's database on loopback."""
    assert commands.mlflow_ui("http://ann:secret@host:5000/", None, None) == "http://ann:***@host:5000"
    assert commands.mlflow_ui("http://host:5000", "3", "f00") == "http://host:5000/#/experiments/3/runs/f00"
    command = commands.mlflow_ui(MlflowTracking(None, tmp_path, "night").tracking_uri, "1", "f00")
    assert command.endswith(f"-m mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db --host 127.0.0.1")


@pytest.mark.parametrize("name", ["a?b", "feature%2Fx", "a#b", "a b", "a%20b"])
def test_everything_lies_inside_the_runs_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    mlflow_store.put_into(folder)
    tracking = MlflowTracking(None, folder, "night")
    tracking.search_started(samples.facts(folder, data_source="caf\udce9"))
    tracking.trial_started(0, samples.CONFIG)
    reader = Reader(tracking)
    assert reader.parent().data.params["data_source"] == "caf\\udce9"
    assert "lambda: 1.0" in reader.text(reader.children()["trial 0"], "config.yaml", folder)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder)] == []
    command = shlex.split(commands.mlflow_ui(tracking.tracking_uri, None, None))
    assert command[command.index("--backend-store-uri") + 1] == tracking.tracking_uri
    assert [run.number for run in read_runs(tracking.tracking_uri, str(tracking.run_id))] == [None, 0]


def test_importing_the_module_does_not_import_mlflow() -> None:
    program = "import sys, tuner.tracking.mlflow; assert not {'mlflow', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of an MLflow server that is not there yet, and the call that starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path / "served")]
        arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *store]
        log = (tmp_path / "server.log").open("wb")
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        command = [sys.executable, "-m", "mlflow", *arguments]
        started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment, cwd=tmp_path))
        log.close()
        _wait_until_listening(port)

    yield f"http://127.0.0.1:{port}", start
    for process in started:
        os.killpg(process.pid, 15)
        process.wait(timeout=20)


def _wait_until_listening(port: int) -> None:
    for _ in range(240):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.25)
    raise TimeoutError("the MLflow server did not start")


def wait_for(told: list[str]) -> None:
    """Until something is told."""
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        time.sleep(0.05)
    assert told


@pytest.mark.slow
def test_an_unreachable_server_gets_everything_later(tmp_path: Path, server: tuple[str, Callable[[], None]]) -> None:
    address, start = server
    mlflow_store.put_into(tmp_path, "server.db")
    told: list[str] = []
    facts = samples.facts(tmp_path / "night")
    tracking = MlflowTracking(address, tmp_path / "night", "night", warn=told.append)
    began = time.monotonic()
    tracking.search_started(facts)
    play(tracking, samples.record(0, score=0.6), score=0.6)
    assert time.monotonic() - began < 10.0  # the search is not held up
    wait_for(told)
    assert tracking.run_id is None
    start()
    play(tracking, samples.record(1, "PRUNED", 0.3), score=0.3)
    tracking.search_finished(samples.results(facts, [samples.record(0, score=0.6)], samples.record(0, score=0.6)))

    assert len(told) == 1
    assert told[0].startswith("cannot reach MLflow (")
    reader = Reader(tracking)
    children = reader.children()
    assert {name: run.info.status for name, run in children.items()} == {"trial 0": "FINISHED", "trial 1": "KILLED"}
    assert reader.history(children["trial 0"], "score") == [(10, 0.5), (20, 0.6)]
    assert children["trial 0"].info.start_time < children["trial 1"].info.start_time
    assert "lambda: 1.0" in reader.text(children["trial 0"], "config.yaml", tmp_path)
    assert reader.parent().info.status == "FINISHED"


@pytest.mark.slow
def test_a_server_that_hangs_gets_everything_when_it_goes_on(
    tmp_path: Path, server: tuple[str, Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped, it takes connections and does not answer; what it got meanwhile it does later, and no run is made twice."""
    address, start = server
    mlflow_store.put_into(tmp_path, "server.db")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    start()
    told: list[str] = []
    tracking = MlflowTracking(address, tmp_path / "night", "night", warn=told.append)
    facts = samples.facts(tmp_path / "night")
    tracking.search_started(facts)
    play(tracking, samples.record(0, score=0.6), score=0.6)
    tracking.flush()
    group = _group_listening_on(address)
    os.killpg(group, signal.SIGSTOP)
    try:
        play(tracking, samples.record(1, "PRUNED", 0.3, reason="below the median"), score=0.3)
        wait_for(told)
    finally:
        os.killpg(group, signal.SIGCONT)
    tracking.trial_started(2, samples.CONFIG)
    tracking.trial_finished(samples.record(2, "FAIL", reason="out of luck"))
    tracking.search_finished(samples.results(facts, [samples.record(0, score=0.6)], samples.record(0, score=0.6)))
    assert len(told) == 1
    assert told[0].startswith("cannot reach MLflow (")
    reader = Reader(tracking)
    children = reader.children()
    statuses = {"trial 0": "FINISHED", "trial 1": "KILLED", "trial 2": "FAILED"}
    assert {name: run.info.status for name, run in children.items()} == statuses
    assert reader.history(children["trial 1"], "score") == [(10, pytest.approx(0.2)), (20, 0.3)]


def _group_listening_on(address: str) -> int:
    """Process group of the server, which the fixture starts as a session of its own."""
    port = address.rpartition(":")[2]
    listed = subprocess.run(["ps", "-ewwo", "pgid=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return next(int(line.split()[0]) for line in listed if "mlflow server" in line and f"--port {port}" in line)


@pytest.mark.endurance
@pytest.mark.slow
def test_a_locked_database_gets_everything_in_the_end(run_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    tracking = MlflowTracking(None, run_dir, "night", warn=told.append)
    facts = samples.facts(run_dir)
    tracking.search_started(facts)
    tracking.flush()
    locker = sqlite3.connect(run_dir / "mlflow.db", isolation_level=None, check_same_thread=False)
    locker.execute("begin exclusive")
    play(tracking, samples.record(0, score=0.6), score=0.6)
    wait_for(told)
    locker.rollback()
    locker.close()
    tracking.search_finished(samples.results(facts, [samples.record(0, score=0.6)], samples.record(0, score=0.6)))
    assert len(told) == 1
    assert "locked" in told[0]
    reader = Reader(tracking)
    child = reader.children()["trial 0"]
    assert (child.info.status, reader.history(child, "score")) == ("FINISHED", [(10, 0.5), (20, 0.6)])
    assert capfd.readouterr() == ("", ""), "MLflow's own words about it are not the user's business"


def test_a_note_is_a_tag(run_dir: Path) -> None:
    tracking = MlflowTracking(None, run_dir, "night")
    tracking.search_started(samples.facts(run_dir))
    tracking.trial_started(0, samples.CONFIG)
    tracking.trial_noted(0, "accumulation 4 after out of memory")
    assert Reader(tracking).children()["trial 0"].data.tags["note"] == "accumulation 4 after out of memory"


def test_a_paused_trial_is_scheduled_with_its_reason(run_dir: Path) -> None:
    """Trial 0 is promoted and completes, 1 never is, 2 is paused when the driver is killed, and still after it."""
    why = "paused by asha-promote at evaluation 1 of 2, score 0.5000"
    tracking = MlflowTracking(None, run_dir, "night")
    tracking.search_started(samples.facts(run_dir))
    first = samples.record(0, "PAUSED", reason=why)
    for number in (0, 1, 2):
        tracking.trial_started(number, samples.CONFIG)
        tracking.evaluated(number, samples.evaluation(1, 0.5), 0.5)
        tracking.trial_paused(replace(first, number=number))
    reader = Reader(tracking)
    for run in reader.children().values():
        assert (run.info.status, run.data.tags["state"], run.data.tags["reason"]) == ("SCHEDULED", "PAUSED", why)
    tracking.trial_started(0, samples.CONFIG)
    going = reader.children()["trial 0"]
    assert (going.info.status, going.data.tags.get("state"), going.data.tags.get("reason")) == ("RUNNING", None, None)
    tracking.evaluated(0, samples.evaluation(2, 0.6), 0.6)
    tracking.trial_finished(samples.record(0, score=0.6))
    tracking.trial_finished(samples.record(1, "PRUNED", 0.5, reason="not promoted from evaluation 1 of 2, score 0.5000"))
    tracking.flush()
    # kill -9
    facts = samples.facts(run_dir, finished=(samples.record(0, score=0.6),), unfinished=(replace(first, number=2),))
    resumed = MlflowTracking(None, run_dir, "night", run_id=tracking.run_id)
    resumed.search_started(facts)
    children = Reader(resumed).children()
    assert {name: run.info.status for name, run in children.items()} == {
        "trial 0": "FINISHED", "trial 1": "KILLED", "trial 2": "SCHEDULED",
    }  # fmt: skip
    assert children["trial 1"].data.tags["reason"] == "not promoted from evaluation 1 of 2, score 0.5000"
    assert reader.history(children["trial 0"], "score") == [(10, 0.5), (20, 0.6)]
    assert children["trial 2"].data.tags["state"] == "PAUSED"
