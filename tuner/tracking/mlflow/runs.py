"""The runs of one search in MLflow's store: the parent, and its children by number."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuner.results.facts import SearchFacts
from tuner.results.trial_record import TrialRecord
from tuner.tracking.mlflow.names import CUT_OFF, PARENT, ending, flatten
from tuner.tracking.mlflow.read import search_runs
from tuner.tracking.mlflow.writes import Write, cut, end, log_datasets, log_params, measurements, pause

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARAMETERS = (
    "name",
    "space",
    "profile",
    "metric",
    "sampler",
    "pruner",
    "n_trials",
    "max_trials",
    "n_evaluations",
    "max_concurrent",
    "data_source",
    "data_summary",
)
"""The parent's, from `SearchFacts`."""


@dataclass(frozen=True)
class Child:
    """The run of a trial, or of a training that is none, as it is before it trains."""

    number: int
    mark: str
    """The tag that holds the number: `words.TRIAL` or `words.TRAINING`."""
    name: str
    tags: dict[str, str]
    describe: Callable[[], Sequence[Write]]
    """What is written of it first; made when it is needed."""


class Runs:
    """What it does is written by the queue's thread, and bears being done twice.

    `resumed_id` names the parent run of an earlier session. What the store has refused has no id, and is passed over.
    """

    def __init__(self, artifacts: str | None, resumed_id: str | None) -> None:
        self.experiment_id: str | None = None
        """None until the store has answered for the first time."""
        self.parent_id: str | None = None
        self.answered = threading.Event()
        self._artifacts = artifacts
        self._resumed_id = resumed_id
        self._children: dict[int, str] = {}

    def on_parent(self, client: MlflowClient, write: Write) -> None:
        if self.parent_id is not None:
            write(client, self.parent_id)

    def on_child(self, client: MlflowClient, number: int, write: Write) -> None:
        if number in self._children:  # else its creation was refused, which was told then
            write(client, self._children[number])

    def open_experiment(self, client: MlflowClient, name: str) -> None:
        found = client.get_experiment_by_name(name)
        if found is None:
            self.experiment_id = client.create_experiment(name, artifact_location=self._artifacts)
            return
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        self.experiment_id = found.experiment_id

    def open_parent(self, client: MlflowClient, plan: SearchFacts, tags: Mapping[str, str], at_ms: int) -> None:
        if self._resumed_id and self._search(client, f"attributes.run_id = '{self._resumed_id}'"):
            client.update_run(self._resumed_id, status="RUNNING")
            self.parent_id = self._resumed_id
            self.answered.set()
            return
        # A creation whose answer was lost, to a store that went away or to a driver that was killed, is not done twice.
        same = f"tags.started = '{plan.started}'" if plan.started else f"attributes.start_time = {at_ms}"
        found = [run for run in self._search(client, same) if run.info.run_name == plan.name and PARENT not in run.data.tags]
        self.parent_id = found[0].info.run_id if found else self._create(client, plan.name, tags, at_ms)
        log_params(client, self.parent_id, params=flatten({name: getattr(plan, name) for name in PARAMETERS}))
        log_datasets(client, self.parent_id, plan.datasets)
        self.answered.set()

    def open(self, client: MlflowClient, child: Child, at_ms: int) -> None:
        """Create a child's run; one that exists goes on (resumed from its checkpoint, or created and the answer lost)."""
        if self.parent_id is None:  # it was refused, and that was told
            return
        found = self._search(client, self._below(f"tags.{child.mark} = '{child.number}'"))
        if not found:
            self._children[child.number] = self._create(client, child.name, child.tags | {PARENT: self.parent_id}, at_ms)
            return
        self._children[child.number] = found[0].info.run_id
        client.update_run(found[0].info.run_id, status="RUNNING")
        for tag in {"reason", "state"} & set(found[0].data.tags):
            client.delete_tag(found[0].info.run_id, tag)

    def catch_up(self, client: MlflowClient, mark: str, known: Sequence[tuple[Child, TrialRecord]], at_ms: int) -> None:
        """Write what a kill, or a store that was away, kept from the children of one mark, and end those that run.

        `known` is what earlier sessions began, with what is known of it.
        """
        if self.parent_id is None:
            return
        runs = {run.data.tags[mark]: run for run in self._search(client, self._below()) if mark in run.data.tags}
        for child, record in known:
            run = runs.pop(str(child.number), None)
            if run is None and (record.evaluations or record.is_finished):
                self._complete(client, self._create_whole(client, child, at_ms), 0, record, at_ms)
            elif run is not None and (run.info.status == "RUNNING" or not record.is_finished):
                self._complete(client, run.info.run_id, int(run.data.metrics.get("evaluation", 0)), record, at_ms)
        for run in runs.values():
            if run.info.status == "RUNNING":
                end(client, run.info.run_id, status="KILLED", tags=CUT_OFF, at_ms=at_ms)

    def _create_whole(self, client: MlflowClient, child: Child, at_ms: int) -> str:
        run_id = self._create(client, child.name, child.tags | {PARENT: str(self.parent_id)}, at_ms)
        for write in child.describe():
            write(client, run_id)
        return run_id

    def _complete(self, client: MlflowClient, run_id: str, n_known: int, record: TrialRecord, at_ms: int) -> None:
        """Write a record's evaluations after the first `n_known`, and end its run; an unfinished one is opened again later."""
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
