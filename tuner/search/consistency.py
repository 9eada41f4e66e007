"""Compares what the stores of a search have recorded, trial by trial: number, state, score and reason.

The stores are Optuna's storage, MLflow's runs, results.json and `champion/`. The comparison runs at the end of every search,
with Tune's final statuses too, and in the command `check`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.data.file_contents import read_yaml
from tuner.results import results_json as results
from tuner.results.text import champion_name
from tuner.results.trial_record import INTERRUPTED, UNFINISHED, TrialRecord
from tuner.tracking.mlflow import PAUSED_STATUS, STATUS, RunFound, as_tag, read_runs

CHAMPION, CHAMPION_RECORD = "champion", "config.yaml"
RESULTS, OPTUNA, MLFLOW = results.FILE_NAME, "Optuna", "MLflow"


@dataclass(frozen=True)
class Entry:
    """A trial as one store has it."""

    state: str
    score: float | None
    reason: str | None

    @classmethod
    def of(cls, trial: Mapping[str, Any], *, as_tags: bool = False) -> Entry:
        """The entry of a trial or training in results.json; `as_tags` shortens the reason as MLflow's tags do."""
        reason = trial["reason"]
        return cls(trial["state"], trial["score"], as_tag(reason) if reason and as_tags else reason)

    def __str__(self) -> str:
        """Such as `PRUNED, score 0.3, "pruned by median …"`."""
        score = "no score" if self.score is None else f"score {self.score:.17g}"
        return f"{self.state}, {score}" + (f', "{self.reason}"' if self.reason else "")

    def agrees(self, other: Entry) -> bool:
        """Whether both are equal, scores up to a rounding error."""
        return (self.state, self.reason) == (other.state, other.reason) and _equal(self.score, other.score)


@dataclass(frozen=True)
class Findings:
    """The result of a comparison."""

    disagreements: list[str]
    notes: list[str]
    """What could not be compared, and why."""


def check(
    folder: Path, found: Mapping[str, Any], storage: str, tracking_uri: str, tune: Mapping[int, str] | None = None
) -> Findings:
    """Compare the stores of the run in `folder`, where `found` are the contents of results.json.

    `tune` has Tune's final status of each trial, where known. `storage` and `tracking_uri` contain the passwords that
    results.json lacks.
    """
    from tuner.study import read_records

    unfinished = set(found["unfinished"])
    disagreements, notes = [], []
    try:
        records = read_records(storage, found["optuna"]["study_name"])
        entries = {trial["number"]: Entry.of(trial) for trial in found["trials"]}
        disagreements += compare(entries, RESULTS, optuna_entries(records, unfinished), OPTUNA)
        disagreements += tune_disagreements(tune or {}, {record.number: record for record in records}, unfinished)
    except ConfigError as error:
        disagreements += error.problems
    try:
        run_id = found["mlflow"]["run_id"]
        if run_id is None:
            raise ConnectionError("it never answered during the search")
        runs = read_runs(tracking_uri, run_id)
        disagreements += mlflow_disagreements(found["trials"], runs, unfinished)
        disagreements += finalist_disagreements(found.get("confirmation"), runs)
    except ConnectionError as error:
        notes.append(f"MLflow was not compared: {error}")
    return Findings(disagreements + champion_disagreements(folder / CHAMPION, found), notes)


def compare(one: Mapping[int, Entry], one_name: str, other: Mapping[int, Entry], other_name: str) -> list[str]:
    """A sentence for each trial of which two stores have different entries, and for each that `other` has as unfinished."""
    sentences = []
    for number in sorted(set(one) | set(other)):
        if number not in other:
            sentences.append(f"trial {number}: {one_name} says {one[number]}, and {other_name} does not have it")
        elif other[number].state in UNFINISHED:
            sentences.append(f"trial {number} is still {other[number].state} in {other_name}")
        elif number not in one:
            sentences.append(f"trial {number}: {other_name} says {other[number]}, and {one_name} does not have it")
        elif not one[number].agrees(other[number]):
            sentences.append(f"trial {number}: {one_name} says {one[number]}; {other_name} says {other[number]}")
    return sentences


def optuna_entries(records: Sequence[TrialRecord], unfinished: Collection[int] = ()) -> dict[int, Entry]:
    """The entries of all trials but the paused ones among the `unfinished`, which a resumed search continues."""
    return {
        record.number: Entry(record.state, record.score, record.reason)
        for record in records
        if not (record.state == "PAUSED" and record.number in unfinished)
    }


def mlflow_disagreements(
    trials: Sequence[Mapping[str, Any]], runs: Sequence[RunFound], unfinished: Collection[int] = ()
) -> list[str]:
    """Sentences on the parent run, the first of `runs`, and on those of trials; `trials` are the entries of results.json."""
    parent, *others = runs
    children = [run for run in others if run.training is None]
    sentences = [f"the search is still {parent.status} in MLflow"] if parent.status == "RUNNING" else []
    counts = Counter(run.number for run in children)
    sentences += [f"MLflow has {n} runs of trial {number}" for number, n in counts.items() if n > 1]
    by_number = {run.number: run for run in children if run.number is not None and not _continues(run, unfinished)}
    expected = STATUS | {"PAUSED": PAUSED_STATUS}
    sentences += [
        f"trial {number}: MLflow has the status {run.status} and the tag state {run.state}, which do not go together"
        for number, run in by_number.items()
        if run.status not in ("RUNNING", expected.get(run.state or ""))
    ]
    entries = {trial["number"]: Entry.of(trial, as_tags=True) for trial in trials}
    return sentences + compare(entries, RESULTS, {number: _entry_of(run) for number, run in by_number.items()}, MLFLOW)


def finalist_disagreements(confirmation: Mapping[str, Any] | None, runs: Sequence[RunFound]) -> list[str]:
    """Sentences on the confirmation's trainings; none without a confirmation."""
    by_training = {run.training: run for run in runs if run.training is not None}
    sentences = []
    for finalist in confirmation["finalists"] if confirmation else ():
        for training in finalist["trainings"]:
            entry, run = Entry.of(training, as_tags=True), by_training.get(training["number"])
            name = f"finalist {finalist['name']} seed {training['seed']}"
            if run is None:
                sentences.append(f"{name}: {RESULTS} says {entry}, and {MLFLOW} does not have it")
            elif not entry.agrees(_entry_of(run)):
                sentences.append(f"{name}: {RESULTS} says {entry}; {MLFLOW} says {_entry_of(run)}")
    return sentences


def _continues(run: RunFound, unfinished: Collection[int]) -> bool:
    """Whether it is correctly marked as the run of a trial that a resumed search continues."""
    is_paused = run.status == PAUSED_STATUS and run.state == "PAUSED"
    return run.number in unfinished and (is_paused or (run.status == "KILLED" and run.reason == INTERRUPTED))


def _entry_of(run: RunFound) -> Entry:
    """A run's entry. The run of a failed trial keeps its metrics, but the trial has no score."""
    state = "RUNNING" if run.status == "RUNNING" else run.state or run.status
    return Entry(state, None if state == "FAIL" else run.score, run.reason)


def tune_disagreements(
    tune: Mapping[int, str], records: Mapping[int, TrialRecord], unfinished: Collection[int] = ()
) -> list[str]:
    """Sentences on finished trials that Tune did not end as TERMINATED, or as ERROR where the trial failed."""
    sentences = []
    for number in sorted(set(tune) - set(unfinished)):
        status, state = tune[number], records[number].state if number in records else "nothing"
        if number not in records or not (status == "TERMINATED" or (status == "ERROR" and state == "FAIL")):
            sentences.append(f"trial {number}: Tune says {status}, and {OPTUNA} says {state}")
    return sentences


def champion_disagreements(folder: Path, found: Mapping[str, Any]) -> list[str]:
    """Sentences on a champion that is neither a complete trial nor the first finalist, or differs from it or its model."""
    champion = found["champion"]
    if champion is None:
        return [f"{CHAMPION}/ is there, but {RESULTS} names no champion"] if folder.exists() else []
    name = f"the champion, {champion_name(champion)},"
    source, where = _source(champion, found)
    if source is None or source["state"] != "COMPLETE":
        return [f"{name} is {source['state'] if source else 'not'} among {where}; a champion is COMPLETE"]
    sentences = []
    if not _equal(champion["score"], source["score"]) or not _equal_all(champion["metrics"], source["metrics"]):
        sentences.append(
            f"{name} has the score {champion['score']} and {_text(champion['metrics'])}, "
            f"but its training {source['score']} and {_text(source['metrics'])}"
        )
    return sentences + _model_disagreements(folder / CHAMPION_RECORD, name, source["metrics"])


def _source(champion: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The trial or the finalist's training that the champion's model comes from, and the name of the list it must be in."""
    confirmed = champion.get("confirmed")
    if not confirmed:
        entries, number, where = found["trials"], champion["number"], f"the trials of {RESULTS}"
    else:
        finalists = found["confirmation"]["finalists"]
        firsts = [one for one in finalists if one["rank"] == 1 and one["trial"] == champion["number"]]
        entries = [training for finalist in firsts for training in finalist["trainings"]]
        number, where = confirmed["training"], f"the trainings of the first finalist in {RESULTS}"
    return next((entry for entry in entries if entry["number"] == number), None), where


def _model_disagreements(path: Path, name: str, metrics: Mapping[str, float]) -> list[str]:
    try:
        saved = read_yaml(path)["metrics"]
    except FileNotFoundError:
        return [f"{name} has no model: {path} does not exist"]
    except (OSError, ConfigError, KeyError, TypeError) as error:
        return [f"{name} has a model that cannot be read: {path}: {' '.join(str(error).split())}"]
    if _equal_all(saved, metrics):
        return []
    return [f"{name} has {_text(metrics)} in {RESULTS}, but {_text(saved)} in {CHAMPION}/{CHAMPION_RECORD}"]


def _equal(one: float | None, other: float | None) -> bool:
    """Whether both are equal up to the rounding of a database's text form."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _equal_all(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return set(one) == set(other) and all(_equal(one[name], other[name]) for name in one)


def _text(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in metrics.items()) or "no metrics"
