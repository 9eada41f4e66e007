"""Builds, writes and reads results.json. Every key is always present; unknown values are null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.data.file_contents import checked, read_json
from model.smart.alarms import MEANINGS, alarms_of
from tuner.artifacts.addresses import mask_credentials
from tuner.artifacts.atomic import write_whole
from tuner.results.contents import Contents
from tuner.results.facts import SearchFacts
from tuner.results.trial_record import TrialRecord

SCHEMA_VERSION = 1
FILE_NAME = "results.json"


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity in it, at any depth, made None: JSON has no such numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def rank(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Entries of `trials`, best first: complete ones by score, then pruned ones by their last score, then failed ones.

    Complete trials that meet the requirements come first, then those with the smallest shortfall.
    """
    order = {"COMPLETE": 0, "PRUNED": 1}

    def key(trial: Mapping[str, Any]) -> tuple[int, float, float, int]:
        score, missed = trial["score"], missed_by(trial) if trial["state"] == "COMPLETE" else 0.0
        return order.get(trial["state"], 2), missed, math.inf if score is None else -score, trial["number"]

    return sorted(trials, key=key)


def missed_by(trial: Mapping[str, Any]) -> float:
    """The total shortfall of an entry of `trials` from the requirements; 0 where it meets them."""
    return float(sum(requirement["missed_by"] for requirement in trial.get("requirements", {}).values()))


def alarms_raised(trials: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, list[str]]]:
    """Each alarm that entries of `trials` raised, with the trials' numbers and the tasks concerned."""
    raised = {name: {trial["number"]: (trial.get("alarms") or {}).get(name) for trial in trials} for name in MEANINGS}
    known = {name: {number: tasks for number, tasks in by_trial.items() if tasks} for name, by_trial in raised.items()}
    return {name: by_trial for name, by_trial in known.items() if by_trial}


def build(
    facts: SearchFacts,
    records: Sequence[TrialRecord],
    *,
    seed: int,
    rows: Mapping[str, Mapping[str, int]],
    started: str,
    finished: str | None,
    environment: Mapping[str, Any],
    mlflow: Mapping[str, Any],
    optuna: Mapping[str, Any],
    champion: TrialRecord | None = None,
    champion_path: Path | None = None,
    front: Sequence[TrialRecord] = (),
    stopped_by: str | None = None,
    warm_start: Mapping[str, Any] | None = None,
    confirmation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The contents of results.json.

    `rows[task][split]` counts the data. `started` and `finished` are ISO 8601 times; `finished` is None for an interrupted
    search. `mlflow` has tracking_uri, experiment_id and run_id, `optuna` storage and study_name; their passwords are masked.
    `champion_path` is written as given. `front` holds the non-dominated trials under several goals. `stopped_by` names the
    budget that ended the search, None if its trials did. `warm_start` describes what was taken from earlier searches,
    `confirmation` the finalists; None without.

    In the result, `consistency` is None until the check has compared the stores, then the list of their disagreements;
    `compute` is the budget of `--trials` and its use, in full trials; `preflight` is set when the search has ended;
    `unfinished` lists the trials without a final state, paused ones included, which a resumed search continues.
    """
    return finite(  # type: ignore[no-any-return]
        {
            "schema_version": SCHEMA_VERSION,
            "name": facts.name,
            "folder": str(facts.run_dir),
            "space": facts.space,
            "seed": seed,
            "data": {
                "source": facts.data_source,
                "generated": facts.is_generated,
                "sha256": facts.data_sha256,
                "rows": rows,
                "warnings": facts.data_warnings,
            },
            "metric": facts.metric,
            "requirements": list(facts.requirements),
            "controls": facts.controls,
            "mode": "max",
            "gang": facts.gang,
            "started": started,
            "finished": finished,
            "stopped_by": stopped_by,
            "compute": {
                "trials": facts.n_trials,
                "max_trials": facts.max_trials,
                "used": round(sum(record.share for record in records), 6),
            },
            "warm_start": warm_start,
            "preflight": None,
            "trials": [trial_entry(record) for record in records if record.is_finished],
            "unfinished": [record.number for record in records if not record.is_finished],
            "champion": champion and champion_entry(champion, champion_path),
            "front": [record.number for record in front],
            "confirmation": confirmation,
            "environment": environment,
            "mlflow": _pick(mlflow, "tracking_uri", "experiment_id", "run_id"),
            "optuna": _pick(optuna, "storage", "study_name"),
            "consistency": None,
        }
    )


def trial_entry(record: TrialRecord) -> dict[str, Any]:
    """An entry of `trials`."""
    evaluation_keys = ("step", "score", "metrics", "seconds")
    later = {"health": {}, "compute": 0.0, "evaluation_s": 0.0}  # absent from evaluations of earlier versions
    return {
        "number": record.number,
        "state": record.state,
        "score": record.score,
        "scores": record.scores,
        "requirements": _requirements(record),
        "metrics": record.metrics,
        "evaluations": [
            {key: evaluation[key] for key in evaluation_keys} | {key: evaluation.get(key, none) for key, none in later.items()}
            for evaluation in record.evaluations
        ],
        "alarms": alarms_of(record.evaluations),
        "config": record.config,
        "params": record.params,
        "seconds": record.seconds,
        "reason": record.reason,
        "same_as": record.same_as,
        "note": record.note,
    }


def _requirements(record: TrialRecord) -> dict[str, dict[str, Any]]:
    """For each requirement whether it is met, and by how much it is missed."""
    return {text: {"met": excess <= 0, "missed_by": max(excess, 0.0)} for text, excess in record.requirements.items()}


def champion_entry(record: TrialRecord, path: Path | None) -> dict[str, Any]:
    """The entry `champion`; its model is at `path`."""
    return {
        "number": record.number,
        "score": record.score,
        "feasible": record.shortfall == 0,
        "requirements": _requirements(record),
        "metrics": record.metrics,
        "config": record.config,
        "path": str(path) if path else None,
        "confirmed": None,
    }


def _pick(values: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: mask_credentials(values[key]) if isinstance(values[key], str) else values[key] for key in keys}


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Write `results` atomically. Raises OSError."""
    text = json.dumps(finite(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text)


def read(path: Path) -> dict[str, Any]:
    """Read results.json. Raises `ConfigError` when it is missing, not JSON or of another schema version."""
    try:
        results = read_json(path, dict[str, Any], "run the search again with --resume to write it anew")
    except FileNotFoundError:
        raise ConfigError([f"{path} does not exist: the search has not finished, or has another name"]) from None
    version = results.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ConfigError(
            [f"{path} has schema_version {version!r}; this version reads {SCHEMA_VERSION}; use the one that wrote it"]
        )
    checked(results, Contents, path)
    return results


@dataclass(frozen=True)
class Registered:
    """The champion's entry in the model registry."""

    model: str
    version: int
    is_champion: bool
    """Whether the version has the alias."""
    said: str
    """Why it has the alias or not, in a sentence."""


def model_name(results: Mapping[str, Any]) -> str:
    """The name of a search's model in the registry, from the contents of its results.json."""
    return f"{results['space']}-{results['data']['sha256'][:8]}"


def score_of(champion: Mapping[str, Any]) -> float:
    """The score that champions are compared by: the mean over fresh seeds, or the search's score without a confirmation."""
    confirmed = champion.get("confirmed")
    return float(confirmed["mean"] if confirmed else champion["score"])


def registration_text(registered: Mapping[str, Any]) -> str:
    """Such as `registered as smart_mtl-6ca11080, version 2, now champion: its score of …`."""
    alias = ", now champion" if registered["is_champion"] else ""
    return f"registered as {registered['model']}, version {registered['version']}{alias}: {registered['said']}"
