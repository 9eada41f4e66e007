"""A small search, told as events: what the tests of the observers are fed with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.results.facts import Dataset, SearchFacts
from tuner.results.results_json import build
from tuner.results.trial_record import TrialRecord

CONFIG = TrialConfig(mixture=("sst", "sts"), seed=3)


def facts(run_dir: Path, **changes: Any) -> SearchFacts:
    values: dict[str, Any] = {
        "name": run_dir.name,
        "study_name": run_dir.name,
        "run_dir": run_dir,
        "space": "smart_mtl",
        "profile": "laptop",
        "data_source": "corpus",
        "data_summary": "sst 100 rows, sts 50 rows",
        "data_sha256": "ab" * 32,
        "metric": "mean(sst/accuracy, sts/pearson)",
        "n_trials": 4,
        "n_evaluations": 2,
        "max_concurrent": 2,
        "sampler": "tpe",
        "pruner": "median",
        "dashboard_url": None,
        "tracking_uri": "sqlite:////somewhere/mlflow.db",
        "git_commit": "c0ffee",
        "datasets": {
            task: Dataset("corpus", "cd" * 32, {"train": 90, "select": 10, "dev": 20}) for task in ("sst", "sts", "quora")
        },
    }
    return SearchFacts(**values | changes)


def evaluation(index: int, accuracy: float, pearson: float = 0.5) -> Evaluation:
    return Evaluation(
        index=index,
        n_evaluations=2,
        step=10 * index,
        n_steps=20,
        examples=320 * index,
        metrics={"sst/accuracy": accuracy, "sts/pearson": pearson},
        losses={"sst/loss": 1.0 / index},
        seconds=4.0 * index,
        system={"system/cpu_utilization_percentage": 98.0},
    )


def unhealthy(index: int, accuracy: float) -> Evaluation:
    """An evaluation whose regulariser does nothing to sst."""
    plain = evaluation(index, accuracy)
    return replace(plain, losses=plain.losses | {"sst/smoothness": 0.0}, health={"sst/saturated": 0.25, "sst/lambda": 1.0})


def record(number: int, state: str = "COMPLETE", score: float | None = None, **changes: Any) -> TrialRecord:
    looks = [] if score is None else [evaluation(1, score - 0.1), evaluation(2, score)]
    values: dict[str, Any] = {
        "number": number,
        "state": state,
        "score": score,
        "metrics": looks[-1].metrics if looks else {},
        "evaluations": [look.to_dict() | {"score": look.metrics["sst/accuracy"]} for look in looks],
        "config": CONFIG.to_dict(),
        "seconds": 8.0,
        "reason": None,
    }
    return TrialRecord(**values | changes)


def results(plan: SearchFacts, records: list[TrialRecord], champion: TrialRecord | None, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "seed": 1,
        "rows": {"sst": {"train": 90, "selection": 10}},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:10:00+00:00",
        "environment": {"versions": {"python": "3.11.0"}, "hardware": {}, "git": None},
        "mlflow": {"tracking_uri": plan.tracking_uri, "experiment_id": "1", "run_id": "f00"},
        "optuna": {"storage": "journal.log", "study_name": plan.name},
        "champion_path": plan.run_dir / "champion",
    }
    return build(plan, records, champion=champion, **values | changes)
