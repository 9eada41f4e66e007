"""Logs a running search to MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError, TrialConfig, parse
from model.engine.config import deepspeed_config
from model.training.evaluation import Evaluation
from tuner.artifacts.addresses import resolve_tracking_uri
from tuner.artifacts.write_queue import WriteQueue, write_stderr
from tuner.results.facts import Dataset, SearchFacts
from tuner.results.pareto import best_of
from tuner.results.results_json import FILE_NAME, finite
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer
from tuner.tracking.mlflow import runs
from tuner.tracking.mlflow.client import CUT_OFF, TRAINING, TRIAL, MlflowStore, confirmed, ending, flatten, is_server, tags_of

MAX_NAME = 500
"""MLflow's limit: characters of a name."""
ANSWER_S = 10.0
"""Seconds that the results wait for a store that has not responded yet."""
LAST_RETRIES_S = 90.0
"""Seconds of retries at the end of the search while the server is unreachable."""


class MlflowTracking(Observer):
    """Queues the writes of a search's events. `run_id` is the parent run of the interrupted search to resume.

    `n_workers` is the number of ranks of a trial, for its DeepSpeed configuration.
    """

    def __init__(
        self,
        tracking_uri: str | None,
        run_dir: Path,
        experiment: str,
        run_id: str | None = None,
        n_workers: int = 1,
        warn: Callable[[str], None] = write_stderr,
    ) -> None:
        self.tracking_uri = resolve_tracking_uri(tracking_uri, run_dir)
        self._run_dir = run_dir.resolve()
        self._experiment = experiment[:MAX_NAME]
        # Without a location a database would use the working directory.
        self._runs = runs.Runs(None if is_server(self.tracking_uri) else (self._run_dir / "mlartifacts").as_uri(), run_id)
        self._queue = WriteQueue(MlflowStore(self.tracking_uri).attempt, warn)
        self._n_workers = n_workers
        self._sides: dict[int, tuple[str, dict[str, str]]] = {}
        """Name and tags of the runs of controls and finalists, by number."""
        self._running: set[int] = set()
        self._tags: dict[str, str] = {}
        self._datasets: Mapping[str, Dataset] = {}
        self._n_finished = 0
        self._best: TrialRecord | None = None

    @property
    def experiment_id(self) -> str | None:
        """None before the store's first response."""
        return self._runs.experiment_id

    @property
    def run_id(self) -> str | None:
        """Of the parent run; None before the store's first response."""
        return self._runs.parent_id

    def search_started(self, plan: SearchFacts) -> None:
        """Create or reopen the parent run, and bring its children up to date with the study."""
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._n_finished = len(plan.finished)
        self._best = best_of(plan.finished)
        self._tags = {
            "space": plan.space,
            "sampler": plan.sampler,
            "pruner": plan.pruner,
            "data_sha256": plan.data_sha256,
            "data_generated": str(plan.is_generated).lower(),
            "mlflow.source.type": "LOCAL",
            "mlflow.source.name": "tuner.search",
        }
        self._datasets = plan.datasets
        if plan.started:
            self._tags["started"] = plan.started
        if plan.git_commit:
            self._tags |= {"git_commit": plan.git_commit, "mlflow.source.git.commit": plan.git_commit}
        self._queue.put(partial(self._runs.open_experiment, name=self._experiment))
        self._queue.put(partial(self._runs.open_parent, plan=plan, tags=dict(self._tags), at_ms=runs.now_ms()))
        if plan.finished or plan.unfinished:
            self._catch_up(TRIAL, (*plan.finished, *plan.unfinished))

    def announce(self, sides: Mapping[int, tuple[str, dict[str, str]]]) -> None:
        """Register controls or finalists, whose events are logged like those of trials: name and tags by number."""
        self._sides |= {number: (name, {TRAINING: str(number), **tags}) for number, (name, tags) in sides.items()}

    def catch_up(self, records: Sequence[TrialRecord]) -> None:
        """Bring the runs of announced trainings of earlier sessions up to date."""
        if records:
            self._catch_up(TRAINING, records)

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._open(number, config.to_dict())

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        for write in runs.measurements(evaluation.to_dict() | {"score": score}, runs.now_ms()):
            self._write(number, write)

    def trial_noted(self, number: int, note: str) -> None:
        self._write(number, runs.set_tags, tags={"note": note})

    def trial_paused(self, record: TrialRecord) -> None:
        self._running.discard(record.number)
        self._write(record.number, runs.pause, record=record)

    def trial_finished(self, record: TrialRecord) -> None:
        if record.number not in self._running:  # paused, failed before its start, or started by an earlier session
            self._open(record.number, record.config)
            for evaluation in record.evaluations if record.same_as is not None else ():
                for write in runs.measurements(evaluation, runs.now_ms()):
                    self._write(record.number, write)
        self._running.discard(record.number)
        status, tags = ending(record)
        self._write(record.number, runs.end, status=status, tags=tags, at_ms=runs.now_ms())
        if record.number in self._sides:
            return
        self._n_finished += 1
        best = best_of([record] if self._best is None else [self._best, record])
        if best is not record or record.score is None:
            return
        self._best = best
        metrics = {f"best/{name}": value for name, value in record.metrics.items()}
        metrics |= {"best_score": record.score, "best_trial": float(record.number)}
        self._write(None, runs.log_metrics, metrics=metrics, step=self._n_finished, at_ms=runs.now_ms())

    def search_finished(self, results: dict[str, Any]) -> None:
        """End the parent run: KILLED when interrupted, FAILED without a champion. Retries for `LAST_RETRIES_S` seconds."""
        for number in sorted(self._running):
            self._write(number, runs.end, status="KILLED", tags=CUT_OFF, at_ms=runs.now_ms())
        self._running.clear()
        confirmation = confirmed(results.get("confirmation"))
        if confirmation is not None:
            metrics, tags = confirmation
            self._write(None, runs.log_metrics, metrics=metrics, step=self._n_finished, at_ms=runs.now_ms())
            self._write(None, runs.set_tags, tags=tags)
        for number in results["front"]:
            self._write(number, runs.set_tags, tags={"front": "yes"})
        self._write(None, runs.log_text, name=FILE_NAME, text=json.dumps(finite(results), indent=2, ensure_ascii=False))
        status = "KILLED" if results["finished"] is None else "FINISHED" if results["champion"] else "FAILED"
        self._write(None, runs.end, status=status, tags={}, at_ms=runs.now_ms())
        self.flush()

    def wait_for_answer(self, limit_s: float = ANSWER_S) -> None:
        """Wait up to `limit_s` seconds for the store's first response, after which `run_id` is known."""
        self._runs.answered.wait(limit_s)

    def flush(self, limit_s: float = LAST_RETRIES_S) -> None:
        """Wait up to `limit_s` seconds until all queued writes are done."""
        self._queue.drain(limit_s)

    def _open(self, number: int, values: Mapping[str, Any]) -> None:
        """Create or reopen a trial's run; `values` is its configuration."""
        self._running.add(number)
        child = self._child(number, values)
        self._queue.put(partial(self._runs.open, child=child, at_ms=runs.now_ms()))
        for write in child.describe():
            self._write(number, write)

    def _catch_up(self, mark: str, records: Sequence[TrialRecord]) -> None:
        known = [(self._child(record.number, record.config), record) for record in records]
        self._queue.put(partial(self._runs.catch_up, mark=mark, known=known, at_ms=runs.now_ms()))

    def _child(self, number: int, values: Mapping[str, Any]) -> runs.Child:
        """The run of a trial, control or finalist; `values` is its configuration."""
        mark, (name, tags) = TRAINING, self._sides.get(number, ("", {}))
        if number not in self._sides:
            mark, name, tags = TRIAL, f"trial {number}", {TRIAL: str(number)}
        return runs.Child(number, mark, name, self._tags | tags_of(values) | tags, partial(self._descriptions, values))

    def _descriptions(self, values: Mapping[str, Any]) -> list[runs.Write]:
        """The writes before a training; an invalid configuration has its parameters only."""
        writes: list[runs.Write] = [partial(runs.log_params, params=flatten(values))]
        with suppress(ConfigError):
            config = parse(values)
            datasets = {task: self._datasets[task] for task in config.mixture if task in self._datasets}
            settings = yaml.safe_dump(config.to_dict(), sort_keys=False)
            deepspeed = json.dumps(deepspeed_config(config, self._n_workers), indent=2)
            writes += [
                partial(runs.log_datasets, datasets=datasets),
                partial(runs.log_text, name="config.yaml", text=settings),
                partial(runs.log_text, name="deepspeed.json", text=deepspeed),
            ]
        return writes

    def _write(self, number: int | None, write: Callable[..., None], **arguments: Any) -> None:
        """Queue a write to the run of a trial, or to the parent for None."""
        self._queue.put(partial(self._runs.write, number=number, write=partial(write, **arguments)))
