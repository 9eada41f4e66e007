"""The runs of one search in MLflow's store, and the writes to them: idempotent functions of the client and the run's id."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from model.smart.alarms import alarms
from tuner.results.facts import GENERATED_SOURCE, Dataset, SearchFacts
from tuner.results.trial_record import TrialRecord
from tuner.tracking.mlflow.client import CUT_OFF, PARENT, PAUSED_STATUS, as_tag, as_unicode, ending, flatten, search_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARAMETERS = (
    "name", "space", "profile", "metric", "sampler", "pruner", "n_trials", "max_trials", "n_evaluations", "max_concurrent",
    "data_source", "data_summary",
)  # fmt: skip
"""Fields of `SearchFacts` that are the parent's parameters."""
Write = Callable[["MlflowClient", str], None]
MAX_BATCH, MAX_DIGEST = 100, 36
"""MLflow's limits: parameters of one call, characters of a dataset's digest."""


@dataclass(frozen=True)
class Child:
    """The run of a trial, control or finalist, before its training."""

    number: int
    mark: str
    """The tag that holds the number: `names.TRIAL` or `names.TRAINING`."""
    name: str
    tags: dict[str, str]
    describe: Callable[[], Sequence[Write]]
    """Makes the first writes; called when they are needed."""


class Runs:
    """The ids of a search's runs, and the writes that create, resume and complete them: idempotent, for the queue's thread.

    `artifacts` is the location for artifacts, None for the server's default; `resumed_id` is the parent run of an earlier
    session. A run whose creation the store has rejected has no id, and writes to it are skipped.
    """

    def __init__(self, artifacts: str | None, resumed_id: str | None) -> None:
        self.experiment_id: str | None = None
        """None before the store's first response."""
        self.parent_id: str | None = None
        self.answered = threading.Event()
        self._artifacts = artifacts
        self._resumed_id = resumed_id
        self._children: dict[int, str] = {}

    def write(self, client: MlflowClient, number: int | None, write: Write) -> None:
        """Do a write to the run of a trial, or to the parent for None."""
        run_id = self.parent_id if number is None else self._children.get(number)
        if run_id is not None:  # else its creation was rejected, with a warning
            write(client, run_id)

    def open_experiment(self, client: MlflowClient, name: str) -> None:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            self.experiment_id = client.create_experiment(name, artifact_location=self._artifacts)
            return
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        self.experiment_id = experiment.experiment_id

    def open_parent(self, client: MlflowClient, plan: SearchFacts, tags: Mapping[str, str], at_ms: int) -> None:
        if self._resumed_id and self._search(client, f"attributes.run_id = '{self._resumed_id}'"):
            client.update_run(self._resumed_id, status="RUNNING")
            self.parent_id = self._resumed_id
            self.answered.set()
            return
        # Do not create it again when the response to an earlier creation was lost.
        same = f"tags.started = '{plan.started}'" if plan.started else f"attributes.start_time = {at_ms}"
        runs = [
            run for run in self._search(client, same) if run.info.run_name == plan.study_name and PARENT not in run.data.tags
        ]
        self.parent_id = runs[0].info.run_id if runs else self._create(client, plan.study_name, tags, at_ms)
        facts = {name: getattr(plan, name) for name in PARAMETERS} | {"name": plan.study_name}  # a parameter never changes
        log_params(client, self.parent_id, params=flatten(facts))
        log_datasets(client, self.parent_id, plan.datasets)
        self.answered.set()

    def open(self, client: MlflowClient, child: Child, at_ms: int) -> None:
        """Create a child's run, or reopen it (it is resumed, or the response to its creation was lost)."""
        if self.parent_id is None:  # rejected, with a warning
            return
        runs = self._search(client, self._below(f"tags.{child.mark} = '{child.number}'"))
        if not runs:
            self._children[child.number] = self._create(client, child.name, child.tags | {PARENT: self.parent_id}, at_ms)
            return
        run_id = self._children[child.number] = runs[0].info.run_id
        client.update_run(run_id, status="RUNNING")
        for tag in {"reason", "state"} & set(runs[0].data.tags):
            client.delete_tag(run_id, tag)

    def catch_up(self, client: MlflowClient, mark: str, known: Sequence[tuple[Child, TrialRecord]], at_ms: int) -> None:
        """Complete the children with one mark after a kill or an unreachable store, and end those that still run.

        `known` holds the trials or trainings of earlier sessions with their records.
        """
        if self.parent_id is None:
            return
        runs = {run.data.tags[mark]: run for run in self._search(client, self._below()) if mark in run.data.tags}
        for child, record in known:
            run = runs.pop(str(child.number), None)
            if run is None and (record.evaluations or record.is_finished):
                run_id = self._create(client, child.name, child.tags | {PARENT: self.parent_id}, at_ms)
                for write in child.describe():
                    write(client, run_id)
                self._complete(client, run_id, 0, record, at_ms)
            elif run is not None and (run.info.status == "RUNNING" or not record.is_finished):
                self._complete(client, run.info.run_id, int(run.data.metrics.get("evaluation", 0)), record, at_ms)
        for run in runs.values():
            if run.info.status == "RUNNING":
                end(client, run.info.run_id, status="KILLED", tags=CUT_OFF, at_ms=at_ms)

    def _complete(self, client: MlflowClient, run_id: str, n_known: int, record: TrialRecord, at_ms: int) -> None:
        """Write a record's evaluations after the first `n_known`, and end its run; a resumed trial reopens it."""
        for stored in record.evaluations[n_known:]:
            for write in measurements(stored, at_ms):
                write(client, run_id)
        if record.state == "PAUSED":
            pause(client, run_id, record)
            return
        status, tags = ending(record) if record.is_finished else ("KILLED", CUT_OFF)
        end(client, run_id, status=status, tags=tags, at_ms=at_ms)

    def _create(self, client: MlflowClient, name: str, tags: Mapping[str, str], at_ms: int) -> str:
        run = client.create_run(self.experiment_id, start_time=at_ms, tags=cut(tags), run_name=name)
        return str(run.info.run_id)

    def _below(self, *conditions: str) -> str:
        return " and ".join([f"tags.`{PARENT}` = '{self.parent_id}'", *conditions])

    def _search(self, client: MlflowClient, condition: str) -> list[Run]:
        return search_runs(client, self.experiment_id, condition)


def measurements(evaluation: Mapping[str, Any], at_ms: int) -> list[Write]:
    """The writes of an evaluation as the study stores it: its metrics, and a tag for each alarm that they raise."""
    numbers = {"score": evaluation["score"], "seconds": evaluation["seconds"]}
    numbers |= {"evaluation": float(evaluation["index"]), "examples": float(evaluation["examples"])}
    health = evaluation.get("health", {})
    metrics = {**evaluation["metrics"], **evaluation["losses"], **numbers, **health, **evaluation.get("system", {})}
    writes: list[Write] = [partial(log_metrics, metrics=metrics, step=evaluation["step"], at_ms=at_ms)]
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
    """Log metrics with the time of the event, by which MLflow recognises a metric that is sent twice."""
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(name, value, at_ms, step) for name, value in metrics.items()])


def log_datasets(client: MlflowClient, run_id: str, datasets: Mapping[str, Dataset]) -> None:
    """Log each task's data as an MLflow dataset, identified by its digest, with the rows of each split."""
    from mlflow.entities import Dataset as Entity
    from mlflow.entities import DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Entity(
                name=task,
                digest=dataset.sha256[:MAX_DIGEST],
                source_type="code" if dataset.source == GENERATED_SOURCE else "local",
                source=json.dumps({"uri": dataset.source}),
                profile=json.dumps(dict(dataset.rows)),
            ),
            [InputTag("mlflow.data.context", "training")],
        )
        for task, dataset in datasets.items()
    ]
    if inputs:
        client.log_inputs(run_id, datasets=inputs)


def log_text(client: MlflowClient, run_id: str, name: str, text: str) -> None:
    client.log_text(run_id, as_unicode(text), name)


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
