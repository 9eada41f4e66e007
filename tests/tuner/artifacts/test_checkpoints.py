"""Checkpoints of a run: atomic, one per trial, for gangs of the same size."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checkpoint_folders import Folder, made
from tuner.artifacts.checkpoints import Checkpoints
from tuner.artifacts.models import FAILED


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "kept", n_workers=2)


def text_of(path: Path | None) -> str:
    assert path is not None
    texts = {(path / name).read_text() for name in ("state/weights.pt", "teacher.safetensors")}
    assert len(texts) == 1
    return texts.pop()


def test_the_last_one_of_each_trial_is_kept(checkpoints: Checkpoints, tmp_path: Path) -> None:
    assert checkpoints.last(1) is None
    for number, index in ((1, 1), (1, 2), (1, 10), (11, 1)):
        assert checkpoints.keep(number, index, made(tmp_path / f"{number}-{index}", f"{number} {index}")) is None
    assert text_of(checkpoints.last(1)) == "1 10"
    assert text_of(checkpoints.last(11)) == "11 1"
    assert len(list((tmp_path / "kept").iterdir())) == 2
    checkpoints.drop(1)
    assert checkpoints.last(1) is None
    assert text_of(checkpoints.last(11)) == "11 1"


def test_it_outlives_the_files_of_tune(checkpoints: Checkpoints, tmp_path: Path) -> None:
    source = made(tmp_path / "tune", "mine")
    checkpoints.keep(1, 1, source)
    for name in ("state/weights.pt", "teacher.safetensors"):
        (source.path / name).unlink()
    assert text_of(checkpoints.last(1)) == "mine"


def test_incomplete_checkpoints_are_not_used_and_get_deleted(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.keep(1, 1, made(tmp_path / "a", "whole"))
    made(tmp_path / "kept" / ".trial_1_evaluation_2_ranks_2", "half")  # as a kill leaves it
    assert text_of(checkpoints.last(1)) == "whole"
    assert checkpoints.keep(1, 2, made(tmp_path / "b", "next")) is None
    assert text_of(checkpoints.last(1)) == "next"
    made(tmp_path / "kept" / ".trial_1_evaluation_3_ranks_2", "half")
    checkpoints.keep(2, 1, made(tmp_path / "c", "ended"))
    checkpoints.drop_others({1})
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["trial_1_evaluation_2_ranks_2"]


def test_one_that_cannot_be_kept_leaves_the_older_one(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.keep(1, 1, made(tmp_path / "a", "older"))
    failed = made(tmp_path / "b", "half")
    (failed.path / FAILED).write_text("OSError: No space left on device")
    assert checkpoints.keep(1, 2, failed) == "OSError: No space left on device"
    gone = checkpoints.keep(1, 3, Folder(tmp_path / "gone"))
    assert gone == "No such file or directory"
    assert text_of(checkpoints.last(1)) == "older"
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_a_gang_of_another_size_does_not_take_it(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.keep(1, 4, made(tmp_path / "a", "two ranks"))
    alone = Checkpoints(tmp_path / "kept", n_workers=1)
    assert alone.last(1) is None
    alone.keep(1, 1, made(tmp_path / "b", "one rank"))
    assert text_of(alone.last(1)) == "one rank"
    assert text_of(checkpoints.last(1)) == "two ranks"
    alone.drop(1)
    assert list((tmp_path / "kept").iterdir()) == []
