"""Storages of a study: a journal file by default, a database, or memory for simulations."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.storages.journal._file import get_lock_file
from sqlalchemy import create_engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from model.config import ConfigError
from tuner.artifacts.addresses import JOURNAL, SQLITE, file_of, in_memory_problem, mask_credentials
from tuner.artifacts.retry import Retry, full_disk

MEMORY = "memory:"
"""In memory, and empty each time it is opened: for simulations."""


def open_storage(url: str) -> BaseStorage:
    """`journal:PATH`, the URL of a database such as `sqlite:///study.db` or `postgresql://host/name`, or `memory:`.

    Raises `ConfigError` when it cannot be used.
    """
    if url.startswith(JOURNAL):
        return _open_journal(Path(url.removeprefix(JOURNAL)))
    if url == MEMORY:
        return InMemoryStorage()
    with _refusals(url):
        database = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})  # notices dropped connections before their use
        return PatientDatabase(database, Retry(f"Optuna's storage {mask_credentials(url)}", unreachable))


def probe(url: str, new_folder: Path | None = None) -> None:
    """Check that `open_storage` can open it, writing nothing. Raises `ConfigError` when it cannot be used.

    `new_folder` is the folder that the search itself creates before.
    """
    in_memory = in_memory_problem("--storage", url)
    if in_memory:
        raise ConfigError(in_memory)
    path, is_journal = file_of(url), url.startswith(JOURNAL)
    if path is not None:
        if not is_journal and path.parent != new_folder and not path.parent.is_dir():
            raise ConfigError([f"there is no folder {path.parent} for {path.name}; make it, or give another --storage"])
        _check_file(path, is_journal)
        return
    with _refusals(url):
        engine = create_engine(url)
        with engine.connect() as connection:
            connection.execute(text("select 1"))
        engine.dispose()


@contextmanager
def _refusals(url: str) -> Iterator[None]:
    """Turn the errors of opening a database into `ConfigError`."""
    if "://" not in url:
        raise ConfigError([f"the storage {url} is neither {JOURNAL}PATH nor the URL of a database, such as {SQLITE}study.db"])
    try:
        yield
    except (ImportError, ValueError, SQLAlchemyError, RuntimeError) as error:
        fix = "check its address, user and password"
        if isinstance(error, ImportError):
            fix = "install it, for PostgreSQL with pip install 'smart-tuner[postgres]'"
        elif "no password supplied" in str(error):
            fix = "put the password in $PGPASSWORD"
        raise ConfigError([f"cannot use the storage {mask_credentials(url)}: {_first_line(error)}; {fix}"]) from None


def _check_file(path: Path, is_journal: bool) -> None:
    """Check that a file of the study can be created, or written where it exists. Raises `ConfigError`."""
    if path.is_dir():
        raise ConfigError([f"{path} is a folder; give --storage a file in it"])
    folder = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not os.access(folder, os.W_OK):
        raise ConfigError([f"{folder} cannot be written; let this user write there, or give another --storage"])
    if path.is_file():
        with path.open("rb") as file:
            first_byte = file.read(1)
        if is_journal and first_byte not in (b"", b"{"):
            raise ConfigError([f"{path} is not an Optuna journal; give another file"])


def _open_journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = ProcessLock(path)
        with get_lock_file(lock):
            cut_torn_line(path)
        return JournalStorage(PatientJournal(path, lock, Retry(f"Optuna's journal {path}", full_disk)))
    except OSError as error:
        raise ConfigError([f"cannot use the journal {path}: {error.strerror}; give another --storage"]) from None
    except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):  # Optuna's, for a damaged line
        raise ConfigError([f"{path} is not an Optuna journal, or is damaged; restore it from a copy"]) from None


def cut_torn_line(path: Path) -> None:
    """Cut what follows the last newline: a line torn by a kill or a full disk, which the next append would corrupt.

    Raises `ValueError`, and cuts nothing, when the file does not begin as a journal does.
    """
    content = path.read_bytes() if path.exists() else b""
    if content and not content.startswith(b"{"):
        raise ValueError(f"{path} is not a journal")
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


class PatientJournal(JournalFileBackend):
    """A journal that retries while the disk is full. An append that fails half-way leaves nothing behind."""

    def __init__(self, path: Path, lock: ProcessLock, patience: Retry) -> None:
        super().__init__(str(path), lock_obj=lock)
        self._patience = patience

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()

        def append() -> None:
            with get_lock_file(self._lock):
                append_whole(Path(self._file_path), lines)

        self._patience(append)


def append_whole(path: Path, content: bytes) -> None:
    """Append `content` and flush it to disk, or leave the file as it was and raise OSError."""
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


class PatientDatabase(_CachedStorage):
    """Optuna's own cache over a database, whose calls are retried while the database is unreachable.

    A call is retried as a whole. One that was committed but whose answer was lost is done twice: at worst that leaves a trial
    without a process, which the end of the session settles.
    """

    def __init__(self, database: RDBStorage, patience: Retry) -> None:
        super().__init__(database)
        self._patience = patience

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._backend.engine.dispose()


def _retried(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: PatientDatabase, *arguments: Any, **named: Any) -> Any:
        return self._patience(lambda: method(self, *arguments, **named))

    return call


for _name in [name for name in vars(BaseStorage) if not name.startswith("_")]:
    setattr(PatientDatabase, _name, _retried(getattr(_CachedStorage, _name)))


def unreachable(error: Exception) -> str | None:
    """The reason where a database's error may pass: it is locked, restarts or cannot be reached, or its disk is full."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return _first_line(cause) if isinstance(cause, OperationalError | InterfaceError | PoolTimeoutError) else None


class ProcessLock(JournalFileOpenLock):
    """A lock that ends with its process. Optuna's own is a file, and one left by a kill delays the next append by 30 s."""

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


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
