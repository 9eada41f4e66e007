"""Reads a run's folder, finished or not, into what a report is made from. It disturbs nothing and creates nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.tasks import TASKS
from tuner.config import command_lines as commands
from tuner.config import options, run_folder
from tuner.results import results_json as results
from tuner.results.trial_record import UNFINISHED
from tuner.tracking import timeline

if TYPE_CHECKING:
    from tuner.config.options import Options
    from tuner.results.trial_record import TrialRecord
    from tuner.study import Importance

Trial = Mapping[str, Any]
"""An entry of `trials` in results.json; of one that trains, with the state RUNNING."""


def gather(folder: Path, stores: Options | None = None) -> Run:
    """The run in `folder`, an absolute path. `stores` are options with the stores' passwords; without, the folder's own.

    Raises `ConfigError` where it has no results and no record.
    """
    given = _options(folder)
    stores = stores or given
    found, trials, stage = _record(folder, given, stores)
    events = timeline.read(folder)
    weights, importance_note = _importance(folder, stores, found)
    links, links_note = _links(folder, stores, found)
    now = time.time()
    return Run(
        results=found,
        stage=stage,
        trials=trials,
        events=events,
        importance=weights,
        importance_note=importance_note,
        links=links,
        links_note=links_note,
        command=_command(given, found),
        written=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        now=now if stage == "searching" else None,
    )


def _options(folder: Path) -> Options | None:
    """None for results.json in a folder of its own."""
    try:
        return options.load(folder)
    except ConfigError:
        if not (folder / results.FILE_NAME).is_file():
            raise
        return None


def _record(
    folder: Path, given: Options | None, stores: Options | None
) -> tuple[Mapping[str, Any], list[Mapping[str, Any]], str]:
    """The results, the trials and the stage: results.json where it holds all trials, else the record so far."""
    is_held = run_folder.is_held(folder)
    path = folder / results.FILE_NAME
    written = results.read(path) if path.is_file() else None
    records = _records(folder, stores, needed=written is None and not is_held)
    if written is not None and not is_held and len(written["trials"]) + len(written["unfinished"]) >= len(records):
        return written, _with_unfinished(written["trials"], records), "finished" if written["finished"] else "interrupted"
    stage = "searching" if is_held else "interrupted"
    return _so_far(folder, given, records), [_entry(record) for record in records], stage


def _records(folder: Path, stores: Options | None, needed: bool) -> list[TrialRecord]:
    from tuner.study import read_records

    if stores is None:
        return []
    try:
        return read_records(options.storage_of(stores, folder), folder.name)
    except ConfigError:
        if needed:
            raise
        return []


def _entry(record: TrialRecord) -> dict[str, Any]:
    entry: dict[str, Any] = results.finite(results.trial_entry(record))
    return entry


def _with_unfinished(entries: Sequence[Mapping[str, Any]], records: Sequence[TrialRecord]) -> list[Mapping[str, Any]]:
    known = {entry["number"] for entry in entries}
    rest = [_entry(record) for record in records if record.state in UNFINISHED and record.number not in known]
    return sorted((*entries, *rest), key=lambda entry: int(entry["number"]))


def _so_far(folder: Path, given: Options | None, records: Sequence[TrialRecord]) -> Mapping[str, Any]:
    """results.json of a run that has not come to its end: what was known when it began, and the best so far."""
    from tuner.results.pareto import best_of, front_of

    began = [event["results"] for event in timeline.read(folder) if event["event"] == "began" and "results" in event]
    known: dict[str, Any] = began[-1] if began else _unknown(folder, given)
    state = run_folder.read_state(folder)
    best = best_of(records)
    front = front_of(records) if any(len(record.scores) > 1 for record in records) else []
    champion = results.finite(results.champion_entry(best, None)) if best else None
    return known | {
        "name": folder.name,
        "folder": str(folder),
        "champion": champion,
        "front": [record.number for record in front],
        "mlflow": {**known["mlflow"], "run_id": state.mlflow_run_id if state else None},
    }


def _unknown(folder: Path, given: Options | None) -> dict[str, Any]:
    """Where not even the beginning was recorded, as in a run that still prepares its data."""
    state = run_folder.read_state(folder)
    return {
        "space": given.space if given else "unknown",
        "seed": given.seed if given else None,
        "data": {"source": given.data if given else "unknown", "generated": False, "sha256": None, "rows": {}},
        "metric": (given and given.metric) or "the space's",
        "requirements": [],
        "controls": {},
        "started": state and state.started,
        "finished": None,
        "stopped_by": None,
        "environment": {"versions": {}, "hardware": {}, "git": None, "command": ""},
        "mlflow": {"tracking_uri": "", "experiment_id": None, "run_id": None},
        "consistency": None,
    }


def _importance(folder: Path, given: Options | None, found: Mapping[str, Any]) -> tuple[Importance | None, str | None]:
    from tuner.study import read_importance

    storage = options.storage_of(given, folder) if given else found["optuna"]["storage"]
    try:
        return read_importance(storage, folder.name if given else found["optuna"]["study_name"]), None
    except ConfigError as error:
        return None, "; ".join(error.problems)


def _links(folder: Path, given: Options | None, found: Mapping[str, Any]) -> tuple[dict[int, tuple[str, str]], str | None]:
    """Each trial's MLflow run, and why there are none, or what serves them."""
    run_id = found["mlflow"]["run_id"]
    if given is None or run_id is None:
        return {}, "There are no links to MLflow, whose run of this search is not known."
    from tuner.tracking.mlflow import read_runs

    uri = options.tracking_uri_of(given, folder)
    try:
        runs = read_runs(uri, run_id)
    except ConnectionError as error:
        return {}, f"There are no links to MLflow, whose store does not answer: {error}"
    addresses = {run.number: (run.run_id, commands.mlflow_run(uri, run.experiment_id, run.run_id)) for run in runs}
    links = {number: address for number, address in addresses.items() if number is not None}
    serve = f"The links lead to a server on this machine, which this starts: {commands.mlflow_ui(uri, None, None)}"
    return links, None if uri.startswith("http") else serve


def _command(given: Options | None, found: Mapping[str, Any]) -> str:
    """The search's options as they were given, else the command that last ran it."""
    return commands.search(given) if given else str(found["environment"].get("command", ""))


@dataclass(frozen=True)
class Run:
    """One search, finished or not."""

    results: Mapping[str, Any]
    """As in results.json."""
    stage: str
    """`finished`, `searching`, or `interrupted`."""
    trials: Sequence[Trial]
    """All of them by number, also those that train; repeats among them."""
    events: Sequence[Mapping[str, Any]] = ()
    """Of timeline.jsonl."""
    importance: Importance | None = None
    importance_note: str | None = None
    """Why there is none."""
    links: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Each trial's MLflow run: its id and address."""
    links_note: str | None = None
    """What must be known of them: why there are none, or what serves them."""
    command: str = ""
    """What does the search again."""
    written: str = ""
    """When the report was made, ISO 8601."""
    now: float | None = None
    """The same in seconds since 1970: the end of what still runs."""

    @property
    def counted(self) -> list[Trial]:
        """The trials that were trained, without repeats."""
        return [trial for trial in self.trials if trial.get("same_as") is None]

    @property
    def complete(self) -> list[Trial]:
        return [trial for trial in self.counted if trial["state"] == "COMPLETE" and trial["score"] is not None]

    @property
    def champion(self) -> Mapping[str, Any] | None:
        found: Mapping[str, Any] | None = self.results["champion"]
        return found

    @property
    def champion_number(self) -> int | None:
        """None without a champion, and where the untuned default won, which is no trial."""
        number = None if self.champion is None else self.champion["number"]
        return None if number is None else int(number)

    @property
    def rows(self) -> Mapping[str, Mapping[str, int]]:
        """`rows[task][split]`; empty where it is not known."""
        found: Mapping[str, Mapping[str, int]] = self.results["data"]["rows"] or {}
        return found


def tasks_of(trials: Sequence[Trial]) -> list[str]:
    """Tasks that any of the trials trained, in the project's order."""
    seen = {task for trial in trials for task in trial["config"].get("mixture", ())}
    return [task for task in TASKS if task in seen]
