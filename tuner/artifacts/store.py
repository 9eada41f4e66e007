"""A store that all nodes reach: an object store by its URL, or a folder that they share.

Credentials come from the environment of each process (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, …) and are nowhere else: not in
the URL, not in what is sent from node to node.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from model.config import ConfigError
from tuner.artifacts.addresses import mask_credentials
from tuner.artifacts.retry import LIMIT_S, Patience, full_disk
from tuner.artifacts.write_queue import tell_stderr

PIECE = 4 * 2**20
"""Bytes that are copied at once."""
CONNECT_S, REQUEST_S, N_TRIES = 10.0, 60.0, 3
"""Of one request to S3; `Patience` tries for longer."""
PASSING = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH)
"""What a network file system says while its server is away."""
PASSING_WORDS = ("NETWORK_CONNECTION", "SERVICE_UNAVAILABLE", "SLOW_DOWN", "INTERNAL_FAILURE", "THROTTLING", "REQUEST_TIMEOUT")
"""Arrow's names of the errors of a store that may answer later."""


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True)
class Store:
    """Files under `url` by keys such as `trial_00003/weights.pt`. Calls wait for a store that is away, for `limit_s` at most.

    They raise OSError for what does not pass, and `StoreAwayError`.
    """

    url: str
    """An absolute folder, or a URL of Arrow's or fsspec's; no slash at its end."""
    limit_s: float = LIMIT_S
    quiet: bool = False
    """Whether somebody else tells the user when it is away."""

    def within(self, part: str) -> Store:
        """The part of the store under a key."""
        return replace(self, url=f"{self.url}/{part}")

    def waiting_quietly(self, limit_s: float = LIMIT_S) -> Store:
        """The same store for one whose words nobody sees, or need not see twice."""
        return replace(self, limit_s=limit_s, quiet=True)

    def put(self, source: Path, key: str) -> None:
        self._patiently(lambda: self._put(source, key))

    def write(self, key: str, content: bytes) -> None:
        self._patiently(lambda: self._write(key, content))

    def read(self, key: str) -> bytes:
        def whole() -> bytes:
            filesystem, path = self.place_of(key)
            with filesystem.open_input_stream(path) as stream:
                return bytes(stream.read())

        return self._patiently(whole)

    def fetch(self, key: str, target: Path) -> str:
        """Copy a file to `target` and return its SHA-256."""

        def fetched() -> str:
            filesystem, path = self.place_of(key)
            digest = hashlib.sha256()
            with filesystem.open_input_stream(path) as stream, target.open("wb") as file:
                copy(stream, file, digest)
            return digest.hexdigest()

        return self._patiently(fetched)

    def folders(self, key: str = "") -> list[str]:
        """Names of the folders right under a key."""
        from pyarrow import fs

        def listed() -> list[str]:
            filesystem, path = self.place_of(key)
            found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
            return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)

        return self._patiently(listed)

    def has(self, key: str) -> bool:
        """Whether there is such a file."""
        from pyarrow import fs

        def there() -> bool:
            filesystem, path = self.place_of(key)
            return bool(filesystem.get_file_info(path).type == fs.FileType.File)

        return self._patiently(there)

    def delete(self, key: str = "") -> None:
        """Delete all under a key, if it can be done now: who sweeps later tries again."""
        filesystem, path = self.place_of(key)
        with suppress(OSError):
            filesystem.delete_dir(path)

    def delete_file(self, key: str) -> None:
        """Delete one file, if it can be done now."""
        filesystem, path = self.place_of(key)
        with suppress(OSError):
            filesystem.delete_file(path)

    def probe(self) -> None:
        """Write a small file, read it back and delete it, without patience. Raises OSError."""
        key, content = f".probe-{uuid.uuid4().hex}", b"smart-tuner"
        filesystem, path = self.place_of(key)
        try:
            self._write(key, content)
            with filesystem.open_input_stream(path) as stream:
                if stream.read() != content:
                    raise OSError("it does not give back what was written")
        finally:
            self.delete_file(key)

    def _put(self, source: Path, key: str) -> None:
        with source.open("rb") as file, self._new(key) as stream:
            shutil.copyfileobj(file, stream, PIECE)

    def _write(self, key: str, content: bytes) -> None:
        with self._new(key) as stream:
            stream.write(content)

    def _new(self, key: str) -> Any:
        filesystem, path = self.place_of(key)
        if filesystem.type_name == "local" or filesystem.type_name.startswith("py::"):  # object stores have no folders
            filesystem.create_dir(str(Path(path).parent), recursive=True)
        return filesystem.open_output_stream(path)

    def place_of(self, key: str) -> tuple[Any, str]:
        """Arrow's file system, and a path in it."""
        filesystem, root = opened(self.url)
        return filesystem, f"{root}/{key}" if key else root

    @property
    def _patiently(self) -> Patience:
        warn = _say_nothing if self.quiet else tell_stderr
        return Patience(f"the storage {self.url}", away, warn=warn, limit_s=self.limit_s)


def _say_nothing(sentence: str) -> None:
    """In place of `tell_stderr`."""


def parse(text: str) -> Store:
    """The store of a `--storage-path`. Raises `ConfigError` when it is none, or holds a password."""
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
        return Store(parts.path.rstrip("/") or "/")
    if not parts.netloc:
        raise ConfigError([f"--storage-path {given} names no bucket; give one such as s3://bucket/folder"])
    return Store(text.rstrip("/"))


def checked(text: str) -> Store:
    """The same, tried with a small file that is deleted again. Raises `ConfigError` when that fails."""
    store = parse(text)
    try:
        store.probe()
    except (OSError, ValueError, ImportError) as error:
        mend = "look at the address, its bucket and, in the environment, the credentials and AWS_ENDPOINT_URL"
        if "://" not in store.url:
            mend = "give a folder that you may write to, or a URL such as s3://bucket/folder"
        raise ConfigError([f"--storage-path {text} cannot be used: {reason_of(error)}; {mend}"]) from None
    return store


@cache
def opened(url: str) -> tuple[Any, str]:
    """Arrow's file system for a URL or folder, and the path in it."""
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
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(url)
        return found
    except ValueError:  # none of Arrow's own
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


def copy(source: Any, target: IO[bytes], digest: Digest) -> None:
    """Copy a stream, and tell the digest of every byte."""
    while piece := source.read(PIECE):
        digest.update(piece)
        target.write(piece)


def away(error: BaseException) -> str | None:
    """The reason where an error says that the store may answer later, else None."""
    if not isinstance(error, OSError) or isinstance(error, FileNotFoundError | PermissionError):
        return None
    passes = isinstance(error, ConnectionError | TimeoutError) or error.errno in PASSING
    if passes or any(word in str(error) for word in PASSING_WORDS):
        return reason_of(error)
    return full_disk(error)


def reason_of(error: BaseException) -> str:
    """An error in one line."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
