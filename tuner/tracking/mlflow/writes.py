"""What is written of a run: each a function of the client and the run's id, and the same when it is done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from model.smart.alarms import alarms
from tuner.results.facts import GENERATED_SOURCE, Dataset
from tuner.results.trial_record import TrialRecord
from tuner.tracking.mlflow.names import PAUSED_STATUS, as_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient

Write = Callable[["MlflowClient", str], None]
MAX_BATCH, MAX_DIGEST = 100, 36
"""MLflow's limits: parameters of one call, characters of a dataset's digest."""


def measurements(evaluation: Mapping[str, Any], at_ms: int) -> list[Callable[[MlflowClient, str], None]]:
    """What is written of an evaluation with its score, as the study keeps it: its numbers, and the alarms that they raise."""
    own = {"score": evaluation["score"], "seconds": evaluation["seconds"]}
    own |= {"evaluation": float(evaluation["index"]), "examples": float(evaluation["examples"])}
    health = evaluation.get("health", {})
    metrics = {**evaluation["metrics"], **evaluation["losses"], **own, **health, **evaluation.get("system", {})}
    writes: list[Callable[[MlflowClient, str], None]] = [
        partial(log_metrics, metrics=metrics, step=evaluation["step"], at_ms=at_ms)
    ]
    raised = alarms(health, evaluation["losses"])
    if raised:
        writes.append(partial(set_tags, tags={alarm: ", ".join(tasks) for alarm, tasks in raised.items()}))
    return writes


def log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entities = [Param(name, value) for name, value in params.items()]
    for start in range(0, len(entities), MAX_BATCH):
        client.log_batch(run_id, params=entities[start : start + MAX_BATCH])


def log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float], step: int, at_ms: int) -> None:
    """The time is that of the event: with it, MLflow takes a metric that is sent twice for one."""
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(name, value, at_ms, step) for name, value in metrics.items()])


def log_datasets(client: MlflowClient, run_id: str, datasets: Mapping[str, Dataset]) -> None:
    """A task's data as MLflow's dataset: found again by its digest, with the rows of each split."""
    from mlflow.entities import Dataset as Entity
    from mlflow.entities import DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Entity(
                name=task,
                digest=found.sha256[:MAX_DIGEST],
                source_type="code" if found.source == GENERATED_SOURCE else "local",
                source=json.dumps({"uri": found.source}),
                profile=json.dumps(dict(found.rows)),
            ),
            [InputTag("mlflow.data.context", "training")],
        )
        for task, found in datasets.items()
    ]
    if inputs:
        client.log_inputs(run_id, datasets=inputs)


def log_text(client: MlflowClient, run_id: str, name: str, text: str) -> None:
    client.log_text(run_id, text, name)


def set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    for name, value in cut(tags).items():
        client.set_tag(run_id, name, value)


def pause(client: MlflowClient, run_id: str, record: TrialRecord) -> None:
    set_tags(client, run_id, {"state": record.state, "reason": record.reason or ""})
    client.update_run(run_id, status=PAUSED_STATUS)


def end(client: MlflowClient, run_id: str, status: str, tags: Mapping[str, str], at_ms: int) -> None:
    set_tags(client, run_id, tags)
    client.set_terminated(run_id, status=status, end_time=at_ms)


def cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: as_tag(value) for name, value in tags.items()}


def now_ms() -> int:
    return time.time_ns() // 1_000_000
