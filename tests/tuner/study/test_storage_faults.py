"""Storages that are away for a while: real full disks, real locks. Nothing is lost, nothing is corrupted, the study goes on."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stored_study import opened, play
from tests.support.waiting import back_once_missed
from tuner.study import read_records
from tuner.study.storage import append_whole

LIMITED = """
import resource, sys
from pathlib import Path
from tuner.study.storage import append_whole
path, content = Path(sys.argv[1]), b"x" * 1000 + b"\\n"
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, hard))
try:
    append_whole(path, content)
except OSError as error:
    print(error.errno, path.stat().st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
append_whole(path, content)
"""


def test_an_append_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    """The file may grow by 100 bytes: the first write of 1,001 is cut short, and the next refused."""
    path = tmp_path / "journal"
    path.write_bytes(b"{}\n")
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(errno.EFBIG), "3"]
    assert path.read_bytes() == b"{}\n" + b"x" * 1000 + b"\n"


def test_an_append_adds_all_of_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    for _ in range(2):
        append_whole(path, b"ab\n")
    assert path.read_bytes() == b"ab\nab\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take the last byte of a file system."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return path


def test_a_full_disk_is_waited_for_and_the_journal_stays_whole(tmp_path: Path, small_disk: Path) -> None:
    journal = small_disk / "study.journal"
    study = opened(tmp_path, f"journal:{journal}")
    play(study, 0.5)
    before = journal.stat().st_size
    filler = fill(small_disk)
    with back_once_missed(filler.unlink) as told:
        numbers = [play(study, 0.6) for _ in range(4)]  # more than the journal's last page holds
    assert journal.stat().st_size > before
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 10
    assert numbers == [1, 2, 3, 4]
    assert [record.state for record in read_records(f"journal:{journal}", "study")] == ["COMPLETE"] * 5
    assert told == [
        f"cannot use Optuna's journal {journal} (No space left on device); retrying for up to 600 s\n",
        f"Optuna's journal {journal} can be used again\n",
    ]


def test_a_locked_database_is_waited_for(tmp_path: Path) -> None:
    """Another connection holds SQLite's exclusive lock for longer than the driver itself waits."""
    path = tmp_path / "study.db"
    study = opened(tmp_path, f"sqlite:///{path}?timeout=0.1")
    play(study, 0.5)
    locker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locker.execute("begin exclusive")
    with back_once_missed(locker.rollback) as told:
        assert play(study, 0.6) == 1
    locker.close()
    records = read_records(f"sqlite:///{path}", "study")
    assert [(record.state, record.score) for record in records] == [("COMPLETE", 0.5), ("COMPLETE", 0.6)]
    away, back = told
    assert "; retrying for up to" in away and "study.db" in away and "database is locked" in away
    assert back.endswith(" can be used again\n")


def test_every_call_of_a_storage_waits() -> None:
    """Optuna reaches the database through these calls alone, new ones of later versions included."""
    from optuna.storages import BaseStorage
    from optuna.storages._cached_storage import _CachedStorage

    from tuner.study.storage import PatientDatabase

    public = {name for name in vars(BaseStorage) if not name.startswith("_")}
    assert "set_trial_state_values" in public
    assert all(name in vars(PatientDatabase) for name in public)
    assert all(vars(PatientDatabase)[name] is not getattr(_CachedStorage, name) for name in public)
