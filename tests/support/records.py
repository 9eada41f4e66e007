"""results.json as the export and the registration of a champion read it."""

from __future__ import annotations

from typing import Any

from tuner.results import results_json as results

METRIC = "mean(sst/accuracy, quora/accuracy, sts/pearson)"


def bare(**changes: Any) -> dict[str, Any]:
    """The contents of a results.json without trials."""
    return {
        "schema_version": results.SCHEMA_VERSION,
        "name": "night",
        "space": "smart_mtl",
        "seed": 0,
        "metric": METRIC,
        "data": {"source": "demo", "generated": True, "sha256": "ab12", "rows": {}},
        "requirements": [],
        "trials": [],
        "champion": None,
        "finished": None,
        "environment": {},
        "mlflow": {},
        "optuna": {},
        **changes,
    }


def exported(config: dict[str, Any]) -> dict[str, Any]:
    """The contents of a results.json with one complete trial."""
    metrics = {"sst/accuracy": 0.5, "quora/accuracy": 0.75, "sts/pearson": 0.8, "sts/spearman": 0.7}
    trial = {"number": 3, "state": "COMPLETE", "score": 0.6833, "metrics": metrics, "config": config, "alarms": {}}
    trial["evaluations"] = []
    contents = bare(trials=[trial], champion={**trial, "feasible": True, "dev": metrics})
    contents["data"]["rows"] = {task: {"train": 640, "select": 64, "dev": 100} for task in ("sst", "quora", "sts")}
    return contents


def registered(score: float, **changes: Any) -> dict[str, Any]:
    champion = {"number": 3, "score": score, "feasible": True, "metrics": {"sst/accuracy": score}, "dev": None}
    return {"space": "smart_mtl", "metric": METRIC, "data": {"sha256": "ab12cd34ef"}, "champion": champion | changes}
