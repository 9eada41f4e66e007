"""What a search knows, in MLflow's words: statuses, tags, parameters, within MLflow's limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.artifacts.addresses import mask_credentials
from tuner.results.trial_record import INTERRUPTED, TrialRecord

PARENT = "mlflow.parentRunId"
"""MLflow's tag of a nested run."""
TRIAL, TRAINING = "trial", "training"
"""Tags with the number of a trial, and of a training that is none."""
CUT_OFF = {"state": "UNFINISHED", "reason": INTERRUPTED}
"""Tags of a run whose trial the end of a session cut short; its status is KILLED."""
PAUSED_STATUS = "SCHEDULED"
"""MLflow's word for a run that goes on at a later time."""
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000
"""MLflow's limits: characters of a key, a parameter, a tag."""


def as_tag(text: str) -> str:
    """A text as the value of a tag: without passwords, cut to MLflow's limit."""
    return mask_credentials(text)[:MAX_TAG]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as MLflow's parameters: dotted names, values as text, lists joined by commas, cut to MLflow's limits."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{dotted}.")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            flat[dotted[:MAX_KEY]] = text[:MAX_PARAM]
    return flat


def ending(record: TrialRecord) -> tuple[str, dict[str, str]]:
    """MLflow's status of a finished trial, and its tags."""
    said = {"reason": record.reason, "note": record.note}
    said["same_as"] = None if record.same_as is None else str(record.same_as)
    if record.requirements:
        said["requirements"] = "missed" if record.shortfall else "met"
    return STATUS[record.state], {"state": record.state} | {name: text for name, text in said.items() if text}


def tags_of(config: Mapping[str, Any]) -> dict[str, str]:
    """What tells a configuration's run apart in MLflow's table."""
    smart = "on" if config.get("smart", {}).get("enabled") else "off"
    strategy = config.get("mixing", {}).get("strategy", "")
    return {"mixture": ",".join(config.get("mixture", ())), "strategy": strategy, "smart": smart}


def confirmed(told: Mapping[str, Any] | None) -> tuple[dict[str, float], dict[str, str]] | None:
    """What the parent run has of a confirmation: metrics of the first finalist and of the comparisons, and tags."""
    if not told or not told["finalists"] or told["finalists"][0]["rank"] != 1:
        return None
    first = told["finalists"][0]
    numbers = {f"confirmed/{name}": first[name] for name in ("mean", "sd", "bound", "optimism", "search_score")}
    numbers |= {f"confirmed/dev/{name}": found["mean"] for name, found in (first["dev"] or {}).items()}
    for one in told["comparisons"]:
        against = one["against"].replace("-", "_")
        numbers |= {f"confirmed/vs_{against}/{name}": one[name] for name in ("difference", "low", "high", "probability_better")}
    tags = {"confirmed": first["name"], "beats_default": told["beats_default"] or "unknown"}
    return {name: value for name, value in numbers.items() if value is not None}, tags
