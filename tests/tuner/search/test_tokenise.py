"""The way of the data into the object store: tokenised once, by a process of its own, and kept for the next search."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from model.data import tokenised
from model.data.source import DataSource, DataSummary, inspect
from model.encoder import backbone
from tests.support import tiny
from tuner.search import tokenise

TASKS = ("sst", "sts")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of few rows."""
    folder = tmp_path_factory.mktemp("data")
    sentences = "".join(f"{i}\ta film of {i} parts\t{i % 5}\n" for i in range(40))
    pairs = "".join(f"{i}\tone {i}\ttwo {i}\t{i % 5}.0\n" for i in range(40))
    for split in ("train", "dev"):
        (folder / f"ids-sst-{split}.csv").write_text(f"id\tsentence\tsentiment\n{sentences}", encoding="utf-8")
        (folder / f"sts-{split}.csv").write_text(f"id\tsentence1\tsentence2\tsimilarity\n{pairs}", encoding="utf-8")
    return folder


@pytest.fixture
def wanted(data: Path, tiny_backbone: Path) -> tokenise.DataRequest:
    return tokenise.DataRequest(DataSource.parse(str(data)), TASKS, (), False, str(tiny_backbone), 32)


@pytest.fixture
def summary(wanted: tokenise.DataRequest) -> DataSummary:
    return inspect(wanted.source, TASKS)


@pytest.mark.slow
def test_a_process_keeps_what_the_search_would_have_made(wanted: tokenise.DataRequest, tmp_path: Path) -> None:
    path = tmp_path / ".tokens" / "a.npz"
    tokenisation = tokenise.Tokenisation(wanted, path)
    tokenisation.begin()
    assert tokenisation._process is not None
    assert tokenisation._process.wait() == 0
    found, made = tokenised.load(path), wanted.tokens()
    assert found is not None
    assert found.summary == made.summary
    for task in TASKS:
        for split, own in made.tasks[task].items():
            assert [texts.values.tolist() for texts in found.tasks[task][split].texts] == [
                texts.values.tolist() for texts in own.texts
            ]
    again = tokenise.Tokenisation(wanted, path)
    again.begin()
    assert again._process is None, "what was kept is not made again"


def test_a_search_that_cannot_begin_leaves_nothing_but_what_was_there(wanted: tokenise.DataRequest, tmp_path: Path) -> None:
    path = tmp_path / ".tokens" / "a.npz"
    first = tokenise.Tokenisation(wanted, path)
    first.begin()
    first.discard()
    assert not path.parent.exists()
    replace(wanted, path=path).tokens()
    second = tokenise.Tokenisation(wanted, path)
    second.begin()
    second.discard()
    assert path.is_file()


def test_what_is_kept_is_taken(wanted: tokenise.DataRequest, tmp_path: Path) -> None:
    """Even where it is not what the files hold now, which the key would tell."""
    other = tokenised.tokenise(tiny.dataset(), backbone.load_tokenizer("embedded"), 8)
    tokenised.save(tmp_path / "a.npz", other)
    assert set(replace(wanted, path=tmp_path / "a.npz").tokens().tasks) == set(other.tasks)


def test_a_broken_file_is_made_again(wanted: tokenise.DataRequest, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK")
    assert set(replace(wanted, path=path).tokens().tasks) == set(TASKS)
    assert tokenised.load(path) is not None


def test_a_folder_that_cannot_be_written_stops_nothing(wanted: tokenise.DataRequest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert set(replace(wanted, path=tmp_path / "file" / "a.npz").tokens().tasks) == set(TASKS)


def test_an_end_before_it_is_done(wanted: tokenise.DataRequest, tmp_path: Path) -> None:
    tokenisation = tokenise.Tokenisation(wanted, tmp_path / "a.npz")
    tokenisation.begin()
    tokenisation.close()
    assert tokenisation._process is not None
    assert tokenisation._process.returncode is not None
    assert tokenised.load(tmp_path / "a.npz") is None


def test_the_key_tells_all_that_the_tokens_depend_on(
    wanted: tokenise.DataRequest, summary: DataSummary, tiny_backbone: Path, tmp_path: Path
) -> None:
    key = tokenise.key(wanted, summary)
    assert key == tokenise.key(replace(wanted, path=tmp_path), summary)
    other = tmp_path / "backbone"
    shutil.copytree(tiny_backbone, other)
    moved = replace(wanted, backbone=str(other))
    assert tokenise.key(moved, summary) == key, "a name does not matter, what is in the folder does"
    with (other / "tokenizer.json").open("a", encoding="utf-8") as file:
        file.write("\n")
    changed = [
        tokenise.key(moved, summary),
        tokenise.key(replace(wanted, max_length=16), summary),
        tokenise.key(replace(wanted, tasks=("sst",)), summary),
        tokenise.key(replace(wanted, arms=("clean",)), summary),
        tokenise.key(wanted, replace(summary, task_sha256=summary.task_sha256 | {"sst": "0"})),
    ]
    assert len({key, *changed}) == 6
    assert tokenise.key(replace(wanted, backbone="bert-base-uncased"), summary) is None


def test_the_last_ones_used_stay(tmp_path: Path) -> None:
    for age, name in enumerate("fedcba"):
        path = tmp_path / f"{name}.npz"
        path.touch()
        os.utime(path, (age, age))
    for age, name in ((0.0, ".cut.tmp"), (time.time(), ".being written.tmp")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    tokenise.drop_others(tmp_path)
    (tmp_path / ".being written.tmp").unlink()
    assert sorted(path.stem for path in tmp_path.iterdir()) == list("abcd")
