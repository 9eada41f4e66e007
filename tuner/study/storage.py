"""Where a study lives: a journal file by default, a database, or memory for simulations."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import IO, Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import create_engine, text
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from model.config import ConfigError
from tuner.artifacts.retry import Retry, full_disk

JOURNAL = "journal:"
MEMORY = "memory:"
"""Gone with the process, and new each time it is opened: for simulations."""
MEND = "look at its address, user and password"


def open_storage(given: str) -> BaseStorage:
    """`journal:PATH`, the URL of a database such as `sqlite:///study.db` or `postgresql://host/name`, or `memory:`.

    Raises `ConfigError` when it cannot be used.
    """
    if given.startswith(JOURNAL):
        return _open_journal(Path(given.removeprefix(JOURNAL)))
    if given == MEMORY:
        return InMemoryStorage()
    _check_form(given)
    try:
        # A connection that a restarted server has dropped is noticed before it is used.
        database = RDBStorage(given, engine_kwargs={"pool_pre_ping": True})
        return PatientDatabase(database, Retry(f"Optuna's storage {_without_password(given)}", away))
    except ImportError as error:
        needed = "install it, for PostgreSQL with pip install 'smart-tuner[postgres]'"
        raise ConfigError([f"cannot use the storage {_without_password(given)}: {_first_line(error)}; {needed}"]) from None
    except (ValueError, SQLAlchemyError, RuntimeError) as error:
        mend = "; it is looked for in $PGPASSWORD where the address has none" if "no password supplied" in str(error) else ""
        raise ConfigError([f"cannot use the storage {_without_password(given)}: {_first_line(error)}{mend}"]) from None


def probe(given: str, to_be_made: Path | None = None) -> None:
    """Whether `open_storage` could open it, writing nothing. Raises `ConfigError` when it cannot be used.

    `to_be_made` is the folder that the search itself makes before.
    """
    if given == MEMORY:
        return
    for scheme in (JOURNAL, "sqlite:///"):
        if given.startswith(scheme):
            path = Path(given.removeprefix(scheme))
            if not given.startswith(JOURNAL) and path.parent != to_be_made and not path.parent.is_dir():
                raise ConfigError([f"there is no folder {path.parent} for {path.name}; make it, or give another --storage"])
            _check_file(path, given.startswith(JOURNAL))
            return
    _check_form(given)
    try:
        engine = create_engine(given)
        with engine.connect() as connection:
            connection.execute(text("select 1"))
        engine.dispose()
    except ImportError as error:
        needed = "install it, for PostgreSQL with pip install 'smart-tuner[postgres]'"
        raise ConfigError([f"cannot use the storage {_without_password(given)}: {_first_line(error)}; {needed}"]) from None
    except (ValueError, SQLAlchemyError) as error:
        raise ConfigError([f"{_without_password(given)} cannot be used: {_first_line(error)}; {MEND}"]) from None


def _check_form(given: str) -> None:
    if "://" not in given:
        raise ConfigError(
            [f"the storage {given} is neither {JOURNAL}PATH nor the URL of a database, such as sqlite:///study.db"]
        )


def _check_file(path: Path, is_journal: bool) -> None:
    """Whether a file of the study can be made, or written to where it is there."""
    folder = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not os.access(folder, os.W_OK):
        raise ConfigError([f"{folder} cannot be written; let this user write there, or give another --storage"])
    if path.is_file():
        with path.open("rb") as file:
            begins = file.read(1)
        if is_journal and begins not in (b"", b"{"):
            raise ConfigError([f"{path} is not an Optuna journal; give another file"])


def _open_journal(path: Path) -> BaseStorage:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = ProcessLock(path)
        lock.acquire()
        try:
            cut_torn_line(path)
        finally:
            lock.release()
        return JournalStorage(PatientJournal(path, lock, Retry(f"Optuna's journal {path}", full_disk)))
    except OSError as error:
        raise ConfigError([f"cannot use the journal {path}: {error.strerror}; give another --storage"]) from None
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


class PatientJournal(JournalFileBackend):
    """A journal that waits for a full disk. An append that fails half-way leaves nothing: the next would corrupt it."""

    def __init__(self, path: Path, lock: ProcessLock, patience: Retry) -> None:
        super().__init__(str(path), lock_obj=lock)
        self._path = path
        self._process_lock = lock
        self._patience = patience

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._patience(lambda: self._append(lines))

    def _append(self, lines: bytes) -> None:
        self._process_lock.acquire()
        try:
            append_whole(self._path, lines)
        finally:
            self._process_lock.release()


def append_whole(path: Path, content: bytes) -> None:
    """Append `content` and see it on disk, or leave the file as it was and raise OSError."""
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
    """Optuna's own cache over a database, each call of which waits for a database that is away.

    A call is tried again as a whole. One whose commit was done and its answer lost is done twice: the worst of it is a trial
    that nobody runs, which the end of the session settles.
    """

    def __init__(self, database: RDBStorage, patience: Retry) -> None:
        super().__init__(database)
        self._patience = patience

    def close(self) -> None:
        """Give the connections back; the next call makes new ones."""
        self._backend.engine.dispose()


def _waiting(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: PatientDatabase, *arguments: Any, **named: Any) -> Any:
        return self._patience(lambda: method(self, *arguments, **named))

    return call


for _name in [name for name in vars(BaseStorage) if not name.startswith("_")]:
    setattr(PatientDatabase, _name, _waiting(getattr(_CachedStorage, _name)))


def away(error: Exception) -> str | None:
    """The reason where an error of a database may pass: it is locked, restarts or cannot be reached, or its disk is full."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    return _first_line(cause) if isinstance(cause, OperationalError | InterfaceError | PoolTimeoutError) else None


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


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
