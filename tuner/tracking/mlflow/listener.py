"""Writes a search to MLflow as it happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from model.config import ConfigError, TrialConfig, parse
from model.engine.deepspeed import deepspeed_config
from model.training.evaluation import Evaluation
from tuner.artifacts.addresses import resolve_tracking_uri
from tuner.artifacts.write_queue import WriteQueue, tell_stderr
from tuner.results.facts import Dataset, SearchFacts
from tuner.results.pareto import best_of
from tuner.results.results_json import FILE_NAME, finite
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer
from tuner.tracking.mlflow.client import MlflowStore
from tuner.tracking.mlflow.names import CUT_OFF, TRAINING, TRIAL, confirmed, ending, flatten, tags_of
from tuner.tracking.mlflow.runs import Child, Runs
from tuner.tracking.mlflow.writes import (
    Write,
    end,
    log_datasets,
    log_metrics,
    log_params,
    log_text,
    measurements,
    now_ms,
    pause,
    set_tags,
)

if TYPE_CHECKING:
    pass

MAX_NAME = 500
"""MLflow's limit: characters of a name."""
ANSWER_S = 10.0
"""How long the results wait for a store that has never answered."""
LAST_RETRIES_S = 90.0
"""How long a server that is away is tried at the end of the search."""


class MlflowTracking(Observer):
    """Puts what it hears into the queue of writes. `run_id` names the parent run of an interrupted search to go on with.

    `n_workers` is the number of ranks of a trial, for its DeepSpeed configuration.
    """

    def __init__(
        self,
        tracking_uri: str | None,
        run_dir: Path,
        experiment: str,
        run_id: str | None = None,
        n_workers: int = 1,
        warn: Callable[[str], None] = tell_stderr,
    ) -> None:
        self.tracking_uri = resolve_tracking_uri(tracking_uri, run_dir)
        self._run_dir = run_dir.resolve()
        self._experiment = experiment[:MAX_NAME]
        # A server decides for itself where artifacts go; a database would put them in the working directory.
        is_server = self.tracking_uri.startswith(("http", "databricks"))
        self._runs = Runs(None if is_server else str(self._run_dir / "mlartifacts"), run_id)
        self._queue = WriteQueue(MlflowStore(self.tracking_uri), warn)
        self._n_workers = n_workers
        self._sides: dict[int, tuple[str, dict[str, str]]] = {}
        """Trainings that are no trials: the name of each one's run, and its tags."""
        self._running: set[int] = set()
        self._tags: dict[str, str] = {}
        self._datasets: Mapping[str, Dataset] = {}
        self._n_finished = 0
        self._best: TrialRecord | None = None

    @property
    def experiment_id(self) -> str | None:
        """None until the store has answered for the first time."""
        return self._runs.experiment_id

    @property
    def run_id(self) -> str | None:
        """The parent run's; None until the store has answered."""
        return self._runs.parent_id

    def search_started(self, plan: SearchFacts) -> None:
        """Open the parent run, or the earlier one again, and bring its children up to what the study knows."""
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._n_finished = len(plan.finished)
        self._best = best_of(plan.finished)
        self._tags = {
            "space": plan.space,
            "sampler": plan.sampler,
            "pruner": plan.pruner,
            "data_sha256": plan.data_sha256,
            "data_generated": str(plan.is_generated).lower(),
        }
        self._datasets = plan.datasets
        self._tags |= {"mlflow.source.type": "LOCAL", "mlflow.source.name": "tuner.search"}
        if plan.started:
            self._tags["started"] = plan.started
        if plan.git_commit:
            self._tags |= {"git_commit": plan.git_commit, "mlflow.source.git.commit": plan.git_commit}
        self._queue.put(partial(self._runs.open_experiment, name=self._experiment))
        self._queue.put(partial(self._runs.open_parent, plan=plan, tags=dict(self._tags), at_ms=now_ms()))
        if plan.finished or plan.unfinished:
            self._catch_up(TRIAL, (*plan.finished, *plan.unfinished))

    def announce(self, sides: Mapping[int, tuple[str, dict[str, str]]]) -> None:
        """Runs that are to be told as trials are and are none: by a number that no trial has, their names and tags."""
        self._sides |= {number: (name, {TRAINING: str(number), **tags}) for number, (name, tags) in sides.items()}

    def catch_up(self, records: Sequence[TrialRecord]) -> None:
        """Bring the runs of announced trainings that earlier sessions began up to what is known."""
        if records:
            self._catch_up(TRAINING, records)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._open(number, config.to_dict())

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        for write in measurements(evaluation.to_dict() | {"score": score}, now_ms()):
            self._on_child(number, write)

    def trial_noted(self, number: int, note: str) -> None:
        self._on_child(number, partial(set_tags, tags={"note": note}))

    def trial_paused(self, record: TrialRecord) -> None:
        self._running.discard(record.number)
        self._on_child(record.number, partial(pause, record=record))

    def trial_finished(self, record: TrialRecord) -> None:
        if record.number not in self._running:  # it was paused, it broke before it started, or an earlier session started it
            self._open(record.number, record.config)
            for known in record.evaluations if record.same_as is not None else ():
                for write in measurements(known, now_ms()):
                    self._on_child(record.number, write)
        self._running.discard(record.number)
        status, tags = ending(record)
        self._on_child(record.number, partial(end, status=status, tags=tags, at_ms=now_ms()))
        if record.number in self._sides:
            return
        self._n_finished += 1
        best = best_of([record] if self._best is None else [self._best, record])
        if best is not record or record.score is None:
            return
        self._best = best
        metrics = {f"best/{name}": value for name, value in record.metrics.items()}
        metrics |= {"best_score": record.score, "best_trial": float(record.number)}
        self._on_parent(partial(log_metrics, metrics=metrics, step=self._n_finished, at_ms=now_ms()))

    def search_finished(self, results: dict[str, Any]) -> None:
        """End the parent run: KILLED when interrupted, FAILED without a champion. Waits a while for a server that is away."""
        for number in sorted(self._running):
            self._on_child(number, partial(end, status="KILLED", tags=CUT_OFF, at_ms=now_ms()))
        self._running.clear()
        for metrics, tags in filter(None, [confirmed(results.get("confirmation"))]):
            self._on_parent(partial(log_metrics, metrics=metrics, step=self._n_finished, at_ms=now_ms()))
            self._on_parent(partial(set_tags, tags=tags))
        for number in results["front"]:
            self._on_child(number, partial(set_tags, tags={"front": "yes"}))
        self._on_parent(partial(log_text, name=FILE_NAME, text=json.dumps(finite(results), indent=2, ensure_ascii=False)))
        status = "KILLED" if results["finished"] is None else "FINISHED" if results["champion"] else "FAILED"
        self._on_parent(partial(end, status=status, tags={}, at_ms=now_ms()))
        self.settle()

    def wait_for_answer(self, limit_s: float = ANSWER_S) -> None:
        """Wait until the store has answered for the first time, so that `run_id` is known, or until it has had its time."""
        self._runs.answered.wait(limit_s)

    def settle(self, limit_s: float = LAST_RETRIES_S) -> None:
        """Wait until MLflow has everything that was told so far."""
        self._queue.drain(limit_s)

    def _open(self, number: int, values: Mapping[str, Any]) -> None:
        """A trial's run with its parameters, from its configuration as plain values."""
        self._running.add(number)
        child = self._child(number, values)
        self._queue.put(partial(self._runs.open, child=child, at_ms=now_ms()))
        for write in child.describe():
            self._on_child(number, write)

    def _catch_up(self, mark: str, records: Sequence[TrialRecord]) -> None:
        known = [(self._child(record.number, record.config), record) for record in records]
        self._queue.put(partial(self._runs.catch_up, mark=mark, known=known, at_ms=now_ms()))

    def _child(self, number: int, values: Mapping[str, Any]) -> Child:
        """The run of a trial, or of a training that is none, from its configuration as plain values."""
        mark, (name, tags) = TRAINING, self._sides.get(number, ("", {}))
        if number not in self._sides:
            mark, name, tags = TRIAL, f"trial {number}", {TRIAL: str(number)}
        return Child(number, mark, name, self._tags | tags_of(values) | tags, partial(self._descriptions, values))

    def _descriptions(self, values: Mapping[str, Any]) -> list[Write]:
        """What is written of a trial before it trains; of one whose settings break a rule, only these."""
        writes: list[Write] = [partial(log_params, params=flatten(values))]
        with suppress(ConfigError):
            config = parse(values)
            used = {task: self._datasets[task] for task in config.mixture if task in self._datasets}
            writes += [
                partial(log_datasets, datasets=used),
                partial(log_text, name="config.yaml", text=yaml.safe_dump(config.to_dict(), sort_keys=False)),
                partial(log_text, name="deepspeed.json", text=json.dumps(deepspeed_config(config, self._n_workers), indent=2)),
            ]
        return writes

    def _on_child(self, number: int, write: Write) -> None:
        self._queue.put(partial(self._runs.on_child, number=number, write=write))

    def _on_parent(self, write: Write) -> None:
        self._queue.put(partial(self._runs.on_parent, write=write))
