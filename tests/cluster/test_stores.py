"""The MLflow server and the databases as the compose file starts them, on a real PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.launch_files import ROOT, compose

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[postgres.Server]:
    programs = postgres.programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here (Debian's package postgresql)")
    server = postgres.Server(programs)
    try:
        server.start()
        server.create("mlflow")
        yield server
    finally:
        server.remove()


def filled(text: str, variables: dict[str, str]) -> str:
    """`${NAME:-DEFAULT}` as Compose fills it in."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)


@pytest.fixture(scope="module")
def mlflow(database: postgres.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the server with the command of the compose file; what differs is where things lie on this machine."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [filled(part, {"MLFLOW_WORKERS": "1"}) for part in compose()["services"]["mlflow"]["command"]]
    here = {
        "--host=0.0.0.0": "--host=127.0.0.1",
        "--port=5000": f"--port={port}",
        "--backend-store-uri=postgresql://smart@postgres:5432/mlflow": (
            f"--backend-store-uri=postgresql://ann@127.0.0.1:{database.port}/mlflow"
        ),
        "--artifacts-destination=/artifacts": f"--artifacts-destination={folder / 'artifacts'}",
    }
    assert set(here) <= set(command)
    started = [sys.executable, "-m", *(here.get(part, part) for part in command)]
    log = (folder / "log").open("wb")
    environment = {**os.environ, "PGPASSWORD": "open-sesame", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(started, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + 120
        while answer(f"http://127.0.0.1:{port}/health") != 200:
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text(encoding="utf-8")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
        assert "open-sesame" not in (folder / "log").read_text(encoding="utf-8")
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


def test_metrics_and_artifacts_go_through_the_server(mlflow: str, tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from mlflow import MlflowClient\n"
        "client = MlflowClient(sys.argv[1])\n"
        "experiment = client.create_experiment('stores')\n"
        "run = client.create_run(experiment).info.run_id\n"
        "client.log_metric(run, 'score', 0.5)\n"
        "client.log_text(run, 'hello', 'note.txt')\n"
        "found = client.get_run(run)\n"
        "print(json.dumps([found.data.metrics, [file.path for file in client.list_artifacts(run)], found.info.artifact_uri]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, mlflow], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=True
    )
    metrics, artifacts, uri = json.loads(done.stdout.splitlines()[-1])
    assert (metrics, artifacts) == ({"score": 0.5}, ["note.txt"])
    assert uri.startswith("mlflow-artifacts:/")


def test_the_server_answers_to_its_own_names_alone(mlflow: str) -> None:
    page = f"{mlflow}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert answer(page) == 200
    assert answer(page, host="localhost:5000") == 200
    assert answer(page, host="evil.example") == 403


def test_optuna_gets_a_database_of_its_own(database: postgres.Server) -> None:
    import psycopg

    script = (ROOT / "mlflow" / "databases.sql").read_text(encoding="utf-8")
    with psycopg.connect(database.url("mlflow"), autocommit=True) as connection:
        connection.execute(script.encode())
    with psycopg.connect(database.url("optuna")) as connection:
        assert connection.execute("select current_database()").fetchone() == ("optuna",)
