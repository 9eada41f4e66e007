"""results.json: what a search hands over, built from plain records. Every key is always there; what is not known is null."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.smart.alarms import alarms_of
from tuner.artifacts.addresses import mask_credentials
from tuner.artifacts.atomic import write_whole
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


def rank(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of `trials`, best first: complete ones by score, then pruned ones by their last score, then failed ones.

    Among the complete ones those that meet the requirements are first, then those that miss the least.
    """
    order = {"COMPLETE": 0, "PRUNED": 1}

    def key(trial: dict[str, Any]) -> tuple[int, float, float, int]:
        score, missed = trial["score"], missed_by(trial) if trial["state"] == "COMPLETE" else 0.0
        return order.get(trial["state"], 2), missed, math.inf if score is None else -score, trial["number"]

    return sorted(trials, key=key)


def missed_by(trial: Mapping[str, Any]) -> float:
    """What an entry of `trials` misses of the requirements in all."""
    return float(sum(requirement["missed_by"] for requirement in trial.get("requirements", {}).values()))


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
    mode: str = "max",
    stopped_by: str | None = None,
    warm_start: Mapping[str, Any] | None = None,
    confirmation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The contents of results.json.

    `rows[task][split]` counts the data; `started` and `finished` are ISO 8601 times, and `finished` is None when the search
    was interrupted. `mlflow` has tracking_uri, experiment_id and run_id, `optuna` storage and study_name; passwords in them
    are masked. `champion_path` is written as it is given. `front` holds the trials that none dominates under several goals.
    `stopped_by` says which budget ended the search, None when its trials did. `consistency` is None until the check has
    compared the stores, then the list of what they disagree on.
    `compute` is the budget of `--trials`, in full trials, and what the trials have used of it.
    `preflight` is what was measured and foreseen before the first trial, set once the search can be held against it.
    `warm_start` says what was taken from earlier searches, None where nothing was. `confirmation` is what the finalists came
    to, None where there were none.
    Trials that were begun and have no result yet, paused ones included, are `unfinished`, by number: a resumed search goes on
    with them.
    """
    return finite(  # type: ignore[no-any-return]
        {
            "schema_version": SCHEMA_VERSION,
            "name": facts.name,
            "folder": str(facts.run_dir),
            "space": facts.space,
            "seed": seed,
            "data": {"source": facts.data_source, "generated": facts.is_generated, "sha256": facts.data_sha256, "rows": rows},
            "metric": facts.metric,
            "requirements": list(facts.requirements),
            "controls": facts.controls,
            "mode": mode,
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
    later = {"health": {}, "compute": 0.0, "evaluation_s": 0.0}  # what evaluations from before it was measured lack
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
    """Each requirement: whether it is met, and else by how much it is missed."""
    return {text: {"met": excess <= 0, "missed_by": max(excess, 0.0)} for text, excess in record.requirements.items()}


def champion_entry(record: TrialRecord, path: Path | None) -> dict[str, Any]:
    """The entry `champion`, its model at `path`."""
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
    """Write `results` so that a reader, or a crash, sees the old file or the whole new one. Raises OSError."""
    text = json.dumps(finite(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, text)


def read(path: Path) -> dict[str, Any]:
    """Read results.json. Raises `ConfigError` with a sentence when it is missing, broken or of another version."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"{path} does not exist: the search has not finished, or its name is another"]) from None
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from None
    except ValueError as error:
        raise ConfigError([f"{path} is not JSON ({error}); run the search again with --resume to write it anew"]) from None
    version = results.get("schema_version") if isinstance(results, dict) else None
    if version != SCHEMA_VERSION:
        raise ConfigError(
            [f"{path} has schema_version {version!r}; this one of the tuner reads {SCHEMA_VERSION}: use the one that wrote it"]
        )
    return results  # type: ignore[no-any-return]


def commonest_reason(reasons: Sequence[str | None]) -> str | None:
    """The commonest reason, numbers aside (`NaN at step 7` is `NaN at step 9`), in the words of the first; None of none."""
    if not reasons:
        return None
    told = [reason or "no reason was given" for reason in reasons]
    kinds = [re.sub(r"\d+", "#", reason) for reason in told]
    commonest, _ = Counter(kinds).most_common(1)[0]
    return told[kinds.index(commonest)]
