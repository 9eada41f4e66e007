"""The MLflow server and the databases as the compose file starts them, on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator

import pytest

from tests.support.launch_files import ROOT, compose
from tests.support.postgres import PASSWORD, Server, server
from tests.support.waiting import wait_until

__all__ = ["server"]  # fixtures

pytestmark = pytest.mark.slow


def filled(text: str, variables: dict[str, str]) -> str:
    """`${NAME:-DEFAULT}` as Compose fills it in."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)


@pytest.fixture(scope="module")
def mlflow(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the server with the command of the compose file; what differs is where things lie on this machine."""
    folder = tmp_path_factory.mktemp("mlflow")
    database = server.create("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [filled(part, {"MLFLOW_WORKERS": "1"}) for part in compose()["services"]["mlflow"]["command"]]
    here = {
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=5000": f"--port={port}",
        "--backend-store-uri=postgresql://smart@postgres:5432/mlflow": (
            f"--backend-store-uri={database.replace(f':{PASSWORD}', '')}"
        ),
        "--artifacts-destination=/artifacts": f"--artifacts-destination={folder / 'artifacts'}",
    }
    assert set(here) <= set(command)
    started = [sys.executable, "-m", *(here.get(part, part) for part in command)]
    log = (folder / "log").open("wb")
    environment = {**os.environ, "PGPASSWORD": PASSWORD, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(started, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: answer(f"http://127.0.0.1:{port}/health") == 200 or process.poll() is not None, timeout_s=120)
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        yield f"http://127.0.0.1:{port}"
        assert PASSWORD not in (folder / "log").read_text(encoding="utf-8")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
        log.close()


def answer(url: str, host: str | None = None) -> int:
    """Status of a GET; 0 where nobody answers."""
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def test_metrics_and_artifacts_go_through_the_server(mlflow: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(mlflow)
        run = client.create_run(client.create_experiment("stores")).info.run_id
        client.log_metric(run, "score", 0.5)
        client.log_text(run, "hello", "note.txt")
        found = client.get_run(run)
        artifacts = [file.path for file in client.list_artifacts(run)]
    assert (found.data.metrics, artifacts) == ({"score": 0.5}, ["note.txt"])
    assert found.info.artifact_uri.startswith("mlflow-artifacts:/")


def test_the_server_answers_to_its_own_names_alone(mlflow: str) -> None:
    page = f"{mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert answer(page) == 200
    assert answer(page, host="localhost:5000") == 200
    assert answer(page, host="evil.example") == 403


@pytest.mark.usefixtures("mlflow")
def test_optuna_gets_a_database_of_its_own(server: Server) -> None:
    import psycopg

    script = (ROOT / "mlflow" / "databases.sql").read_text(encoding="utf-8")
    with psycopg.connect(server.url("mlflow"), autocommit=True) as connection:
        connection.execute(script.encode())
    with psycopg.connect(server.url("optuna")) as connection:
        assert connection.execute("select current_database()").fetchone() == ("optuna",)
