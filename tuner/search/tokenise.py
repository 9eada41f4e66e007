"""Tokenises the data of a search once for all its trials, in a separate process while Ray starts.

The driver never holds the tokens: they go through a file into the object store. The file stays beside the runs, for later
searches of the same data with the same tokenizer.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.data import source, tokenised
from model.data.source import DataSource, DataSummary
from model.data.tokenised import TokenizedData
from model.encoder import backbone as backbones
from tuner.search.cache_key import contents_of, digest, versions_of

FOLDER = ".tokens"
"""Beside the runs."""
OWN = "tokens.npz"
"""In the run's folder, deleted after use: for a backbone on the hub, whose tokenizer may change under the same name."""
KEPT = 4
"""Number of files beside the runs, the last used ones."""
ABANDONED_S = 3600.0
"""Seconds without a write after which a temporary file counts as abandoned."""
VERSION = 1
LIBRARIES = ("transformers", "tokenizers")
TOKENIZER_FILES = ("*.json", "*.txt", "*.model")
"""Files of a backbone's folder that tokenizers are read from."""


@dataclass(frozen=True)
class DataRequest:
    """The rows to tokenise, the tokenizer and the cache file."""

    source: DataSource
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    skip_bad_rows: bool
    backbone: str
    max_length: int
    path: Path | None = None
    """The cache file; None for none."""

    def tokens(self) -> TokenizedData:
        """Read the tokens from the cache file, or make them and write it. Raises `ConfigError` as `model.data.source.read`."""
        cached = tokenised.load(self.path) if self.path is not None else None
        if cached is not None:
            return cached
        dataset = source.read(self.source, self.tasks, skip_bad_rows=self.skip_bad_rows, arms=self.arms)
        data = tokenised.tokenise(dataset, backbones.load_tokenizer(self.backbone), self.max_length)
        with suppress(OSError):  # a full disk: the next search tokenises again
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                tokenised.save(self.path, data)
        return data


class Tokenisation:
    """Puts a search's data into the object store, tokenised by a separate process."""

    def __init__(self, request: DataRequest, path: Path) -> None:
        """`path` is the cache file."""
        self._request, self._path = replace(request, path=path), path
        self._process: subprocess.Popen[bytes] | None = None
        self._was_there = path.is_file()

    def begin(self) -> None:
        """Start the process, unless the cache file exists. `finish` repeats the work where it fails, and raises its error."""
        if self._was_there:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuner.search.tokenise"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the search handles Ctrl-C
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as out:
            out.write(pickle.dumps(self._request))

    def finish(self) -> Any:
        """A reference to the data in the object store. Raises `ConfigError` as `model.data.source.read` does."""
        if self._process is not None:
            self._process.wait()
        data = put_into_object_store(self._request)
        with suppress(OSError):
            if self._path.name == OWN:
                self._path.unlink()
            else:
                self._path.touch()
                drop_others(self._path.parent)
        return data

    def close(self) -> None:
        """Kill the process if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def discard(self) -> None:
        """Delete the new cache file: a search that cannot begin leaves nothing behind."""
        self.close()
        if self._was_there:
            return
        folder = self._path.parent
        with suppress(OSError):  # the folder may have other searches' files
            for file in (self._path, *folder.glob(f".{self._path.name}*.tmp")):
                file.unlink(missing_ok=True)
            folder.rmdir()


def tokenisation(request: DataRequest, summary: DataSummary, run_dir: Path) -> Tokenisation:
    """The tokenisation for the search in `run_dir`; `summary` is that of the requested rows."""
    name = key(request, summary)
    path = run_dir / OWN if name is None else run_dir.parent / FOLDER / f"{name}.npz"
    if name is None:
        path.unlink(missing_ok=True)  # left by a killed session
    return Tokenisation(request, path)


def key(request: DataRequest, summary: DataSummary) -> str | None:
    """A hash of everything that the tokens depend on; None for a backbone on the hub.

    `summary` is that of the requested rows.
    """
    folder = Path(backbones.locate(request.backbone))
    if not folder.is_dir():
        return None
    return digest(
        {
            "version": VERSION,
            "data": [asdict(summary), request.tasks, request.arms],
            "tokenizer": contents_of(folder, *TOKENIZER_FILES),
            "max_length": request.max_length,
            "libraries": versions_of(LIBRARIES),
        }
    )


def put_into_object_store(request: DataRequest) -> Any:
    """Put the tokens into the object store from a process on this node, and return their reference.

    Raises `ConfigError` as `model.data.source.read` does.
    """
    import ray

    from cluster import connect
    from tuner.execution.rank import process_environment

    remote = ray.remote(prepare_data).options(
        num_cpus=0,
        num_returns=2,
        scheduling_strategy=connect.on_this_node(),
        runtime_env={"env_vars": process_environment(2)},
    )
    data, done = remote.remote(request)
    try:
        ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ConfigError):
            raise ConfigError(error.cause.problems) from None
        raise
    return data


def prepare_data(request: DataRequest) -> tuple[TokenizedData, bool]:
    """The tokens, and a second value to wait for without fetching the first."""
    return request.tokens(), True


def drop_others(folder: Path) -> None:
    """Delete all cache files but the `KEPT` last used ones, and abandoned temporary files. Raises OSError."""
    files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    abandoned = [path for path in folder.glob(".*.tmp") if time.time() - path.stat().st_mtime > ABANDONED_S]
    for path in (*files[KEPT:], *abandoned):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    pickle.load(sys.stdin.buffer).tokens()
