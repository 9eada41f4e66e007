"""Reads a run, finished or not, for its report, without changing its folder or its stores."""

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
from tuner.results import results_json
from tuner.results.pareto import best_of, front_of
from tuner.results.trial_record import UNFINISHED
from tuner.tracking import timeline

if TYPE_CHECKING:
    from tuner.config.options import Options
    from tuner.results.trial_record import TrialRecord
    from tuner.study import Importance

Trial = Mapping[str, Any]
"""An entry of `trials` in results.json; also of an unfinished trial."""
Results = Mapping[str, Any]
"""The contents of results.json."""


@dataclass(frozen=True)
class Run:
    """One search, finished or not."""

    results: Results
    stage: str
    """`finished`, `searching`, or `interrupted`."""
    trials: Sequence[Trial]
    """All trials by number, with repeats and unfinished ones."""
    events: Sequence[Mapping[str, Any]] = ()
    """From timeline.jsonl."""
    importance: Importance | None = None
    importance_note: str | None = None
    """Why there is no importance."""
    links: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Each trial's MLflow run: its id and address."""
    links_note: str | None = None
    """Why there are no links, or the command that starts their server."""
    command: str = ""
    """The command that repeats the search."""
    written: str = ""
    """When the report was made, ISO 8601."""
    now: float | None = None
    """When the report was made, seconds since 1970, if the search is running: the end of unfinished work."""

    @property
    def counted(self) -> list[Trial]:
        """The trials without repeats, which were not trained."""
        return [trial for trial in self.trials if trial.get("same_as") is None]

    @property
    def complete(self) -> list[Trial]:
        return [trial for trial in self.counted if trial["state"] == "COMPLETE" and trial["score"] is not None]

    @property
    def champion(self) -> Mapping[str, Any] | None:
        champion: Mapping[str, Any] | None = self.results["champion"]
        return champion

    @property
    def champion_number(self) -> int | None:
        """None without a champion, and for the untuned default, which is no trial."""
        return self.champion["number"] if self.champion else None

    @property
    def champion_trial(self) -> Trial | None:
        return next((trial for trial in self.counted if trial["number"] == self.champion_number), None)

    @property
    def rows(self) -> Mapping[str, Mapping[str, int]]:
        """`rows[task][split]`; empty where unknown."""
        rows: Mapping[str, Mapping[str, int]] = self.results["data"]["rows"] or {}
        return rows


def tasks_of(trials: Sequence[Trial]) -> list[str]:
    """Tasks that any of the trials trained, in the project's order."""
    trained = {task for trial in trials for task in trial["config"].get("mixture", ())}
    return [task for task in TASKS if task in trained]


def gather(folder: Path, stores: Options | None = None) -> Run:
    """The run in `folder`, an absolute path. `stores` are options with the stores' passwords; the folder's own have none.

    Raises `ConfigError` where the folder has neither results nor a study.
    """
    own_options: Options | None = None
    try:
        own_options = options.load(folder)
    except ConfigError:
        if not (folder / results_json.FILE_NAME).is_file():
            raise
    stores = stores or own_options
    results, trials, stage = _results(folder, own_options, stores)
    importance, importance_note = _importance(folder, stores, results)
    links, links_note = _links(folder, stores, results)
    now = time.time()
    return Run(
        results=results,
        stage=stage,
        trials=trials,
        events=timeline.read(folder),
        importance=importance,
        importance_note=importance_note,
        links=links,
        links_note=links_note,
        command=commands.search(own_options) if own_options else str(results["environment"].get("command", "")),
        written=datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        now=now if stage == "searching" else None,
    )


def _results(folder: Path, own_options: Options | None, stores: Options | None) -> tuple[Results, list[Trial], str]:
    """The results, trials and stage: from results.json if it has all trials of the study, else from the study."""
    is_running = run_folder.is_held(folder)
    path = folder / results_json.FILE_NAME
    written = results_json.read(path) if path.is_file() else None
    records = _records(folder, stores, required=written is None and not is_running)
    if written is None or is_running or len(written["trials"]) + len(written["unfinished"]) < len(records):
        trials = [_entry(record) for record in records]
        return _results_so_far(folder, own_options, records), trials, "searching" if is_running else "interrupted"
    known = {trial["number"] for trial in written["trials"]}
    unfinished = [_entry(record) for record in records if record.state in UNFINISHED and record.number not in known]
    trials = sorted((*written["trials"], *unfinished), key=lambda trial: int(trial["number"]))
    here = {"name": folder.name, "folder": str(folder)}  # the run may have been renamed or moved since
    return written | here, trials, "finished" if written["finished"] else "interrupted"


def _records(folder: Path, stores: Options | None, required: bool) -> list[TrialRecord]:
    """The study's trials; none where it cannot be read and they are not `required`."""
    from tuner.study import read_records

    if stores is None:
        return []
    try:
        return read_records(options.storage_of(stores, folder), run_folder.study_name(folder))
    except ConfigError:
        if required:
            raise
        return []


def _entry(record: TrialRecord) -> Trial:
    entry: Trial = results_json.finite(results_json.trial_entry(record))
    return entry


def _results_so_far(folder: Path, own_options: Options | None, records: Sequence[TrialRecord]) -> Results:
    """The results of an unfinished run: those recorded when it began, with the best trials so far."""
    began = [event["results"] for event in timeline.read(folder) if event["event"] == "began" and "results" in event]
    state = run_folder.read_state(folder)
    initial: dict[str, Any] = began[-1] if began else _unknown_results(own_options, state.started if state else None)
    best = best_of(records)
    front = front_of(records) if any(len(record.scores) > 1 for record in records) else []
    return initial | {
        "name": folder.name,
        "folder": str(folder),
        "champion": results_json.finite(results_json.champion_entry(best, None)) if best else None,
        "front": [record.number for record in front],
        "mlflow": {**initial["mlflow"], "run_id": state.mlflow_run_id if state else None},
    }


def _unknown_results(own_options: Options | None, started: str | None) -> dict[str, Any]:
    """The results of a run without a recorded beginning, such as one that is still preparing its data."""
    return {
        "space": own_options.space if own_options else "unknown",
        "seed": own_options.seed if own_options else None,
        "data": {"source": own_options.data if own_options else "unknown", "generated": False, "sha256": None, "rows": {}},
        "metric": (own_options and own_options.metric) or "the space's",
        "requirements": [],
        "controls": {},
        "started": started,
        "finished": None,
        "stopped_by": None,
        "environment": {"versions": {}, "hardware": {}, "git": None, "command": ""},
        "mlflow": {"tracking_uri": "", "experiment_id": None, "run_id": None},
        "consistency": None,
    }


def _importance(folder: Path, stores: Options | None, results: Results) -> tuple[Importance | None, str | None]:
    """The parameters' importance, or why there is none."""
    from tuner.study import read_importance

    storage = options.storage_of(stores, folder) if stores else results["optuna"]["storage"]
    try:
        return read_importance(storage, run_folder.study_name(folder)), None
    except ConfigError as error:
        return None, "; ".join(error.problems)


def _links(folder: Path, stores: Options | None, results: Results) -> tuple[dict[int, tuple[str, str]], str | None]:
    """Each trial's MLflow run, and why there are none or the command that serves them."""
    run_id = results["mlflow"]["run_id"]
    if stores is None or run_id is None:
        return {}, "There are no links to MLflow: its run of this search is not known."
    from tuner.tracking.mlflow import read_runs

    uri = options.tracking_uri_of(stores, folder)
    try:
        runs = read_runs(uri, run_id)
    except ConnectionError as error:
        return {}, f"There are no links to MLflow: its store does not answer: {error}"
    links = {
        run.number: (run.run_id, commands.mlflow_run(uri, run.experiment_id, run.run_id))
        for run in runs
        if run.number is not None
    }
    server = f"The links lead to a server on this machine; start it with: {commands.mlflow_ui(uri, None, None)}"
    return links, None if uri.startswith("http") else server
