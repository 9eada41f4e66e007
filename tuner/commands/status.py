"""Show how far a search is, from any shell or node: `python -m tuner status RUN` only reads the run's record.

Exit status: 0 shown; 2 wrong usage, such as no such run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model.config import ConfigError
from tuner.commands.run_command import DONE, execute, folder_of, run_parser
from tuner.results.trial_record import UNFINISHED, TrialRecord

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "PAUSED")


@dataclass(frozen=True)
class Running:
    """A trial that trains, is paused, or waits for `--resume`."""

    number: int
    evaluation: int
    """Evaluations made."""
    n_evaluations: int
    score: float | None
    """At the last of them."""


@dataclass(frozen=True)
class Status:
    """How a search stands."""

    name: str
    stage: str
    """`searching`, `confirming`, `finished`, or `interrupted` where no process runs it and it did not come to its end."""
    started: str | None
    """When its first session began, ISO 8601."""
    wall_s: float
    """Seconds that its sessions have searched, to within ten."""
    n_trials: int | None
    """Full trials whose compute it may use, None where it never began."""
    used: float
    """Full trials that its trials have used."""
    states: dict[str, int]
    """Trials by state; repeats are not trials."""
    best: int | None
    score: float | None
    metrics: dict[str, float]
    """Of the best COMPLETE trial."""
    running: tuple[Running, ...]
    paused: tuple[Running, ...]
    """They hold no processes, and go on if they are promoted."""
    last_failure: str | None
    confirmed: tuple[int, int] | None = None
    """Trainings of the confirmation that have ended, and all of them, where it is under way."""


def status(folder: Path) -> Status:
    """Read the record of the run in `folder`. Raises `ConfigError` when there is none."""
    from tuner.config import options, run_folder
    from tuner.results import results_json as results
    from tuner.search.confirmation.records import FOLDER, ConfirmationRecords
    from tuner.study import read_records

    given = options.load(folder)
    state = run_folder.read_state(folder)
    try:
        records = read_records(options.storage_of(given, folder), folder.name)
    except ConfigError:
        if state is not None and not run_folder.is_held(folder):
            raise
        records = []  # it is still preparing its data
    stage = "searching" if run_folder.is_held(folder) else "interrupted"
    path = folder / results.FILE_NAME
    if stage != "searching" and path.is_file() and results.read(path)["finished"]:
        stage = "finished"
    confirmed = ConfirmationRecords(folder / FOLDER).progress() if stage != "finished" else None
    stage = "confirming" if stage == "searching" and confirmed else stage
    return replace(of(records, folder.name, stage, state), confirmed=confirmed)


def of(records: Sequence[TrialRecord], name: str, stage: str, state: Any) -> Status:
    """The status that these records make; `state` is what sessions hand on, None before the first has begun."""
    from tuner.results.pareto import best_of

    trials = [record for record in records if record.same_as is None]
    best = best_of(trials)
    failed = [record.reason for record in trials if record.state == "FAIL"]
    return Status(
        name=name,
        stage=stage,
        started=state and state.started,
        wall_s=state.wall_s if state else 0.0,
        n_trials=state and state.n_trials,
        used=round(sum(record.share for record in records), 3),
        states={word: sum(record.state == word for record in trials) for word in STATES},
        best=best.number if best else None,
        score=best.score if best else None,
        metrics=dict(best.metrics) if best else {},
        running=tuple(_running(record) for record in trials if record.state == "RUNNING"),
        paused=tuple(_running(record) for record in trials if record.state == "PAUSED"),
        last_failure=failed[-1] if failed else None,
    )


def _running(record: TrialRecord) -> Running:
    n_evaluations = record.config["budget"]["evaluations"] if record.config else 0
    return Running(record.number, len(record.evaluations), n_evaluations, record.score)


def describe(found: Status) -> list[str]:
    """Lines for people."""
    from tuner.results.text import duration, number_text, one_line

    ended = sum(n for state, n in found.states.items() if state not in UNFINISHED)
    total = f" of {found.n_trials}" if found.n_trials else ""
    counts = ", ".join(f"{n} {state}" for state, n in found.states.items() if n) or "none yet"
    began = f", began {found.started}" if found.started else ""
    word = "running" if found.stage in ("searching", "confirming") else "unfinished"
    lines = [
        f"{found.name}: {found.stage}{began}, {duration(found.wall_s)} of searching",
        f"trials: {ended} ended ({counts}), {found.used:g}{total} full trials' compute used",
    ]
    if found.best is not None:
        metrics = ", ".join(f"{name} {number_text(value)}" for name, value in found.metrics.items())
        lines.append(f"best: trial {found.best}, score {number_text(found.score)} ({metrics})")
    if found.confirmed is not None:
        lines.append(f"confirmation: {found.confirmed[0]} of {found.confirmed[1]} trainings ended")
    for trial in found.running:
        place = f"evaluation {trial.evaluation} of {trial.n_evaluations}, score {number_text(trial.score)}"
        place = place if trial.n_evaluations else "its configuration is being drawn"
        lines.append(f"{word}: trial {trial.number}, {place}")
    if found.paused:
        furthest = max(found.paused, key=lambda trial: trial.evaluation)
        place = f"trial {furthest.number}, evaluation {furthest.evaluation} of {furthest.n_evaluations}"
        lines.append(f"paused: {len(found.paused)}, to go on if promoted; the furthest is {place}")
    if found.last_failure:
        lines.append(f"last failure: {one_line(found.last_failure)}")
    return lines


def parser() -> argparse.ArgumentParser:
    text = run_parser("status", "Show how far a search is; it may be running.")
    text.add_argument("--json", action="store_true", help="print one JSON object")
    return text


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    found = status(folder_of(arguments))
    lines = [json.dumps(asdict(found))] if arguments.json else describe(found)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return DONE
