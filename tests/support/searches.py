"""Whole searches, in this process or in one of their own, and what they left.

`search_here` and `SearchHere` run a search in this process, on the Ray that it has joined (the test process's shared one, or a
cluster of `raylets`), with a warm fork server: 8 CPU seconds for the smallest. `command` and `Search` start a process with a
Ray of its own, 20 CPU seconds and more: for what is a fact of the process, such as signals, kills and exit statuses.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from tests.support import raylets
from tests.support.spaces import DROPOUTS, small

SEVEN_TRIALS = """
name: small
metric: mean
targets: [sst, quora, sts]
options: {{trials: 7, finalists: 0, pruner: median, cpus_per_worker: 1, gpus_per_worker: 0}}
fixed:
  backbone: {backbone}
  max_length: 32
  mixture: [sst, quora, sts]
  budget.examples: 480
  budget.evaluations: 5
  budget.early_eval_examples: 32
  smart.steps: 1
search:
  optim.lr: {{choice: [1.0e-3, 1.0e-5, 1.0e+30]}}
  smart.enabled: {{choice: [true, false]}}
  pair_encoding: {{choice: [cosine, cross]}}
  optim.dropout: {{float: [0.0, 0.3]}}
start:
  - {{optim.lr: 1.0e-3, smart.enabled: true, pair_encoding: cosine, optim.dropout: 0.1}}
  - {{optim.lr: 1.0e-3, smart.enabled: false, pair_encoding: cosine, optim.dropout: 0.1}}
  - {{optim.lr: 1.0e+30, smart.enabled: false, pair_encoding: cross, optim.dropout: 0.1}}
  - {{optim.lr: 1.0e-5, smart.enabled: false, pair_encoding: cross, optim.dropout: 0.0}}
"""


def write_space(folder: Path, backbone: Path, text: str = SEVEN_TRIALS) -> Path:
    path = folder / "small.yaml"
    path.write_text(text.format(backbone=backbone), encoding="utf-8")
    return path


QUICK = ("--no-preflight", "--no-register", "--no-dashboard")
"""Leave out what takes time and has tests of its own."""


@dataclass(frozen=True)
class Finished:
    """A search that has ended: its exit status and what it wrote on stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]


def search_here(*arguments: str) -> Finished:
    """Run a search in this process, on the Ray that it has joined, else on the shared one."""
    from tuner import search

    raylets.join_shared()
    return run_command(search.main, *QUICK, *arguments)


def run_command(main: Callable[[list[str]], int], *arguments: str) -> Finished:
    """Run a command in this process. What the libraries warn of meanwhile is no fact of a test."""
    out, err = io.StringIO(), io.StringIO()
    return Finished(_quietly(main, arguments, out, err), out.getvalue(), err.getvalue())


def _quietly(main: Callable[[list[str]], int], arguments: Sequence[str], out: IO[str], err: IO[str]) -> int:
    with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return main(list(arguments))


def lend_tokens(runs_dir: Path) -> None:
    """Have searches in this folder take tokens and backbones' verdicts of others in this process: each saves 4 CPU seconds."""
    for name in (".tokens", ".backbones"):
        with suppress(FileExistsError):
            (runs_dir / name).symlink_to(_lent(name))


@cache
def _lent(name: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"{name[1:]}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def command(*arguments: str) -> subprocess.Popen[str]:
    """A search in a process group of its own, as a shell would start it, without what QUICK leaves out."""
    return subprocess.Popen(
        [sys.executable, "-m", "tuner.search", *QUICK, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def processes_of(session: int) -> list[str]:
    """Command lines of the processes that still live in a session."""
    listed = subprocess.run(["ps", "-o", "args=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if line.strip()]


def results_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read a search's output up to a line with `text`."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the search ended without {text!r}: {process.stderr and process.stderr.read()}")


def finish(process: subprocess.Popen[str], timeout: float = 600) -> tuple[str, str]:
    """The rest of a search's stdout and stderr. It must leave no process but Ray's agents, which notice a kill late."""
    out, err = process.communicate(timeout=timeout)

    def left() -> list[str]:
        return [line for line in processes_of(process.pid) if "Agent" not in line]

    deadline = time.monotonic() + 60
    while left() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left() == []
    return out, err


def runs_of(results: dict[str, Any]) -> tuple[list[Any], dict[str, list[tuple[int, float]]]]:
    """All MLflow runs of a search's experiment, and the scores of each trial's run by step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=results["mlflow"]["tracking_uri"])
        runs = list(client.search_runs([results["mlflow"]["experiment_id"]]))
        scores = {
            run.data.tags["trial"]: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, "score"))
            for run in runs
            if "trial" in run.data.tags
        }
    return runs, scores


def outcomes(results: dict[str, Any]) -> list[Any]:
    """The parts of each trial's record that kills must not change."""
    return [
        (
            trial["number"],
            trial["state"],
            trial["config"],
            [(e["step"], e["score"], e["metrics"]) for e in trial["evaluations"]],
        )
        for trial in results["trials"]
    ]


GRID = small(
    DROPOUTS,
    {"pair_encoding": "cosine", "optim.batch_size": 8, "optim.lr": 1e-3, "budget.examples": 960, "budget.evaluations": 4},
    trials=6,
    sampler="grid",
)


class Lines(io.TextIOBase):
    """A stream that keeps what is written as lines, with their ends."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._begun = ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        self.lines.extend(f"{line}\n" for line in whole)
        return len(text)


class Watched(ABC):
    """A search under way with `--json`: `out` and `err` are the lines that it has written so far."""

    out: list[str]
    err: list[str]

    @abstractmethod
    def is_running(self) -> bool: ...

    @abstractmethod
    def end(self, timeout_s: float = 300) -> int:
        """Wait for its end. Returns the exit status."""

    def wait_for(self, text: str, timeout_s: float = 300) -> str:
        """The first line with `text`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            ran = self.is_running()
            for line in (*self.out, *self.err):
                if text in line:
                    return line
            assert ran, f"the search ended without {text!r}: {self.out[-3:]} {self.err[-3:]}"
            time.sleep(0.05)
        raise AssertionError(f"{text!r} was not said: {self.out[-3:]} {self.err}")

    def most_at_once(self) -> int:
        """Trials that had been started and were not finished, at their most."""
        at_once = [0]
        for line in self.out:
            step = {"trial_started": 1, "trial_finished": -1}.get(json.loads(line)["event"], 0)
            at_once.append(at_once[-1] + step)
        return max(at_once)


class SearchHere(Watched):
    """A search in a thread of this process, on the Ray that it has joined, else on the shared one."""

    def __init__(self, folder: Path, backbone: Path, *arguments: str, text: str = GRID, quick: Sequence[str] = QUICK) -> None:
        from tuner import search

        raylets.join_shared()
        lend_tokens(folder)
        out, err = Lines(), Lines()
        self.out, self.err = out.lines, err.lines
        space = write_space(folder, backbone, text)
        run = (*quick, "--space", str(space), "--runs-dir", str(folder), "--name", "one", "--json", *arguments)
        self._status: int | None = None
        self._thread = threading.Thread(
            target=lambda: setattr(self, "_status", _quietly(search.main, run, out, err)), daemon=True
        )
        self._thread.start()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def end(self, timeout_s: float = 300) -> int:
        self._thread.join(timeout_s)
        assert self._status is not None, f"the search did not end: {self.out[-3:]} {self.err}"
        return self._status


class Search(Watched):
    """A search in a process of its own."""

    def __init__(self, folder: Path, backbone: Path, *arguments: str, text: str = GRID) -> None:
        space = write_space(folder, backbone, text)
        self.process = command("--space", str(space), "--runs-dir", str(folder), "--name", "one", "--json", *arguments)
        self.out, self.err = [], []
        self._readers = [
            threading.Thread(target=lambda stream=stream, lines=lines: lines.extend(iter(stream.readline, "")), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def is_running(self) -> bool:
        return self.process.poll() is None

    def end(self, timeout_s: float = 300) -> int:
        try:
            return self.process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the search did not end: {self.out[-3:]} {self.err}") from None
        finally:
            for reader, stream in zip(self._readers, (self.process.stdout, self.process.stderr), strict=True):
                reader.join(timeout=5)
                assert stream is not None
                stream.close()
