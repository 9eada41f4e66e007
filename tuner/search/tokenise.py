"""The data of a search, tokenised once for all its trials, by a process of its own while Ray starts.

The driver never holds them: they go through a file into the object store. The file stays beside the runs, for later searches
of the same data with the same tokenizer.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.data.source import DataSource, DataSummary
from model.encoder import backbone as backbones

if TYPE_CHECKING:
    from model.data.tokenised import TokenizedData

FOLDER = ".tokens"
"""Beside the runs."""
OWN = "tokens.npz"
"""In the run's folder, until they are in the object store: where a backbone is a name alone, its tokenizer may change."""
KEPT = 4
"""Files beside the runs: the last ones used."""
CUT_SHORT_S = 3600.0
"""A file that nobody has written to for so long is not going to be finished."""
VERSION = 1
LIBRARIES = ("transformers", "tokenizers")
OF_TOKENIZERS = (".json", ".txt", ".model")
"""Files of a backbone's folder in which tokenizers are."""


@dataclass(frozen=True)
class DataRequest:
    """What is to be tokenised, and how."""

    source: DataSource
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    skip_bad_rows: bool
    backbone: str
    max_length: int
    path: Path | None = None
    """Where the tokens are, or are to be kept; None for nowhere."""

    def tokens(self) -> TokenizedData:
        """Take them from the file, or make them and keep them there.

        Raises `ConfigError` as `model.data.source.read` does.
        """
        from model.data import tokenised

        found = tokenised.load(self.path) if self.path is not None else None
        if found is None:
            found = self._tokenise()
            if self.path is not None:
                with suppress(OSError):  # a full disk: they are made again next time
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    tokenised.save(self.path, found)
        return found

    def _tokenise(self) -> TokenizedData:
        from model.data.source import read
        from model.data.tokenised import tokenise

        dataset = read(self.source, self.tasks, skip_bad_rows=self.skip_bad_rows, arms=self.arms)
        return tokenise(dataset, backbones.load_tokenizer(self.backbone), self.max_length)


class Tokenisation:
    """Brings a search's data into the object store, tokenised by a process of its own."""

    def __init__(self, request: DataRequest) -> None:
        self._request = request
        self._process: subprocess.Popen[bytes] | None = None
        self._was_there = request.path is None or request.path.is_file()

    def begin(self) -> None:
        """Start to tokenise, unless that was done before. What goes wrong is told by `finish`, which does it again."""
        if self._was_there:
            return
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tuner.search.tokenise"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the search to hear
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as out:
            out.write(pickle.dumps(self._request))

    def finish(self) -> Any:
        """A reference into the object store. Raises `ConfigError` as `model.data.source.read` does."""
        if self._process is not None:
            self._process.wait()
        data = put_into_object_store(self._request)
        path = self._request.path
        with suppress(OSError):
            if path is not None and path.name == OWN:
                path.unlink()
            elif path is not None:
                path.touch()
                drop_others(path.parent)
        return data

    def close(self) -> None:
        """End what may still run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def discard(self) -> None:
        """Take back what was kept of it, for a search that cannot even begin leaves nothing."""
        self.close()
        path = self._request.path
        if path is None or self._was_there:
            return
        with suppress(OSError):  # another search may keep its own there
            for file in (path, *path.parent.glob(f".{path.name}*.tmp")):
                file.unlink(missing_ok=True)
            path.parent.rmdir()


def tokenisation(request: DataRequest, summary: DataSummary, run_dir: Path) -> Tokenisation:
    """The tokenisation for a search that is about to begin; `summary` is of the same rows, which were read before."""
    name = key(request, summary)
    path = run_dir / OWN if name is None else run_dir.parent / FOLDER / f"{name}.npz"
    if name is None:
        path.unlink(missing_ok=True)  # a killed session's
    return Tokenisation(replace(request, path=path))


def key(request: DataRequest, summary: DataSummary) -> str | None:
    """A hash of all that the tokens depend on; None where the tokenizer is known by a name alone.

    `summary` is of the same rows, which were read before.
    """
    from tuner.results.environment import versions

    folder = Path(backbones.locate(request.backbone))
    if not folder.is_dir():
        return None
    files = sorted(path for path in folder.iterdir() if path.suffix in OF_TOKENIZERS)
    installed = versions()
    depends = {
        "version": VERSION,
        "data": [asdict(summary), request.tasks, request.arms],
        "tokenizer": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "max_length": request.max_length,
        "libraries": {name: installed[name] for name in LIBRARIES},
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:24]


def put_into_object_store(request: DataRequest) -> Any:
    """Have a process of this node put the tokens into the object store, made there where no file has them yet.

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
    """The second value lets one wait without the first."""
    return request.tokens(), True


def drop_others(folder: Path) -> None:
    """Leave the files that were used last, and nothing that a kill cut short. Raises OSError."""
    files = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    begun_long_ago = [path for path in folder.glob(".*.tmp") if time.time() - path.stat().st_mtime > CUT_SHORT_S]
    for path in (*files[KEPT:], *begun_long_ago):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    pickle.load(sys.stdin.buffer).tokens()
