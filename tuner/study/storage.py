"""Where a study lives: a journal file by default, a database, or memory for simulations."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import SQLAlchemyError

from model.config import ConfigError

JOURNAL = "journal:"
MEMORY = "memory:"
"""Gone with the process, and new each time it is opened: for simulations."""


def open_storage(given: str) -> BaseStorage:
    """`journal:PATH`, the URL of a database such as `sqlite:///study.db` or `postgresql://host/name`, or `memory:`.

    Raises `ConfigError` when it cannot be used.
    """
    if given.startswith(JOURNAL):
        return _open_journal(Path(given.removeprefix(JOURNAL)))
    if given == MEMORY:
        return InMemoryStorage()
    if "://" not in given:
        raise ConfigError(
            [f"the storage {given} is neither {JOURNAL}PATH nor the URL of a database, such as sqlite:///study.db"]
        )
    try:
        return RDBStorage(given)
    except (ImportError, ValueError, SQLAlchemyError, RuntimeError) as error:
        raise ConfigError([f"cannot use the storage {_without_password(given)}: {_first_line(error)}"]) from None


def _open_journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = ProcessLock(path)
        lock.acquire()
        try:
            cut_torn_line(path)
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except OSError as error:
        raise ConfigError([f"cannot use the journal {path}: {error.strerror}"]) from None
    except ValueError:
        raise ConfigError([f"{path} is not an Optuna journal; give another file"]) from None


def cut_torn_line(path: Path) -> None:
    """Cut what follows the last newline: an append that a kill or a full disk tore, and that the next would corrupt.

    Raises `ValueError`, and cuts nothing, when the file does not begin as a journal does.
    """
    content = path.read_bytes() if path.exists() else b""
    if content and not content.startswith(b"{"):
        raise ValueError(f"{path} is not a journal")
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


class ProcessLock(JournalFileOpenLock):
    """A lock that ends with its process. Optuna's own is a file, and one left by a kill holds up the next append 30 s."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path.with_name(f"{path.name}.lock")
        self._held: IO[bytes] | None = None

    def acquire(self) -> bool:
        self._held = self._path.open("ab")
        fcntl.flock(self._held, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        assert self._held is not None, "released without being held"
        self._held.close()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
