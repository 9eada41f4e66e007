"""results.json: its keys, its round trip, what it must not contain."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from model.config import ConfigError, parse
from tests.support import samples
from tests.support.records import bare
from tuner.artifacts.addresses import file_of, mask_credentials, resolve_tracking_uri
from tuner.config.options import Options, load, save
from tuner.results import results_json as results
from tuner.results.text import commonest_reason
from tuner.tracking import timeline
from tuner.tracking.mlflow import as_tag, flatten
from tuner.tracking.timeline import append_line

KEYS: dict[str, Any] = {
    "": "schema_version name folder space seed data metric requirements controls mode gang started finished stopped_by "
    "compute warm_start preflight trials unfinished champion front confirmation environment mlflow optuna consistency",
    "data": "source generated sha256 rows warnings",
    "champion": "number score feasible requirements metrics config path confirmed",
    "environment": "versions hardware git",
    "mlflow": "tracking_uri experiment_id run_id",
    "optuna": "storage study_name",
}
TRIAL_KEYS = "number state score scores requirements metrics evaluations alarms config params seconds reason same_as note"


def built(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    best = samples.record(0, score=0.6)
    records = [best, samples.record(1, "PRUNED", 0.3, reason="worse than the median"), samples.record(2, "RUNNING", 0.9)]
    return samples.results(samples.facts(tmp_path / "night"), records, best, **changes)


def test_keys_are_those_that_were_promised(tmp_path: Path) -> None:
    found = built(tmp_path)
    for section, names in KEYS.items():
        assert set(found[section] if section else found) == set(names.split())
    for trial in found["trials"]:
        assert set(trial) == set(TRIAL_KEYS.split())
        assert set(trial["evaluations"][0]) == {"step", "score", "metrics", "seconds", "health", "compute", "evaluation_s"}
    assert parse(found["champion"]["config"]) == samples.CONFIG


def test_a_trial_that_still_runs_is_no_result(tmp_path: Path) -> None:
    assert [(trial["number"], trial["state"]) for trial in built(tmp_path)["trials"]] == [(0, "COMPLETE"), (1, "PRUNED")]


def test_keys_stay_without_a_champion(tmp_path: Path) -> None:
    found = samples.results(samples.facts(tmp_path / "night"), [], None, finished=None)
    assert set(found) == set(KEYS[""].split())
    assert found["champion"] is None
    assert found["finished"] is None


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / results.FILE_NAME
    results.write(path, built(tmp_path))
    assert results.read(path) == built(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == [results.FILE_NAME]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / results.FILE_NAME
    results.write(path, built(tmp_path))
    with pytest.raises(TypeError):
        results.write(path, {"schema_version": object()})
    assert results.read(path) == built(tmp_path)


def test_nan_and_infinity_become_null(tmp_path: Path) -> None:
    failed = samples.record(0, "FAIL", 0.5, metrics={"sst/accuracy": math.nan}, seconds=math.inf)
    path = tmp_path / results.FILE_NAME
    results.write(path, samples.results(samples.facts(tmp_path), [failed], None))
    trial = results.read(path)["trials"][0]
    assert trial["metrics"] == {"sst/accuracy": None}
    assert trial["seconds"] is None


@given(st.recursive(st.floats() | st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_everything_finite_is_json(value: Any) -> None:
    cleaned = results.finite(value)
    assert json.loads(json.dumps(cleaned, allow_nan=False)) == cleaned


def test_passwords_do_not_reach_the_file(tmp_path: Path) -> None:
    mlflow = {"tracking_uri": "https://ann:hunter2@mlflow.example/x", "experiment_id": "1", "run_id": None}
    optuna = {"storage": "postgresql+psycopg://bob:p/w@hunter2@db:5432/optuna?sslmode=require", "study_name": "night"}
    text = json.dumps(built(tmp_path, mlflow=mlflow, optuna=optuna))
    assert "hunter2" not in text
    assert "p/w" not in text
    assert "https://ann:***@mlflow.example/x" in text
    assert "postgresql+psycopg://bob:***@db:5432/optuna?sslmode=require" in text


@pytest.mark.parametrize("plain", ["sqlite:////runs/night/mlflow.db", "http://127.0.0.1:5000", "runs/night/journal.log"])
def test_addresses_without_secrets_stay(plain: str) -> None:
    assert mask_credentials(plain) == plain


def test_secrets_in_arguments_are_masked() -> None:
    assert mask_credentials("mysql://db/x?user=a&Password=b&ssl=1") == "mysql://db/x?user=a&Password=***&ssl=1"


def test_tracking_uri_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert resolve_tracking_uri(None, Path("runs/night")) == f"sqlite:///{tmp_path}/runs/night/mlflow.db"
    assert resolve_tracking_uri("sqlite:///all.db", tmp_path) == f"sqlite:///{tmp_path}/all.db"
    assert resolve_tracking_uri("sqlite:////all.db", tmp_path) == "sqlite:////all.db"
    assert resolve_tracking_uri("http://host:5000", tmp_path) == "http://host:5000"
    with pytest.raises(ConfigError, match=r"--tracking-uri \./mlruns is not a store"):
        resolve_tracking_uri("./mlruns", tmp_path)


ODD_NAMES = ["a?b", "feature%2Fx", "a#b", "a b", "a%20b", "é;b&c=d:e@f"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_the_url_of_a_database_opens_that_file(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    url = resolve_tracking_uri(None, folder)
    assert file_of(url) == folder / "mlflow.db"
    assert resolve_tracking_uri(f"{url}?timeout=3", tmp_path) == f"{url}?timeout=3"
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("create table t (x int)"))
    engine.dispose()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "mlflow.db"]


def test_names_that_are_not_utf8_are_written_and_read_back(tmp_path: Path) -> None:
    path, name = tmp_path / results.FILE_NAME, "caf\udce9"
    results.write(path, bare(data={"source": name, "sha256": None, "rows": {}}))
    assert results.read(path)["data"]["source"] == name
    append_line(tmp_path / timeline.FILE_NAME, json.dumps({"event": name, "at": 1}, ensure_ascii=False))
    assert timeline.read(tmp_path) == [{"event": name, "at": 1}]
    save(Options(data=name), tmp_path)
    assert load(tmp_path).data == name
    assert (as_tag(name), flatten({"data": name})) == ("caf\\udce9", {"data": "caf\\udce9"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist"),
        ('{"schema_version": 1, "tri', "is not JSON"),
        ("[]", "valid dictionary"),
        ("{}", "schema_version None"),
        ('{"schema_version": 1}', "name: Field required"),
        (json.dumps(bare(trials=[{"number": "x"}])), "trials.0.number: Input should be a valid integer"),
        ('{"schema_version": 99}', "schema_version 99"),
    ],
)
def test_unreadable_files_raise_a_config_error(tmp_path: Path, content: str | None, sentence: str) -> None:
    path = tmp_path / results.FILE_NAME
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        results.read(path)


def test_commonest_reason_counts_reasons_apart_from_their_numbers() -> None:
    reasons = ["out of memory", "the loss became NaN at step 7", "the loss became NaN at step 90"]
    assert commonest_reason(reasons) == "the loss became NaN at step 7"
    assert commonest_reason([]) is None


def test_rank_puts_complete_trials_first() -> None:
    trials = [
        {"number": 0, "state": "FAIL", "score": None},
        {"number": 1, "state": "PRUNED", "score": 0.9},
        {"number": 2, "state": "COMPLETE", "score": 0.5},
        {"number": 3, "state": "COMPLETE", "score": 0.6},
        {"number": 4, "state": "COMPLETE", "score": 0.5},
    ]
    assert [trial["number"] for trial in results.rank(trials)] == [3, 2, 4, 1, 0]


def test_the_share_of_its_schedule_that_a_trial_was_trained_for() -> None:
    whole = samples.record(0, score=0.5)
    assert whole.share == 1.0
    begun = replace(whole, state="RUNNING", evaluations=[])
    assert begun.share == 0.0
    assert replace(begun, state="FAIL").share == 0.1, "as if it had come to its first evaluation"
    assert replace(begun, state="FAIL", config={}).share == 0.0, "a refused configuration was not trained"
    assert replace(whole, same_as=1).share == 0.0, "nor was a repeat"
