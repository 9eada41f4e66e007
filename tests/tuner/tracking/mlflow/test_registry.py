"""Champions in a real MLflow registry: which one has the alias, and that the registered model answers over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from model import predict
from model.config import ConfigError
from model.encoder.network import build
from model.saved_model import folder as saved_model
from tests.support import mlflow_store, tiny
from tests.support.records import METRIC, bare
from tests.support.records import registered as record
from tuner.commands.register import NOT_TAKEN, REGISTERED, main
from tuner.commands.run_command import WRONG_USAGE
from tuner.config import options
from tuner.results import results_json as results
from tuner.results.results_json import model_name, registration_text
from tuner.tracking.mlflow import registry
from tuner.tracking.mlflow.registry import ALIAS, Previous, examples, register, verdict


@pytest.mark.parametrize(
    ("found", "previous", "takes", "said"),
    [
        (record(0.7), None, True, "the first on these data"),
        (record(0.7), Previous(2, METRIC, 0.6), True, "beats the 0.6000 of version 2"),
        (record(0.6), Previous(2, METRIC, 0.6), False, "version 2 stays champion with 0.6000; this one has 0.6000"),
        (record(0.7), Previous(2, "sst/accuracy", 0.6), False, "its score is sst/accuracy"),
        (record(0.9, feasible=False), None, False, "does not meet the requirements"),
    ],
)
def test_which_version_gets_the_alias(found: dict[str, Any], previous: Previous | None, takes: bool, said: str) -> None:
    has_it, why = verdict(found, previous)
    assert has_it is takes
    assert said in why


def test_models_are_named_by_space_and_data() -> None:
    assert model_name(record(0.5)) == "smart_mtl-ab12cd34"


def test_an_example_has_a_row_for_each_task() -> None:
    assert examples(["sts", "sst"]) == [
        {"task": "sts", "text": "first text", "text2": "second text"},
        {"task": "sst", "text": "a text"},
    ]


@pytest.fixture(scope="module")
def store(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a run that has a champion, and the MLflow store that knows its search."""
    folder = tmp_path_factory.mktemp("registry") / "night"
    config = tiny.config(tiny_backbone)
    network = build(config).eval()
    with torch.no_grad():
        for parameter in network.heads.parameters():
            parameter.normal_(std=2.0, generator=torch.Generator().manual_seed(3))
    saved_model.write(folder / "champion", network, config, {}, tiny.data().summary)
    options.save(options.Options(), folder)
    mlflow_store.put_into(folder)
    tracking_uri = f"sqlite:///{folder}/mlflow.db"
    rows = {task: {"train": 64, "select": 24, "dev": 24} for task in config.mixture}
    found = bare(
        data={"source": "demo", "generated": True, "sha256": "ab12cd34ef", "rows": rows},
        mlflow={"run_id": new_run(tracking_uri, folder)},
        champion=record(0.5)["champion"] | {"config": config.to_dict()},
    )
    results.write(folder / results.FILE_NAME, found)
    return folder, tracking_uri


def client_of(tracking_uri: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def new_run(tracking_uri: str, folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = client_of(tracking_uri)
        known = client.get_experiment_by_name("smart_mtl")
        experiment = known.experiment_id if known else client.create_experiment("smart_mtl", str(folder / "mlartifacts"))
        run_id = str(client.create_run(experiment).info.run_id)
        client.set_terminated(run_id, status="KILLED")
        return run_id


@pytest.mark.slow
def test_a_better_search_takes_the_alias_and_a_worse_one_does_not(store: tuple[Path, str]) -> None:
    folder, tracking_uri = store
    found = results.read(folder / results.FILE_NAME)
    first = register(folder, found, tracking_uri)
    assert (first.version, first.is_champion) == (1, True)
    again = register(folder, found, tracking_uri)
    assert (again.version, again.said) == (1, "it was registered before")
    outcomes = []
    for score in (0.4, 0.6):
        run_id = new_run(tracking_uri, folder)
        other = found | {"mlflow": {"run_id": run_id}, "champion": found["champion"] | {"score": score}}
        done = register(folder, other, tracking_uri)
        outcomes.append((done.version, done.is_champion))
    assert outcomes == [(2, False), (3, True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = client_of(tracking_uri)
        assert int(client.get_model_version_by_alias(first.model, ALIAS).version) == 3
        assert client.get_run(run_id).info.status == "KILLED", "a run keeps the status that it had"
    files = {path.name for path in (folder / "mlartifacts").rglob("*") if path.is_file()}
    assert "requirements.txt" in files and "input_example.json" in files
    assert not [name for name in files if name.endswith((".pkl", ".bin", ".pt"))], "no pickle is written"


@pytest.mark.slow
def test_a_logged_model_that_predicts_otherwise_is_deleted_and_not_registered(
    store: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, tracking_uri = store
    served = registry.SERVED.read_text(encoding="utf-8")
    (tmp_path / "served_model.py").write_text(served.replace("zip(rows.index, self", "zip(rows.index[::-1], self"))
    monkeypatch.setattr(registry, "SERVED", tmp_path / "served_model.py")
    client, run_id = client_of(tracking_uri), new_run(tracking_uri, folder)
    found = results.read(folder / results.FILE_NAME)
    with pytest.raises(ConfigError, match="the model in MLflow scores sst differently from the champion"):
        register(folder, found | {"mlflow": {"run_id": run_id}}, tracking_uri)
    assert list(client.search_model_versions(f"run_id = '{run_id}'")) == []
    experiment = client.get_run(run_id).info.experiment_id
    assert [logged for logged in client.search_logged_models([experiment]) if logged.source_run_id == run_id] == []


@pytest.mark.slow
def test_the_command_registers_later_and_notes_it(store: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a copy of the run, whose artifacts then are the copy's own."""
    folder, tracking_uri = store
    found = results.read(folder / results.FILE_NAME)
    found["mlflow"]["run_id"] = new_run(tracking_uri, folder)
    copy = Path(shutil.copytree(folder, folder.with_name("copy")))
    results.write(copy / results.FILE_NAME, found | {"folder": str(folder)})
    before = sorted(folder.rglob("*"))
    assert main([str(copy)]) == REGISTERED
    noted = results.read(copy / results.FILE_NAME)["champion"]["registered"]
    assert capsys.readouterr().out == f"{registration_text(noted)}\n"
    assert noted["model"] == "smart_mtl-ab12cd34"
    assert sorted(folder.rglob("*")) == before, "nothing was written to the original"
    assert list((copy / "mlartifacts" / "models").rglob("MLmodel"))


def test_failed_registrations_are_reported(
    store: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    folder = Path(shutil.copytree(store[0], tmp_path / "copy"))
    found = results.read(folder / results.FILE_NAME)
    options.save(options.Options(tracking_uri="http://127.0.0.1:9"), folder)
    assert main([str(folder)]) == NOT_TAKEN
    assert capsys.readouterr().err.startswith("the champion could not be registered in MLflow: ")
    results.write(folder / results.FILE_NAME, found | {"champion": None})
    assert main([str(folder)]) == WRONG_USAGE
    assert capsys.readouterr().err == "copy has no champion; resume the search with --resume copy\n"


@pytest.mark.slow
def test_the_registered_champion_answers_for_all_tasks_over_http(store: tuple[Path, str]) -> None:
    folder, tracking_uri = store
    register(folder, results.read(folder / results.FILE_NAME), tracking_uri)
    rows = [
        {"task": "sts", "text": "a man plays a guitar", "text2": "a man plays music"},
        {"task": "sst", "text": "a fine film"},
        {"task": "quora", "text": "why is the sky blue?", "text2": "what makes the sky blue?"},
        {"task": "sst", "text": "a dull mess"},
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = ["models", "serve", "-m", f"models:/smart_mtl-ab12cd34@{ALIAS}", "--env-manager", "local"]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "mlflow", *serve, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        # MLflow starts its server by name, so it must be found.
        env={**os.environ, "MLFLOW_TRACKING_URI": tracking_uri, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        answers = ask(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": rows}, process)["predictions"]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(timeout=30)
    model = saved_model.read(folder / "champion")
    for row, answer in zip(rows, answers, strict=True):
        texts = tuple(row[name] for name in ("text", "text2") if name in row)
        (mine,) = predict.predict(model, row["task"], [texts])
        assert answer["label"] == mine.label
        assert answer["score"] == pytest.approx(mine.score, abs=1e-5)


def ask(address: str, request: dict[str, Any], process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The server's answer, once it is there."""
    body = urllib.request.Request(address, json.dumps(request).encode(), {"Content-Type": "application/json"})
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(body, timeout=30) as answer:
                return dict(json.load(answer))
        except ConnectionError:
            time.sleep(0.5)
        except urllib.error.URLError as error:
            assert isinstance(error.reason, ConnectionError), error
            time.sleep(0.5)
    raise TimeoutError("the model was not served")
