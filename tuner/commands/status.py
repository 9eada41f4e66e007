"""Show the progress of a search, from any shell or node: `python -m tuner status RUN` only reads the run's record.

Exit status: 0 shown; 2 wrong usage, such as an unknown run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from model.config import ConfigError
from tuner.commands.run_command import DONE, execute, folder_of, print_lines, run_parser
from tuner.results.trial_record import UNFINISHED, TrialRecord

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "PAUSED")


@dataclass(frozen=True)
class UnfinishedTrial:
    """An unfinished trial: it trains, is paused, or waits for `--resume`."""

    number: int
    evaluation: int
    """Evaluations done."""
    n_evaluations: int
    score: float | None
    """At the last evaluation."""


@dataclass(frozen=True)
class Status:
    """The progress of a search."""

    name: str
    stage: str
    """`searching`, `confirming`, `finished`, or `interrupted` when no process runs it and it has not finished."""
    started: str | None
    """Start of the first session, ISO 8601."""
    wall_s: float
    """Seconds of all sessions, to within ten."""
    n_trials: int | None
    """The budget in full trials; None before the first session."""
    used: float
    """Full trials' compute used."""
    states: dict[str, int]
    """Trials by state, without repeats."""
    best: int | None
    score: float | None
    metrics: dict[str, float]
    """Of the best COMPLETE trial."""
    running: tuple[UnfinishedTrial, ...]
    paused: tuple[UnfinishedTrial, ...]
    """They hold no processes, and continue when promoted."""
    last_failure: str | None
    confirmed: tuple[int, int] | None = None
    """Finished and planned trainings of a running confirmation."""


def status(folder: Path) -> Status:
    """Read the record of the run in `folder`. Raises `ConfigError` when it does not exist."""
    from tuner.config import options, run_folder
    from tuner.results import results_json as results
    from tuner.search.confirmation.trainings import FOLDER, ConfirmationRecords
    from tuner.study import read_records

    given = options.load(folder)
    state = run_folder.read_state(folder)
    try:
        records = read_records(options.storage_of(given, folder), run_folder.study_name(folder))
    except ConfigError:
        if state is not None and not run_folder.is_held(folder):
            raise
        records = []  # the search is preparing its data
    stage = "searching" if run_folder.is_held(folder) else "interrupted"
    path = folder / results.FILE_NAME
    if stage != "searching" and path.is_file() and results.read(path)["finished"]:
        stage = "finished"
    confirmed = ConfirmationRecords(folder / FOLDER).progress() if stage != "finished" else None
    stage = "confirming" if stage == "searching" and confirmed else stage
    return replace(status_of(records, folder.name, stage, state), confirmed=confirmed)


def status_of(records: Sequence[TrialRecord], name: str, stage: str, state: Any) -> Status:
    """The status from these records; `state` is the run's state.json, None before the first session."""
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
        running=tuple(_unfinished(record) for record in trials if record.state == "RUNNING"),
        paused=tuple(_unfinished(record) for record in trials if record.state == "PAUSED"),
        last_failure=failed[-1] if failed else None,
    )


def _unfinished(record: TrialRecord) -> UnfinishedTrial:
    n_evaluations = record.config["budget"]["evaluations"] if record.config else 0
    return UnfinishedTrial(record.number, len(record.evaluations), n_evaluations, record.score)


def describe(status: Status) -> list[str]:
    """The status as lines of text."""
    from tuner.results.text import duration, number_text, one_line

    ended = sum(n for state, n in status.states.items() if state not in UNFINISHED)
    total = f" of {status.n_trials}" if status.n_trials else ""
    counts = ", ".join(f"{n} {state}" for state, n in status.states.items() if n) or "none yet"
    began = f", began {status.started}" if status.started else ""
    word = "running" if status.stage in ("searching", "confirming") else "unfinished"
    lines = [
        f"{status.name}: {status.stage}{began}, {duration(status.wall_s)} of searching",
        f"trials: {ended} ended ({counts}), {status.used:g}{total} full trials' compute used",
    ]
    if status.best is not None:
        metrics = ", ".join(f"{name} {number_text(value)}" for name, value in status.metrics.items())
        lines.append(f"best: trial {status.best}, score {number_text(status.score)} ({metrics})")
    if status.confirmed is not None:
        lines.append(f"confirmation: {status.confirmed[0]} of {status.confirmed[1]} trainings ended")
    for trial in status.running:
        place = f"evaluation {trial.evaluation} of {trial.n_evaluations}, score {number_text(trial.score)}"
        place = place if trial.n_evaluations else "its configuration is being drawn"
        lines.append(f"{word}: trial {trial.number}, {place}")
    if status.paused:
        furthest = max(status.paused, key=lambda trial: trial.evaluation)
        place = f"trial {furthest.number}, evaluation {furthest.evaluation} of {furthest.n_evaluations}"
        lines.append(f"paused: {len(status.paused)}, to go on if promoted; the furthest is {place}")
    if status.last_failure:
        lines.append(f"last failure: {one_line(status.last_failure)}")
    return lines


def parser() -> argparse.ArgumentParser:
    command = run_parser("status", "Show the progress of a search; it may be running.")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    return command


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    progress = status(folder_of(arguments))
    print_lines([json.dumps(asdict(progress))] if arguments.json else describe(progress))
    return DONE
