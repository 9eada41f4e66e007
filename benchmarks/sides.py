"""The two sides of a comparison, each as a command of its own with a Ray of its own: our search and stock Ray's.

Both leave the same record: when each trial's first step began and its last one ended, and which scores whole trials came to.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.arguments import WRONG_USAGE
from model.config import ConfigError
from tuner.config.options import Options
from tuner.tracking import timeline

WIDTH = 150
OURS, STOCK = "ours", "stock Ray"
TINY = "tiny"
"""As `--backbone`: two random layers, so that trials take next to no time."""


@dataclass(frozen=True)
class TrialTimes:
    """Seconds since 1970, by the clock of the process that trained it."""

    first_step: float
    """When it began."""
    last_step: float
    """When it ended."""
    evaluated: float
    """When the last evaluation had ended."""


@dataclass(frozen=True)
class Ran:
    """A search that has ended."""

    began: float
    """When its command was given."""
    ended: float
    """When that had returned."""
    trials: tuple[TrialTimes, ...]
    """Those that trained a step."""
    found: tuple[tuple[float, float], ...]
    """(when, score) of every trial that trained to its end, in order."""

    def reached_s(self, target: float) -> float:
        """Seconds from the command to the first whole trial with this score; infinite where none has it."""
        return next((at - self.began for at, score in self.found if score >= target), math.inf)

    @property
    def best(self) -> float:
        return max((score for _, score in self.found), default=math.nan)

    @property
    def first_step_s(self) -> float:
        """Seconds from the command to the first step of all."""
        return min((trial.first_step for trial in self.trials), default=math.inf) - self.began


def arguments_of(options: Options) -> list[str]:
    """The options that both commands take."""
    given = [f"--space={options.space}", f"--data={options.data}", f"--trials={options.trials}", f"--seed={options.seed}"]
    given += [f"--set={text}" for text in options.settings]
    named = {"profile": options.profile, "backbone": options.backbone}
    return [*given, *(f"--{name}={value}" for name, value in named.items() if value is not None)]


def ours(options: Options, target: float | None = None, *, preflight: bool = True) -> Ran:
    """`python -m tuner.search`, from the command to its end."""
    with TemporaryDirectory() as folder:
        command = ["tuner.search", *arguments_of(options), f"--max-concurrent={options.max_concurrent}", "--finalists=0"]
        command += ["--no-register", "--quiet", f"--runs-dir={folder}", "--name=ours"]
        command += ["--no-preflight"] * (not preflight) + [f"--target={target}"] * (target is not None)
        began, ended = timed(command)
        run = Path(folder, "ours")
        scores = {trial["number"]: trial["score"] for trial in json.loads((run / "results.json").read_text())["trials"]}
        return of_timeline(timeline.read(run), scores, began, ended)


def stock(options: Options, target: float | None = None) -> Ran:
    """`python -m benchmarks.stock_ray`, from the command to its end."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "stock.json")
        command = ["benchmarks.stock_ray", *arguments_of(options), f"--slots={options.max_concurrent}", f"--json={path}"]
        command += [f"--target={target}"] * (target is not None)
        began, ended = timed(command)
        found = json.loads(path.read_text())
        for error in found["errors"]:
            print(f"stock Ray: {error}", file=sys.stderr)
        return of_stock(found, began, ended)


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Run a module; when it was started and when it had ended. Its exit status must be 0 or a search's own.

    Raises `ConfigError` with its words where its options are wrong.
    """
    began = time.time()
    quiet = {"PYTHONWARNINGS": "ignore", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env={**os.environ, **quiet}, capture_output=True, text=True, check=False
    )
    if done.returncode == WRONG_USAGE:
        raise ConfigError(done.stderr.splitlines())
    if done.returncode not in (0, 1, 3):
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return began, time.time()


def of_timeline(events: Iterable[Mapping[str, Any]], scores: Mapping[int, float | None], began: float, ended: float) -> Ran:
    """From a run's timeline and its trials' scores."""
    first: dict[int, float] = {}
    last: dict[int, TrialTimes] = {}
    found = []
    for event in events:
        number = event.get("trial", -1)
        if event["event"] == "evaluated":
            trained = event["trained_at"]
            begun = first.setdefault(number, trained - (event["seconds"] - event["evaluation_s"]))
            last[number] = TrialTimes(begun, trained, trained + event["evaluation_s"])
        elif event["event"] == "finished" and event["state"] == "COMPLETE":
            found.append((float(event["at"]), float(scores[number] or math.nan)))
    return Ran(began, ended, tuple(last.values()), tuple(found))


def of_stock(told: Mapping[str, Any], began: float, ended: float) -> Ran:
    """From what `benchmarks.stock_ray` wrote."""
    trials = tuple(
        TrialTimes(trial["first_step"], trial["last_step"], max(trial["evaluated"] or 0.0, trial["last_step"]))
        for trial in told["trials"]
        if trial["first_step"] is not None
    )
    return Ran(began, ended, trials, tuple((one["at"], one["score"]) for one in told["reports"] if one["is_last"]))


def gaps(trials: Sequence[TrialTimes], n_slots: int, *, after_evaluation: bool = False) -> list[float]:
    """Seconds between a trial's last step and the first step of the next in its slot, in the order of those.

    A trial takes the slot that has been free longest. `after_evaluation` counts from the end of the last evaluation.
    """
    free: list[float] = []
    found = []
    for number, trial in enumerate(sorted(trials, key=lambda trial: trial.first_step)):
        if number >= n_slots:
            free.sort()
            found.append(trial.first_step - free.pop(0))
        free.append(trial.evaluated if after_evaluation else trial.last_step)
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed; NaN without any."""
    if not values:
        return math.nan
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def median_and_range(values: Sequence[float], digits: int = 1) -> str:
    """Such as `1.5 (1.2 … 2.0)`; `-` without values."""
    if not values:
        return "-"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} … {max(values):.{digits}f})"


def table(*columns: str) -> Table:
    """A plain table: words, then figures."""
    made = Table(box=None, pad_edge=False)
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number else "left")
    return made


def show(made: Table) -> None:
    """Print it unbroken, also where there is no terminal to fit."""
    Console(width=WIDTH).print(made)


@contextmanager
def backbone_of(name: str | None) -> Iterator[str | None]:
    """The backbone as both commands take it, which `tiny` is made for."""
    if name != TINY:
        yield name
        return
    from tests.support.tiny import write_backbone

    with TemporaryDirectory() as folder:
        yield str(write_backbone(Path(folder)))
