"""PostgreSQL as the database of Optuna and of MLflow, restarted while it is used. A real server, where one is installed."""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import PASSWORD, Server, server
from tests.support.searches import SearchHere, results_of, run_command
from tests.support.stored_study import opened, play
from tests.support.waiting import back_once_missed
from tuner.commands import status
from tuner.study import read_records
from tuner.study.storage import PatientDatabase
from tuner.tracking.mlflow import read_runs

__all__ = ["server"]  # fixtures

pytestmark = pytest.mark.slow


def test_a_restarted_database_is_waited_for(server: Server, tmp_path: Path) -> None:
    storage = server.create("restarted")
    study = opened(tmp_path, storage)
    play(study, 0.5)
    server.stop()
    with back_once_missed(server.start) as told:
        assert play(study, 0.6) == 1
    database = study._study._storage
    assert isinstance(database, PatientDatabase)
    database.close()
    records = read_records(storage, "study")
    assert [(record.state, record.score) for record in records] == [("COMPLETE", 0.5), ("COMPLETE", 0.6)]
    away, back = told
    assert f"127.0.0.1:{server.port}/restarted (" in away
    assert back.endswith("can be used again\n")
    assert PASSWORD not in away + back


def test_a_store_that_does_not_let_in_says_so_at_once(server: Server) -> None:
    uri = server.create("locked").replace(PASSWORD, "wrong")
    with pytest.raises(ConnectionError, match="password authentication failed"):
        read_runs(uri, "any")


@pytest.fixture(scope="module")
def outlived(server: Server, tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Iterator[dict[str, Any]]:
    """A search of which Optuna and MLflow lose the same server in the middle.

    Both databases ask for a password: one is given in clear, one by its variable.
    """
    folder = tmp_path_factory.mktemp("postgres")
    clear = server.create("optuna_of_search")
    server.create("mlflow_of_search")
    tracking = f"postgresql://ann:$MLFLOW_SECRET@127.0.0.1:{server.port}/mlflow_of_search"
    stores = ["--storage", clear, "--tracking-uri", tracking]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SECRET", PASSWORD)
        search = SearchHere(folder, tiny_backbone, *stores, "--trials", "2", quick=["--no-preflight"])
        search.wait_for('"evaluated"')
        server.stop()
        search.wait_for("; retrying for up to")
        server.start()
        assert search.end() == 0, search.err
        yield {"folder": folder / "one", "search": search, "tracking": tracking}
    del search
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # connections that MLflow leaves open
        gc.collect()


@pytest.mark.cluster
def test_a_search_outlives_a_restart_of_the_database_of_both(outlived: dict[str, Any]) -> None:
    err = "".join(outlived["search"].err)
    assert "can be used again" in err
    assert "Traceback" not in err
    found = results_of(outlived["folder"])
    assert [trial["state"] for trial in found["trials"]] == ["COMPLETE"] * 2
    assert found["consistency"] == []
    assert found["champion"]["registered"]["is_champion"]
    page = (outlived["folder"] / "report.html").read_text(encoding="utf-8")
    assert "/runs/" in page, "the trials' links to MLflow"


@pytest.mark.cluster
def test_a_search_tells_no_secret_to_anything_it_writes(outlived: dict[str, Any], server: Server) -> None:
    err = "".join(outlived["search"].err)
    assert "the password in --storage is not kept" in err
    folder = outlived["folder"]
    written = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    assert folder / "results.json" in written
    assert [str(path) for path, content in written.items() if PASSWORD.encode() in content] == []
    told = {
        "output": "".join(outlived["search"].out) + err,
        "optuna": server.dump("optuna_of_search"),
        "mlflow": server.dump("mlflow_of_search"),
    }
    assert [name for name, text in told.items() if PASSWORD in text] == []
    assert "trial_params" in told["optuna"]
    assert json.loads(written[folder / "search.json"])["tracking_uri"] == outlived["tracking"]


@pytest.mark.cluster
def test_another_command_finds_the_password_by_itself(outlived: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGPASSWORD", raising=False)
    lacking = run_command(status.main, str(outlived["folder"]))
    assert lacking.status == 2
    assert "$PGPASSWORD" in lacking.err
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    found = run_command(status.main, str(outlived["folder"]))
    assert found.status == 0, found.err
    assert "2 COMPLETE" in found.out
