"""Check that everything a search has stored agrees.

Optuna's storage, MLflow's runs, results.json and `champion/` are compared trial by trial: number, state, score and reason. It
also runs at the end of every search, where Tune's own last word on each trial is compared too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError
from tuner.results import results_json as results
from tuner.results.text import champion_name
from tuner.results.trial_record import INTERRUPTED, UNFINISHED, TrialRecord
from tuner.tracking.mlflow import PAUSED_STATUS, STATUS, RunFound, as_tag, read_runs

CHAMPION, CHAMPION_RECORD = "champion", "config.yaml"
RESULTS, OPTUNA, MLFLOW = results.FILE_NAME, "Optuna", "MLflow"


@dataclass(frozen=True)
class Told:
    """What a store says of a trial."""

    state: str
    score: float | None
    reason: str | None

    def __str__(self) -> str:
        """Such as `PRUNED, score 0.3, "pruned by median …"`."""
        score = "no score" if self.score is None else f"score {self.score:.17g}"
        return f"{self.state}, {score}" + (f', "{self.reason}"' if self.reason else "")

    def agrees(self, other: Told) -> bool:
        return (self.state, self.reason) == (other.state, other.reason) and _equal(self.score, other.score)


@dataclass(frozen=True)
class Findings:
    """What a check found."""

    disagreements: list[str]
    notes: list[str]
    """What could not be compared, and why."""


def check(
    folder: Path, found: Mapping[str, Any], storage: str, tracking_uri: str, tune: Mapping[int, str] | None = None
) -> Findings:
    """Compare the stores of the run in `folder`, whose results.json is `found`.

    `tune` holds Tune's states where they are known; `storage` and `tracking_uri` are the addresses with their passwords,
    which results.json has not.
    """
    from tuner.study import read_records

    told = {trial["number"]: Told(trial["state"], trial["score"], trial["reason"]) for trial in found["trials"]}
    unfinished = set(found["unfinished"])
    disagreements, notes = [], []
    try:
        records = read_records(storage, found["optuna"]["study_name"])
        disagreements += compare(told, RESULTS, optuna_told(records, unfinished), OPTUNA)
        disagreements += tune_disagreements(tune or {}, {record.number: record for record in records}, unfinished)
    except ConfigError as error:
        disagreements += error.problems
    try:
        run_id = found["mlflow"]["run_id"]
        if run_id is None:
            raise ConnectionError("it never answered during the search")
        runs = read_runs(tracking_uri, run_id)
        disagreements += mlflow_disagreements(told, runs, unfinished)
        disagreements += finalist_disagreements(found.get("confirmation"), runs)
    except ConnectionError as error:
        notes.append(f"MLflow was not compared: {error}")
    return Findings(disagreements + champion_disagreements(folder / CHAMPION, found), notes)


def compare(one: Mapping[int, Told], one_name: str, other: Mapping[int, Told], other_name: str) -> list[str]:
    """A sentence for each trial of which two stores do not say the same. After a search, nothing is RUNNING or PAUSED."""
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


def optuna_told(records: Sequence[TrialRecord], unfinished: Collection[int] = ()) -> dict[int, Told]:
    """All trials but the unfinished ones that are paused, which wait for a resumed search."""
    waiting = {record.number for record in records if record.state == "PAUSED" and record.number in unfinished}
    return {one.number: Told(one.state, one.score, one.reason) for one in records if one.number not in waiting}


def mlflow_disagreements(told: Mapping[int, Told], runs: Sequence[RunFound], unfinished: Collection[int] = ()) -> list[str]:
    """What is wrong with the parent run (the first) and with the trials. The rest is what results.json says."""
    parent, *others = runs
    children = [run for run in others if run.training is None]
    sentences = [f"the search is still {parent.status} in MLflow"] if parent.status == "RUNNING" else []
    counts = Counter(run.number for run in children)
    sentences += [f"MLflow has {n} runs of trial {number}" for number, n in counts.items() if n > 1]
    there = {run.number: run for run in children if run.number is not None and not _waits(run, unfinished)}
    sentences += [
        f"trial {number}: MLflow has the status {run.status} and the tag state {run.state}, which do not go together"
        for number, run in there.items()
        if not _status_fits(run)
    ]
    as_tags = {n: Told(t.state, t.score, as_tag(t.reason) if t.reason else None) for n, t in told.items()}
    return sentences + compare(as_tags, RESULTS, {number: _mlflow_told(run) for number, run in there.items()}, MLFLOW)


def finalist_disagreements(confirmation: Mapping[str, Any] | None, runs: Sequence[RunFound]) -> list[str]:
    """A sentence for each training of a finalist of which MLflow says something else; nothing before a confirmation's end."""
    there = {run.training: run for run in runs if run.training is not None}
    sentences = []
    for one in confirmation["finalists"] if confirmation else ():
        for training in one["trainings"]:
            told = Told(training["state"], training["score"], as_tag(training["reason"]) if training["reason"] else None)
            run = there.get(training["number"])
            name = f"finalist {one['name']} seed {training['seed']}"
            if run is None:
                sentences.append(f"{name}: {RESULTS} says {told}, and {MLFLOW} does not have it")
            elif not told.agrees(_mlflow_told(run)):
                sentences.append(f"{name}: {RESULTS} says {told}; {MLFLOW} says {_mlflow_told(run)}")
    return sentences


def _waits(run: RunFound, unfinished: Collection[int]) -> bool:
    """Whether it is the run of a trial that a resumed search goes on with, and says so."""
    is_paused = run.status == PAUSED_STATUS and run.state == "PAUSED"
    return run.number in unfinished and (is_paused or (run.status == "KILLED" and run.reason == INTERRUPTED))


def _status_fits(run: RunFound) -> bool:
    """Whether the status is that of the state. RUNNING is told by `compare`."""
    return run.status in ("RUNNING", (STATUS | {"PAUSED": PAUSED_STATUS}).get(run.state or ""))


def _mlflow_told(run: RunFound) -> Told:
    """A run as a trial. A failed trial has no score, though its run keeps what was measured before it failed."""
    state = "RUNNING" if run.status == "RUNNING" else run.state or run.status
    return Told(state, None if state == "FAIL" else run.score, run.reason)


def tune_disagreements(
    tune: Mapping[int, str], records: Mapping[int, TrialRecord], unfinished: Collection[int] = ()
) -> list[str]:
    """Tune ends a trial as TERMINATED or, where it gave it up, as ERROR. An unfinished one may have no end."""
    sentences = []
    for number in sorted(set(tune) - set(unfinished)):
        status, state = tune[number], records[number].state if number in records else "nothing"
        if number not in records or not (status == "TERMINATED" or (status == "ERROR" and state == "FAIL")):
            sentences.append(f"trial {number}: Tune says {status}, and {OPTUNA} says {state}")
    return sentences


def champion_disagreements(folder: Path, found: Mapping[str, Any]) -> list[str]:
    """Whether the champion is a complete trial or the first finalist, with its score and metrics, as its model has."""
    champion = found["champion"]
    trials = {trial["number"]: trial for trial in found["trials"]}
    if champion is None:
        return [f"{CHAMPION}/ is there, but {RESULTS} names no champion"] if folder.exists() else []
    name = f"the champion, {champion_name(champion)},"
    source, where = _source(champion, found, trials)
    if source is None or source["state"] != "COMPLETE":
        return [f"{name} is {source['state'] if source else 'not'} among {where}; a champion is COMPLETE"]
    sentences = []
    if not _equal(champion["score"], source["score"]) or not _equal_all(champion["metrics"], source["metrics"]):
        sentences.append(
            f"{name} has the score {champion['score']} and {_said(champion['metrics'])}, "
            f"but its training {source['score']} and {_said(source['metrics'])}"
        )
    return sentences + _model_disagreements(folder / CHAMPION_RECORD, name, source["metrics"])


def _source(
    champion: Mapping[str, Any], found: Mapping[str, Any], trials: Mapping[int, Mapping[str, Any]]
) -> tuple[Mapping[str, Any] | None, str]:
    """The entry that the champion's model comes from, and where it must be: its trial, or the training that confirmed it."""
    if not champion.get("confirmed"):
        return trials.get(champion["number"]), f"the trials of {RESULTS}"
    firsts = [one for one in found["confirmation"]["finalists"] if one["rank"] == 1 and one["trial"] == champion["number"]]
    entries = {training["number"]: training for one in firsts for training in one["trainings"]}
    return entries.get(champion["confirmed"]["training"]), f"the trainings of the first finalist in {RESULTS}"


def _model_disagreements(path: Path, name: str, metrics: Mapping[str, float]) -> list[str]:
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))["metrics"]
    except FileNotFoundError:
        return [f"{name} has no model: {path} does not exist"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        return [f"{name} has a model that cannot be read: {path}: {' '.join(str(error).split())}"]
    if _equal_all(saved, metrics):
        return []
    return [f"{name} has {_said(metrics)} in {RESULTS}, but {_said(saved)} in {CHAMPION}/{CHAMPION_RECORD}"]


def _equal(one: float | None, other: float | None) -> bool:
    """Equal up to what a database's text form may lose."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _equal_all(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return set(one) == set(other) and all(_equal(one[name], other[name]) for name in one)


def _said(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in metrics.items()) or "no metrics"
