"""A resumed run finds its own stores wherever its folder lies, or is refused before anything is written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.config import ConfigError
from tests.support import samples
from tests.support.records import bare
from tests.support.status_folder import folder
from tests.support.stored_study import SPACE, play
from tuner.commands.status import status
from tuner.config import options, run_folder
from tuner.config.objective import Objective
from tuner.config.options import Options
from tuner.search.plan.resumption import problems
from tuner.space import load
from tuner.study import Study, probe

__all__ = ["folder"]  # fixtures


def begin(folder: Path, n_trials: int, **given: Any) -> None:
    """A session of a search with complete trials, as it leaves options, state and study."""
    chosen = options.with_absolute_files(Options(**given))
    options.save(chosen, folder)
    state = run_folder.read_state(folder)
    assert state is not None
    here = str(folder.resolve())
    run_folder.write_state(folder, replace(state, study=folder.name, folder=here, stored_as="night-1", mlflow_run_id="r1"))
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    storage, objective = options.storage_of(chosen, folder), Objective("mean", ("sst", "sts"))
    study = Study(storage, folder.name, load(folder / "space.yaml"), objective, "random", "none", 0, 9, 2)
    for _ in range(n_trials):
        play(study, 0.5)
    recorded = bare(trials=[samples.record(number, score=0.5).to_dict() for number in range(n_trials)], folder=str(folder))
    (folder / run_folder.RESULTS_FILE).write_text(json.dumps(recorded), encoding="utf-8")


def problems_in(folder: Path, **given: Any) -> list[str]:
    chosen = replace(options.load(folder), **given)
    return problems(chosen, folder, options.storage_of(chosen, folder), options.tracking_uri_of(chosen, folder))


@pytest.mark.parametrize("address", [None, "sqlite+pysqlite:///{run}/study.db?timeout=9"])
def test_a_moved_and_renamed_run_has_its_trials(folder: Path, tmp_path: Path, address: str | None) -> None:
    given = {} if address is None else {"storage": address.replace("{run}", str(folder))}
    begin(folder, 2, **given, tracking_uri=f"sqlite:///{folder}/ml.db")
    moved = folder.rename(tmp_path / "renamed")
    assert problems_in(moved) == [
        f"MLflow's database {moved}/ml.db of this run does not exist; put it back, or start a new search"
    ]
    (moved / "ml.db").touch()
    assert problems_in(moved) == []
    (moved / run_folder.RESULTS_FILE).unlink()
    shown = status(moved)
    assert (shown.name, shown.states["COMPLETE"]) == ("renamed", 2)


def test_a_copy_is_a_run_of_its_own_unless_it_shares_a_store(folder: Path, tmp_path: Path) -> None:
    begin(folder, 1)
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    assert problems_in(copy) == []
    (problem,) = problems_in(copy, storage_path="s3://bucket/x")
    assert problem == (
        f"{copy} is a copy of {folder}, and both write to --storage-path s3://bucket/x; resume {folder}, "
        "or move it elsewhere first"
    )
    shutil.rmtree(folder)
    assert problems_in(copy, storage_path="s3://bucket/x") == []


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal:"])
def test_a_relative_address_is_found_from_any_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.chdir(tmp_path)
    begin(folder, 2, storage=f"{scheme}rel.db")
    assert options.from_given({"resume": "night", "runs_dir": str(folder.parent), "storage": f"{scheme}rel.db"}).storage
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    assert problems_in(folder) == []
    assert status(folder).states["COMPLETE"] == 2
    (problem,) = problems_in(folder, storage=f"{scheme}rel.db")
    assert f"{elsewhere}/rel.db does not exist; resume it in that folder" in problem, "as earlier versions stored it"
    (tmp_path / "rel.db").unlink()
    (problem,) = problems_in(folder)
    assert f"lacks 2 of the 2 trials that {folder} has a record of (0, 1); put the storage back" in problem
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "record",
    [
        {"results.json": '{"trials": [{"number": 4}]}'},
        {"timeline.jsonl": '{"event": "finished", "at": 1.0, "trial": 4, "state": "PRUNED"}\n'},
        {"models/4/config.yaml": ""},
    ],
)
def test_a_study_must_have_every_trial_that_has_a_record(folder: Path, record: dict[str, str]) -> None:
    begin(folder, 4)
    assert problems_in(folder) == []
    for name, text in record.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (problem,) = problems_in(folder)
    assert "has a record of (4)" in problem


@pytest.mark.parametrize(
    "address",
    [
        *(
            "memory:",
            "memory://",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
            "sqlite+pysqlite:///:memory:",
            "sqlite:///?x=1",
        ),
        *("sqlite:///file::memory:?uri=true", "sqlite:///file:x?mode=memory&uri=true"),
    ],
)
def test_a_database_in_memory_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"--storage .* is kept in memory"):
        probe(address)
    with pytest.raises(ConfigError, match=r"--tracking-uri .* (is kept in memory|is not a store)"):
        options.tracking_uri_of(Options(tracking_uri=address), tmp_path)
    with pytest.raises(ConfigError, match="is a folder"):
        probe(f"sqlite:///{tmp_path}")
