"""Passwords stay in the environment, and no pickle that others can write is loaded."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.exceptions import ActorDiedError, RayTaskError

from cluster import connect
from model.config import ConfigError
from tests.support import tiny
from tests.support.postgres import PASSWORD
from tuner.artifacts.addresses import expand, in_environment, mask_credentials, without_password
from tuner.config import options
from tuner.execution import trainable as trial
from tuner.execution import tune as ray_tune
from tuner.execution.gang import RankError

CLEAR = f"postgresql://ann:{PASSWORD}@db:5432/optuna"


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        (CLEAR, "postgresql://ann@db:5432/optuna"),
        ("postgresql://ann:$PW@db/optuna", "postgresql://ann:$PW@db/optuna"),
        ("postgresql://ann:${PW}@db/optuna", "postgresql://ann:${PW}@db/optuna"),
        ("postgresql://ann:p$PW@db/optuna", "postgresql://ann@db/optuna"),
        ("postgresql://ann@db/optuna", "postgresql://ann@db/optuna"),
        ("postgresql://ann:a@b:c@db/optuna", "postgresql://ann@db/optuna"),
        (f"postgresql://db/optuna?user=ann&password={PASSWORD}&x=1", "postgresql://db/optuna?user=ann&password=&x=1"),
        ("postgresql://db/optuna?password=$PW", "postgresql://db/optuna?password=$PW"),
        ("https://bob:secret@mlflow.example.org:5000/path", "https://bob@mlflow.example.org:5000/path"),
        ("$DATABASE", "$DATABASE"),
        ("sqlite:////runs/study.db", "sqlite:////runs/study.db"),
        ("journal:/runs/study.journal", "journal:/runs/study.journal"),
    ],
)
def test_what_of_an_address_is_kept(address: str, kept: str) -> None:
    assert without_password(address) == kept
    assert without_password(kept) == kept


def test_the_environment_is_put_in_where_an_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "a/b@c:%")
    monkeypatch.setenv("WHOLE", CLEAR)
    assert expand("postgresql://ann:$PW@db/optuna") == "postgresql://ann:a%2Fb%40c%3A%25@db/optuna"
    assert expand("postgresql://ann:${PW}@db/optuna") == "postgresql://ann:a%2Fb%40c%3A%25@db/optuna"
    assert expand("$WHOLE") == CLEAR
    assert expand("sqlite:///x.db") == "sqlite:///x.db"
    monkeypatch.delenv("PW")
    with pytest.raises(ConfigError, match=r"needs the environment variable\(s\) PW"):
        expand("postgresql://ann:$PW@db/optuna")
    assert "a/b" not in mask_credentials("postgresql://ann:a%2Fb@db/optuna")


def kept(folder: Path, **given: Any) -> options.Options:
    folder.mkdir()
    options.save(options.Options(**given), folder)
    return options.load(folder)


def test_the_folder_of_a_run_has_no_password(tmp_path: Path) -> None:
    given = {"storage": CLEAR, "tracking_uri": "https://bob:open-sesame@mlflow.example.org"}
    found = kept(tmp_path / "one", **given)
    assert PASSWORD not in (tmp_path / "one" / options.FILE_NAME).read_text(encoding="utf-8")
    assert found.storage == "postgresql://ann@db:5432/optuna"
    assert found.tracking_uri == "https://bob@mlflow.example.org"
    storage, tracking = options.not_kept(options.Options(**given))
    assert "--storage" in storage
    assert "$PGPASSWORD" in storage
    assert "$MLFLOW_TRACKING_PASSWORD" in tracking
    assert PASSWORD not in storage + tracking
    assert options.not_kept(options.Options(storage="postgresql://ann:$PW@db/x")) == []


def test_resuming_takes_the_same_address_again_and_no_other(tmp_path: Path) -> None:
    kept(tmp_path / "one", storage=CLEAR, seed=3)
    again = ["--resume", "one", "--runs-dir", str(tmp_path), "--storage"]
    found = options.parse_arguments([*again, CLEAR])
    assert (found.storage, found.seed) == (CLEAR, 3)
    with pytest.raises(ConfigError, match="leave out --storage"):
        options.parse_arguments([*again, CLEAR.replace("@db", "@elsewhere")])


class Mark:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_checkpoint_runs_no_code(tmp_path: Path, tiny_backbone: Path, stage: int) -> None:
    from model.training.trial import Training

    training = Training(tiny.config(tiny_backbone, engine={"zero_stage": stage}), tiny.data())
    try:
        training.advance()
        training.save(tmp_path / "checkpoint")
        training.load(tmp_path / "checkpoint")
        files = sorted((tmp_path / "checkpoint").rglob("*.pt"))
        assert len(files) == (2 if stage else 1)
        mark = tmp_path / "mark"
        for file in files:
            honest = file.read_bytes()
            torch.save({"module": Mark(mark)}, file)
            with pytest.raises(pickle.UnpicklingError):
                training.load(tmp_path / "checkpoint")
            file.write_bytes(honest)
        assert not mark.exists()
        torch.load(_saved(tmp_path, mark), weights_only=False)
        assert mark.exists(), "the mark is what an unpickled file leaves"
    finally:
        training.close()


def _saved(folder: Path, mark: Path) -> Path:
    torch.save(Mark(mark), folder / "evil.pt")
    return folder / "evil.pt"


class Restored(trial.GangTrial):
    """Tune's restore without a gang."""

    def __init__(self) -> None:
        self._local_ip, self._gang, self._config, self._store = "", _NoGang(), SimpleNamespace(to_dict=dict), None


class _NoGang:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def load(self, folder: str) -> None:
        self.calls.append("load")
        raise RankError("torn")

    def begin(self, config: dict[str, Any]) -> None:
        self.calls.append("begin")


def test_a_pickle_laid_into_a_checkpoint_is_not_loaded(tmp_path: Path) -> None:
    from ray.train._internal.session import _TrainingResult
    from ray.tune import Checkpoint

    (tmp_path / "checkpoint").mkdir()
    mark = tmp_path / "mark"
    (tmp_path / "checkpoint" / "_dict_checkpoint.pkl").write_bytes(pickle.dumps(Mark(mark)))
    restored = Restored()
    restored.restore(_TrainingResult(Checkpoint.from_directory(tmp_path / "checkpoint"), metrics={}))
    assert not mark.exists()
    assert restored._gang.calls == ["load", "begin"], "a checkpoint that cannot be read costs time only"


def test_why_tune_gave_a_trial_up_is_read_from_text() -> None:
    def failure(error: BaseException) -> str:
        return f"Failure # 1 (occurred at 2026-01-01_00-00-00)\n{error}\n"

    try:
        raise RankError("no such tensor\nin the file")
    except RankError as error:
        raised = RayTaskError(
            "GangTrial.__init__()", "Traceback (most recent call last):\n  File x\ntuner.gang.RankError: no such\n", error
        )
    assert ray_tune.last_error(failure(raised)) == "RankError: no such"
    assert ray_tune.last_error(failure(ActorDiedError())).startswith("The actor died")
    assert ray_tune.last_error(failure(raised) + failure(ActorDiedError())).startswith("The actor died")
    assert ray_tune.last_error("") is None


def test_the_dashboard_is_for_this_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(connect.ray, "init", lambda **settings: given.update(settings) or SimpleNamespace(dashboard_url=None))
    connect.connect(None)
    assert (given["dashboard_host"], given["include_dashboard"]) == ("127.0.0.1", True)
    connect.connect(None, dashboard=False)
    assert given["include_dashboard"] is False


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("postgresql://ann:a%40b@host/db", {"PGPASSWORD": "a@b"}),
        ("postgresql+psycopg://ann:x@host/db", {"PGPASSWORD": "x"}),
        ("https://ann:x@host", {"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "x"}),
        ("postgresql://ann@host/db", {}),
        ("sqlite:////tmp/a.db", {}),
    ],
)
def test_a_login_is_handed_over_where_its_library_looks(address: str, expected: dict[str, str]) -> None:
    assert in_environment(address) == expected
