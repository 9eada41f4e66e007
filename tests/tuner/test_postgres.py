"""PostgreSQL as the database of Optuna and of MLflow, restarted while it is used. A real server, where one is installed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.searches import finish, results_of, wait_for
from tests.support.stored_study import opened, play
from tuner.study import read_records
from tuner.study.storage import PatientDatabase
from tuner.tracking import read_runs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared_server() -> Iterator[postgres.Server]:
    programs = postgres.programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed here (Debian's package postgresql)")
    server = postgres.Server(programs)
    yield server
    server.remove()


@pytest.fixture
def server(shared_server: postgres.Server) -> Iterator[postgres.Server]:
    shared_server.start()
    yield shared_server
    shared_server.stop()


def test_a_restarted_database_is_waited_for(
    server: postgres.Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = server.create("restarted")
    study = opened(tmp_path, storage)
    play(study, 0.5)
    server.stop()
    again = threading.Timer(3.0, server.start)
    again.start()
    began = time.monotonic()
    assert play(study, 0.6) == 1
    assert time.monotonic() - began > 2.5
    again.join()
    database = study._study._storage
    assert isinstance(database, PatientDatabase)
    database.close()
    records = read_records(storage, "study")
    assert [(record.state, record.score) for record in records] == [("COMPLETE", 0.5), ("COMPLETE", 0.6)]
    away, back = capsys.readouterr().err.splitlines()
    assert f"127.0.0.1:{server.port}/restarted is away; the search waits for it" in away
    assert back.endswith("is back")
    assert "open-sesame" not in away + back


@pytest.mark.cluster
def test_a_search_outlives_a_restart_of_the_database_of_both(
    server: postgres.Server, tmp_path: Path, tiny_backbone: Path
) -> None:
    """Optuna and MLflow lose the same server in the middle; in the end everything agrees, and no password is told."""
    search = [sys.executable, "-m", "tuner.search", "--no-preflight", "--no-dashboard", "--profile", "laptop"]
    search += ["--backbone", str(tiny_backbone)]
    search += ["--set", "budget.examples=960", "--set", "budget.evaluations=5", "--set", "max_length=32"]
    search += ["--trials", "3", "--finalists", "0", "--pruner", "none", "--runs-dir", str(tmp_path), "--name", "away", "--json"]
    search += ["--storage", server.create("optuna"), "--tracking-uri", server.create("mlflow")]
    process = subprocess.Popen(search, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for(process, "evaluated")
        server.stop()
        time.sleep(8)
        server.start()
        out, err = finish(process)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "is away; the search waits for it" in err
    assert "Traceback" not in err
    found = results_of(tmp_path / "away")
    assert [trial["state"] for trial in found["trials"]] == ["COMPLETE"] * 3
    assert found["consistency"] == []
    assert found["champion"]["registered"]["is_champion"]
    page = (tmp_path / "away" / "report.html").read_text(encoding="utf-8")
    assert "/runs/" in page, "the trials' links to MLflow"
    told = out + err + page + (tmp_path / "away" / "results.json").read_text(encoding="utf-8")
    assert "open-sesame" not in told


def test_a_store_that_does_not_let_in_says_so_at_once(server: postgres.Server) -> None:
    uri = server.create("locked").replace("open-sesame", "wrong")
    with pytest.raises(ConnectionError, match="password authentication failed"):
        read_runs(uri, "any")
