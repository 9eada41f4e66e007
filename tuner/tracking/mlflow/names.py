"""Translates a search's facts to MLflow's statuses, tags and parameters, within its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.artifacts.addresses import mask_credentials
from tuner.results.trial_record import INTERRUPTED, TrialRecord

PARENT = "mlflow.parentRunId"
"""MLflow's tag of a nested run."""
TRIAL, TRAINING = "trial", "training"
"""Tags with the number of a trial, and of a control or finalist training."""
CUT_OFF = {"state": "UNFINISHED", "reason": INTERRUPTED}
"""Tags of a run whose trial was interrupted by the end of a session; its status is KILLED."""
PAUSED_STATUS = "SCHEDULED"
"""MLflow's status of a run that continues later."""
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
MAX_KEY, MAX_PARAM, MAX_TAG = 250, 6000, 8000
"""MLflow's limits: characters of a key, a parameter, a tag."""


def as_tag(text: str) -> str:
    """The value of a tag: without passwords, truncated to MLflow's limit."""
    return as_unicode(mask_credentials(text))[:MAX_TAG]


def as_unicode(text: str) -> str:
    """A text that MLflow can store: bytes of a file name that are not UTF-8 become `\\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten nested settings to MLflow's parameters: dotted names, values as text, lists joined by commas, truncated."""
    flat: dict[str, str] = {}
    for name, value in config.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{dotted}.")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            flat[dotted[:MAX_KEY]] = as_unicode(text)[:MAX_PARAM]
    return flat


def ending(record: TrialRecord) -> tuple[str, dict[str, str]]:
    """MLflow's status of a finished trial, and its tags."""
    tags = {"reason": record.reason, "note": record.note}
    tags["same_as"] = None if record.same_as is None else str(record.same_as)
    if record.requirements:
        tags["requirements"] = "missed" if record.shortfall else "met"
    return STATUS[record.state], {"state": record.state} | {name: text for name, text in tags.items() if text}


def tags_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Tags that distinguish configurations in MLflow's table."""
    smart = "on" if config.get("smart", {}).get("enabled") else "off"
    strategy = config.get("mixing", {}).get("strategy", "")
    return {"mixture": ",".join(config.get("mixture", ())), "strategy": strategy, "smart": smart}


def confirmed(confirmation: Mapping[str, Any] | None) -> tuple[dict[str, float], dict[str, str]] | None:
    """Metrics (of the best finalist and the comparisons) and tags that a confirmation adds to the parent run."""
    if not confirmation or not confirmation["finalists"] or confirmation["finalists"][0]["rank"] != 1:
        return None
    first = confirmation["finalists"][0]
    metrics = {f"confirmed/{name}": first[name] for name in ("mean", "sd", "bound", "optimism", "search_score")}
    metrics |= {f"confirmed/dev/{name}": scores["mean"] for name, scores in (first["dev"] or {}).items()}
    for comparison in confirmation["comparisons"]:
        against = comparison["against"].replace("-", "_")
        metrics |= {
            f"confirmed/vs_{against}/{name}": comparison[name] for name in ("difference", "low", "high", "probability_better")
        }
    tags = {"confirmed": first["name"], "beats_default": confirmation["beats_default"] or "unknown"}
    return {name: value for name, value in metrics.items() if value is not None}, tags
