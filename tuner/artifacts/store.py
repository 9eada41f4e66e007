"""The store that all nodes can reach: an object store by its URL, or a shared folder.

Credentials come from the environment of each process only (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …): they are neither in the
URL nor sent between nodes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

from model.config import ConfigError
from tuner.artifacts.addresses import mask_credentials
from tuner.artifacts.retry import LIMIT_S, Retry, full_disk
from tuner.artifacts.write_queue import write_stderr

CHUNK = 4 * 2**20
"""Bytes copied at once."""
CONNECT_S, REQUEST_S, N_TRIES = 10.0, 60.0, 3
"""Of one request to S3, and `REQUEST_S` to Google's; `Retry` repeats it for longer."""
PROBE_S = 20.0
"""Seconds for the answer of a store before a search."""
QUIET_S = 2.0
"""Seconds of it without a line on what is waited for."""
TRANSIENT = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH)
"""Errors of a network file system whose server is unreachable."""
TRANSIENT_WORDS = (
    "NETWORK_CONNECTION", "SERVICE_UNAVAILABLE", "SLOW_DOWN", "INTERNAL_FAILURE", "THROTTLING", "REQUEST_TIMEOUT",
)  # fmt: skip
"""Names in the messages of Arrow's transient errors."""
T = TypeVar("T")
P = ParamSpec("P")


def _retried(method: Callable[Concatenate[Store, P], T]) -> Callable[Concatenate[Store, P], T]:
    """The method of `Store`, retried while the store is unreachable."""

    @wraps(method)
    def retried(store: Store, /, *arguments: P.args, **keywords: P.kwargs) -> T:
        warn = (lambda _: None) if store.quiet else write_stderr
        retry = Retry(f"the storage {store.url}", transient_reason, warn=warn, limit_s=store.limit_s)
        return retry(lambda: method(store, *arguments, **keywords))

    return retried


@dataclass(frozen=True)
class Store:
    """Files under `url` by keys such as `trial_00003/weights.pt`.

    Calls are retried for at most `limit_s` seconds while the store is unreachable. They raise OSError for permanent errors,
    and `StoreUnreachableError`.
    """

    url: str
    """An absolute folder, or a URL of Arrow or fsspec; without a slash at its end."""
    limit_s: float = LIMIT_S
    quiet: bool = False
    """Whether to retry without a warning."""

    def within(self, part: str) -> Store:
        """The part of the store under a key."""
        return replace(self, url=f"{self.url}/{part}")

    def waiting_quietly(self, limit_s: float = LIMIT_S) -> Store:
        """The same store without warnings, for processes whose stderr is not shown or would repeat the driver's warning."""
        return replace(self, limit_s=limit_s, quiet=True)

    @_retried
    def put(self, source: Path, key: str) -> None:
        """Copy a local file into the store."""
        with source.open("rb") as file, self._new(key) as stream:
            shutil.copyfileobj(file, stream, CHUNK)

    @_retried
    def write(self, key: str, content: bytes) -> None:
        self._write(key, content)

    @_retried
    def read(self, key: str) -> bytes:
        filesystem, path = self.place_of(key)
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())

    @_retried
    def fetch(self, key: str, target: Path) -> str:
        """Copy a file to `target` and return its SHA-256."""
        filesystem, path = self.place_of(key)
        digest = hashlib.sha256()
        with filesystem.open_input_stream(path) as stream, target.open("wb") as file:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    @_retried
    def folders(self, key: str = "") -> list[str]:
        """Names of the folders directly under a key."""
        from pyarrow import fs

        filesystem, path = self.place_of(key)
        entries = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in entries if info.type == fs.FileType.Directory)

    @_retried
    def has(self, key: str) -> bool:
        """Whether a file with this key exists."""
        from pyarrow import fs

        filesystem, path = self.place_of(key)
        return bool(filesystem.get_file_info(path).type == fs.FileType.File)

    def delete(self, key: str = "") -> None:
        """Try once to delete everything under a key; files that remain are deleted by a later clean-up."""
        filesystem, path = self.place_of(key)
        with suppress(OSError):
            filesystem.delete_dir(path)

    def delete_file(self, key: str) -> None:
        """Try once to delete a file."""
        filesystem, path = self.place_of(key)
        with suppress(OSError):
            filesystem.delete_file(path)

    def probe(self) -> None:
        """Write a small file, read it back and delete it, without retries. Raises OSError."""
        key, content = f".probe-{uuid.uuid4().hex}", b"smart-tuner"
        filesystem, path = self.place_of(key)
        try:
            self._write(key, content)
            with filesystem.open_input_stream(path) as stream:
                if stream.read() != content:
                    raise OSError("it returns other bytes than were written")
        finally:
            self.delete_file(key)

    def _write(self, key: str, content: bytes) -> None:
        with self._new(key) as stream:
            stream.write(content)

    def _new(self, key: str) -> Any:
        filesystem, path = self.place_of(key)
        if filesystem.type_name == "local" or filesystem.type_name.startswith("py::"):  # object stores have no folders
            filesystem.create_dir(str(Path(path).parent), recursive=True)
        return filesystem.open_output_stream(path)

    def place_of(self, key: str) -> tuple[Any, str]:
        """Arrow's file system, and the key's path in it."""
        filesystem, root = opened(self.url)
        return filesystem, f"{root}/{key}" if key else root


def parse(text: str) -> Store:
    """The store of a `--storage-path`. Raises `ConfigError` for an address that is invalid or contains credentials."""
    given = mask_credentials(text)
    if "://" not in text:
        return Store(str(Path(text).expanduser().absolute()))
    parts = urlsplit(text)
    if "@" in parts.netloc or parts.query:
        raise ConfigError(
            [
                f"--storage-path {given.partition('?')[0]}: give no credentials and no settings in the URL; they belong to the "
                "environment, as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL"
            ]
        )
    if parts.scheme == "file":
        return Store(unquote(parts.path).rstrip("/") or "/")
    if not parts.netloc:
        raise ConfigError([f"--storage-path {given} names no bucket; give one such as s3://bucket/folder"])
    return Store(text.rstrip("/"))


def checked(text: str) -> Store:
    """The store of a `--storage-path`, probed with a small file. Raises `ConfigError`."""
    store = parse(text)
    try:
        _in_time(store.probe, f"--storage-path {mask_credentials(text)}")
    except Exception as error:  # the file systems of fsspec have their own errors
        advice = "check the address, its bucket and, in the environment, the credentials and AWS_ENDPOINT_URL"
        if "://" not in store.url:
            advice = "give a folder that you may write to, or a URL such as s3://bucket/folder"
        raise ConfigError([f"--storage-path {text} cannot be used: {reason_of(error)[:400]}; {advice}"]) from error
    return store


def _in_time(action: Callable[[], None], name: str, limit_s: float = PROBE_S) -> None:
    """Call `action` in a thread, which the end of this process does not wait for. Raises its error, or TimeoutError.

    When it takes more than `QUIET_S`, a line on stderr says that the store `name` is waited for.
    """
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            action()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, name="store-probe", daemon=True)
    thread.start()
    thread.join(min(QUIET_S, limit_s))
    if thread.is_alive():
        write_stderr(f"waiting for {name}, up to {limit_s:g} s")
    thread.join(max(limit_s - QUIET_S, 0))
    if thread.is_alive():
        raise TimeoutError(f"no answer within {limit_s:g} s; without credentials a store may never answer")
    for error in errors:
        raise error


@cache
def opened(url: str) -> tuple[Any, str]:
    """Arrow's file system for a URL or folder, and its path there."""
    from pyarrow import fs

    if "://" not in url:
        return fs.LocalFileSystem(), url
    if url.startswith("s3://"):
        path = url.removeprefix("s3://")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if region is None and endpoint is None:
            region = fs.resolve_s3_region(path.partition("/")[0])
        filesystem = fs.S3FileSystem(
            region=region,
            endpoint_override=endpoint,
            connect_timeout=CONNECT_S,
            request_timeout=REQUEST_S,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=N_TRIES),
        )
        return filesystem, path
    if url.startswith(("gs://", "gcs://")):
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=REQUEST_S)), url.partition("://")[2]
    try:
        place: tuple[Any, str] = fs.FileSystem.from_uri(url)
        return place
    except ValueError:  # not one of Arrow's file systems
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


def transient_reason(error: BaseException) -> str | None:
    """The reason when an error may pass, else None."""
    if not isinstance(error, OSError) or isinstance(error, FileNotFoundError | PermissionError):
        return None
    is_transient = isinstance(error, ConnectionError | TimeoutError) or error.errno in TRANSIENT
    if is_transient or any(word in str(error) for word in TRANSIENT_WORDS):
        return reason_of(error)
    return full_disk(error)


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, NotImplementedError):
        return "files cannot be written there"
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
