"""MLflow: one parent run per search, one child per trial, written by the driver alone. The only file that imports mlflow.

Writes are put in a queue and done in order. When the server is away, they wait there and are tried again at later events
and at the end: MLflow never stops a search, and nothing is lost while the driver lives.
"""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from model.alarms import alarms
from model.config import ConfigError, TrialConfig, parse
from model.deepspeed_config import deepspeed_config
from model.evaluation import Evaluation
from tuner import commands
from tuner.addresses import mask_credentials, resolve_tracking_uri
from tuner.front import best_of
from tuner.observer import SearchFacts
from tuner.record import INTERRUPTED, TrialRecord
from tuner.results import FILE_NAME, finite
from tuner.write_queue import Trouble, WriteQueue, tell_stderr

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CUT_OFF = {"state": "UNFINISHED", "reason": INTERRUPTED}
"""Tags of a run whose trial the end of a session cut short; its status is KILLED."""
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST")
"""MLflow's error codes that trying again cannot mend."""
MAX_KEY, MAX_PARAM, MAX_TAG, MAX_BATCH, MAX_NAME = 250, 6000, 8000, 100, 500
"""MLflow's limits: characters of a key, a parameter, a tag; parameters of one call; characters of a name."""
LAST_RETRIES_S = 90.0
"""How long a server that is away is tried at the end of the search."""
HTTP_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the queue tries again; the default, 7 with waits, would hold the search up
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class RunFound:
    """A run as MLflow's store has it. What it does not say is None."""

    number: int | None
    """The trial's; None for the parent."""
    status: str
    state: str | None
    score: float | None
    """The last one logged."""
    reason: str | None


def read_runs(tracking_uri: str, run_id: str) -> list[RunFound]:
    """The parent run of a search, first, and its children.

    Raises ConnectionError, with the reason in one line, when the store is away or has no such run; creates nothing.
    """
    database = Path(tracking_uri.removeprefix("sqlite:///"))
    if tracking_uri.startswith("sqlite:///") and not database.is_file():
        raise ConnectionError(f"{database} does not exist")
    found: list[Run] = []

    def read(client: MlflowClient) -> None:
        parent = client.get_run(run_id)
        children = f"tags.`mlflow.parentRunId` = '{run_id}'"
        found[:] = [parent, *_search_runs(client, parent.info.experiment_id, children)]

    trouble = MlflowStore(tracking_uri).attempt(read)
    if trouble is not None:
        raise ConnectionError(" ".join(trouble.message.split())[:400])
    return [_run_found(run) for run in found]


def _run_found(run: Run) -> RunFound:
    tags = run.data.tags
    number = int(tags["trial"]) if "mlflow.parentRunId" in tags and tags.get("trial", "").isdigit() else None
    return RunFound(number, run.info.status, tags.get("state"), run.data.metrics.get("score"), tags.get("reason"))


def _search_runs(client: MlflowClient, experiment_id: str | None, condition: str) -> list[Run]:
    """All runs of an experiment that meet `condition`, over all pages."""
    page = client.search_runs([experiment_id], filter_string=condition)
    runs = list(page)
    while page.token:
        page = client.search_runs([experiment_id], filter_string=condition, page_token=page.token)
        runs += page
    return runs


def read_experiment(tracking_uri: str, name: str) -> list[dict[str, Any]] | None:
    """`params`, `metrics` and `tags` of the trials in an experiment, oldest first; None where there is no such experiment.

    Raises ConnectionError, with the reason in one line, when the store is away; creates nothing.
    """
    if tracking_uri.startswith("sqlite:///") and not Path(tracking_uri.removeprefix("sqlite:///")).is_file():
        return None
    found: list[list[Run]] = []

    def read(client: MlflowClient) -> None:
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            found[:] = [_search_runs(client, experiment.experiment_id, "tags.trial != ''")]

    trouble = MlflowStore(tracking_uri).attempt(read)
    if trouble is not None:
        raise ConnectionError(" ".join(trouble.message.split())[:400])
    if not found:
        return None
    runs = sorted(found[0], key=lambda run: (run.info.start_time, run.info.run_id))
    return [{"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags} for run in runs]


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


class MlflowStore:
    """One MLflow store as the queue sees it: connected to when first written to, its errors sorted into those that pass and
    those that do not. MLflow and its database layer warn of their own deprecations, which do not concern the user.
    """

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._client: MlflowClient | None = None

    def attempt(self, write: Callable[[MlflowClient], None]) -> Trouble | None:
        """Do a write. None when it is done, else what went wrong and whether trying again can mend it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from mlflow.exceptions import MlflowException
            from sqlalchemy.exc import SQLAlchemyError

            try:
                self._client = self._client or _connect(self._uri)
                write(self._client)
            except MlflowException as error:
                return Trouble(mask_credentials(str(error)), passes=error.error_code not in REFUSALS)
            except (SQLAlchemyError, OSError) as error:
                return Trouble(mask_credentials(str(error)), passes=True)
            except Exception as error:  # an artifact store's own library (S3, GCS) raises what it likes
                return Trouble(mask_credentials(f"{type(error).__name__}: {error}"), passes=False)
        return None


def _connect(tracking_uri: str) -> MlflowClient:
    """A client that gives up soon and says nothing. The user's own MLFLOW_* settings have precedence."""
    for name, value in HTTP_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # what goes wrong is told by the queue, in a sentence
    return MlflowClient(tracking_uri=tracking_uri)


class MlflowTracking:
    """Writes a search to MLflow as it happens. `run_id` names the parent run of an interrupted search to go on with.

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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tracking_uri = resolve_tracking_uri(tracking_uri, run_dir)
        self.experiment_id: str | None = None
        """None until the store has answered for the first time."""
        self.run_id: str | None = None
        self._resumed_id = run_id
        self._run_dir = run_dir.resolve()
        self._experiment = experiment[:MAX_NAME]
        self._queue = WriteQueue(MlflowStore(self.tracking_uri), warn, clock)
        self._n_workers = n_workers
        self._children: dict[int, str] = {}
        self._running: set[int] = set()
        self._tags: dict[str, str] = {}
        self._n_finished = 0
        self._best: TrialRecord | None = None

    def ui_command(self) -> str:
        return commands.mlflow_ui(self.tracking_uri, self.experiment_id, self.run_id)

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
        self._tags |= {"mlflow.source.type": "LOCAL", "mlflow.source.name": "tuner.search"}
        if plan.started:
            self._tags["started"] = plan.started
        if plan.git_commit:
            self._tags |= {"git_commit": plan.git_commit, "mlflow.source.git.commit": plan.git_commit}
        self._queue.put(self._open_experiment)
        self._queue.put(partial(self._open_parent, plan, _now_ms()))
        if plan.finished or plan.unfinished:
            self._queue.put(partial(self._catch_up, plan, _now_ms()))

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._open(number, config.to_dict())

    def _descriptions(self, values: Mapping[str, Any]) -> list[Callable[[MlflowClient, str], None]]:
        """What is written of a trial before it trains; of one whose settings break a rule, only these."""
        writes: list[Callable[[MlflowClient, str], None]] = [partial(_log_params, params=flatten(values))]
        with suppress(ConfigError):
            config = parse(values)
            writes += [
                partial(_log_text, name="config.yaml", text=yaml.safe_dump(config.to_dict(), sort_keys=False)),
                partial(_log_text, name="deepspeed.json", text=json.dumps(deepspeed_config(config, self._n_workers), indent=2)),
            ]
        return writes

    def log_artifacts(self, number: int, texts: Mapping[str, str]) -> None:
        """Keep text files (name: contents) with a trial, such as its DeepSpeed configuration."""
        for name, text in texts.items():
            self._on_child(number, partial(_log_text, name=name, text=text))

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        for write in _measurements(evaluation.to_dict() | {"score": score}, _now_ms()):
            self._on_child(number, write)

    def trial_noted(self, number: int, note: str) -> None:
        self._on_child(number, partial(_set_tags, tags={"note": note}))

    def trial_finished(self, record: TrialRecord) -> None:
        if record.number not in self._running:  # it broke before it started, or an earlier session started it
            self._open(record.number, record.config)
            for known in record.evaluations if record.same_as is not None else ():
                for write in _measurements(known, _now_ms()):
                    self._on_child(record.number, write)
        self._running.discard(record.number)
        self._n_finished += 1
        status, tags = _ending(record)
        self._on_child(record.number, partial(_end, status=status, tags=tags, at_ms=_now_ms()))
        best = best_of([record] if self._best is None else [self._best, record])
        if best is not record or record.score is None:
            return
        self._best = best
        metrics = {f"best/{name}": value for name, value in record.metrics.items()}
        metrics |= {"best_score": record.score, "best_trial": float(record.number)}
        self._on_parent(partial(_log_metrics, metrics=metrics, step=self._n_finished, at_ms=_now_ms()))

    def search_finished(self, results: dict[str, Any]) -> None:
        """End the parent run: KILLED when interrupted, FAILED without a champion. Waits a while for a server that is away."""
        for number in sorted(self._running):
            self._on_child(number, partial(_end, status="KILLED", tags=CUT_OFF, at_ms=_now_ms()))
        self._running.clear()
        for number in results["front"]:
            self._on_child(number, partial(_set_tags, tags={"front": "yes"}))
        self._on_parent(partial(_log_text, name=FILE_NAME, text=json.dumps(finite(results), indent=2, ensure_ascii=False)))
        status = "KILLED" if results["finished"] is None else "FINISHED" if results["champion"] else "FAILED"
        self._on_parent(partial(_end, status=status, tags={}, at_ms=_now_ms()))
        self._queue.drain(LAST_RETRIES_S)

    def tick(self) -> None:
        self._queue.flush()

    def _open(self, number: int, values: Mapping[str, Any]) -> None:
        """A trial's run with its parameters, from its configuration as plain values."""
        self._running.add(number)
        self._queue.put(partial(self._open_child, number, self._tags | _tags_of(number, values), _now_ms()))
        for write in self._descriptions(values):
            self._on_child(number, write)

    def _on_child(self, number: int, write: Callable[[MlflowClient, str], None]) -> None:
        def on_run(client: MlflowClient) -> None:
            if number in self._children:  # else its creation was refused, which was told then
                write(client, self._children[number])

        self._queue.put(on_run)

    def _on_parent(self, write: Callable[[MlflowClient, str], None]) -> None:
        self._queue.put(lambda client: write(client, self.run_id) if self.run_id else None)

    def _open_experiment(self, client: MlflowClient) -> None:
        found = client.get_experiment_by_name(self._experiment)
        if found is None:
            # A server decides for itself where artifacts go; a database would put them in the working directory.
            folder = None if self.tracking_uri.startswith(("http", "databricks")) else str(self._run_dir / "mlartifacts")
            self.experiment_id = client.create_experiment(self._experiment, artifact_location=folder)
            return
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        self.experiment_id = found.experiment_id

    def _open_parent(self, plan: SearchFacts, at_ms: int, client: MlflowClient) -> None:
        if self._resumed_id and self._search(client, f"attributes.run_id = '{self._resumed_id}'"):
            client.update_run(self._resumed_id, status="RUNNING")
            self.run_id = self._resumed_id
            return
        # A creation whose answer was lost, to a store that went away or to a driver that was killed, is not done twice.
        same = f"tags.started = '{plan.started}'" if plan.started else f"attributes.start_time = {at_ms}"
        found = [
            run
            for run in self._search(client, same)
            if run.info.run_name == plan.name and "mlflow.parentRunId" not in run.data.tags
        ]
        self.run_id = found[0].info.run_id if found else self._create(client, plan.name, self._tags, at_ms)
        names = (
            "name",
            "space",
            "profile",
            "metric",
            "sampler",
            "pruner",
            "rung_resource",
            "n_trials",
            "n_evaluations",
            "max_concurrent",
        )
        params = {name: getattr(plan, name) for name in (*names, "data_source", "data_summary")}
        _log_params(client, self.run_id, params=flatten(params))

    def _catch_up(self, plan: SearchFacts, at_ms: int, client: MlflowClient) -> None:
        """Write what a kill, or a store that was away, kept from the children of earlier sessions, and end those that run."""
        if self.run_id is None:
            return
        runs = {run.data.tags.get("trial"): run for run in self._search(client, self._child_filter())}
        records = {str(record.number): record for record in (*plan.finished, *plan.unfinished)}
        for trial, record in records.items():
            if trial not in runs and (record.evaluations or record.is_finished):
                run_id = self._open_again(record, at_ms, client)
                self._complete(run_id, 0, record, at_ms, client)
            elif trial in runs and (runs[trial].info.status == "RUNNING" or not record.is_finished):
                run = runs[trial]
                self._complete(run.info.run_id, int(run.data.metrics.get("evaluation", 0)), record, at_ms, client)
        for trial in {trial for trial, run in runs.items() if run.info.status == "RUNNING"} - set(records):
            _end(client, runs[trial].info.run_id, status="KILLED", tags=CUT_OFF, at_ms=at_ms)

    def _open_again(self, record: TrialRecord, at_ms: int, client: MlflowClient) -> str:
        tags = self._tags | _tags_of(record.number, record.config) | {"mlflow.parentRunId": str(self.run_id)}
        run_id = self._create(client, f"trial {record.number}", tags, at_ms)
        for write in self._descriptions(record.config):
            write(client, run_id)
        return run_id

    def _complete(self, run_id: str, n_known: int, record: TrialRecord, at_ms: int, client: MlflowClient) -> None:
        """Write a record's evaluations after the first `n_known`, and end its run; an unfinished one is opened again later."""
        for stored in record.evaluations[n_known:]:
            for write in _measurements(stored, at_ms):
                write(client, run_id)
        status, tags = _ending(record) if record.is_finished else ("KILLED", CUT_OFF)
        _end(client, run_id, status=status, tags=tags, at_ms=at_ms)

    def _open_child(self, number: int, tags: dict[str, str], at_ms: int, client: MlflowClient) -> None:
        """Create the trial's run; one that exists goes on (resumed from its checkpoint, or created and the answer lost)."""
        if self.run_id is None:  # the parent was refused, and that was told
            return
        found = self._search(client, self._child_filter(f"tags.trial = '{number}'"))
        if not found:
            tags = tags | {"mlflow.parentRunId": self.run_id}
            self._children[number] = self._create(client, f"trial {number}", tags, at_ms)
            return
        self._children[number] = found[0].info.run_id
        client.update_run(found[0].info.run_id, status="RUNNING")
        for tag in {"reason", "state"} & set(found[0].data.tags):
            client.delete_tag(found[0].info.run_id, tag)

    def _create(self, client: MlflowClient, name: str, tags: dict[str, str], at_ms: int) -> str:
        run = client.create_run(self.experiment_id, start_time=at_ms, tags=_cut(tags), run_name=name)
        return str(run.info.run_id)

    def _child_filter(self, *conditions: str) -> str:
        return " and ".join([f"tags.`mlflow.parentRunId` = '{self.run_id}'", *conditions])

    def _search(self, client: MlflowClient, condition: str) -> list[Run]:
        return _search_runs(client, self.experiment_id, condition)


def _measurements(evaluation: Mapping[str, Any], at_ms: int) -> list[Callable[[MlflowClient, str], None]]:
    """What is written of an evaluation with its score, as the study keeps it: its numbers, and the alarms that they raise."""
    own = {"score": evaluation["score"], "seconds": evaluation["seconds"]}
    own |= {"evaluation": float(evaluation["index"]), "examples": float(evaluation["examples"])}
    health = evaluation.get("health", {})
    metrics = {**evaluation["metrics"], **evaluation["losses"], **own, **health}
    writes: list[Callable[[MlflowClient, str], None]] = [
        partial(_log_metrics, metrics=metrics, step=evaluation["step"], at_ms=at_ms)
    ]
    raised = alarms(health, evaluation["losses"])
    if raised:
        writes.append(partial(_set_tags, tags={alarm: ", ".join(tasks) for alarm, tasks in raised.items()}))
    return writes


def _ending(record: TrialRecord) -> tuple[str, dict[str, str]]:
    """MLflow's status of a finished trial, and its tags."""
    said = {"reason": record.reason, "note": record.note}
    said["same_as"] = None if record.same_as is None else str(record.same_as)
    if record.requirements:
        said["requirements"] = "missed" if record.shortfall else "met"
    return STATUS[record.state], {"state": record.state} | {name: text for name, text in said.items() if text}


def _tags_of(number: int, config: Mapping[str, Any]) -> dict[str, str]:
    """What tells a trial's run apart in MLflow's table."""
    smart = "on" if config.get("smart", {}).get("enabled") else "off"
    return {"trial": str(number), "mixture": ",".join(config.get("mixture", ())), "smart": smart}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: as_tag(value) for name, value in tags.items()}


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    entities = [Param(name, value) for name, value in params.items()]
    for start in range(0, len(entities), MAX_BATCH):
        client.log_batch(run_id, params=entities[start : start + MAX_BATCH])


def _log_metrics(client: MlflowClient, run_id: str, metrics: Mapping[str, float], step: int, at_ms: int) -> None:
    """The time is that of the event: with it, MLflow takes a metric that is sent twice for one."""
    from mlflow.entities import Metric

    client.log_batch(run_id, metrics=[Metric(name, value, at_ms, step) for name, value in metrics.items()])


def _log_text(client: MlflowClient, run_id: str, name: str, text: str) -> None:
    client.log_text(run_id, text, name)


def _set_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    for name, value in _cut(tags).items():
        client.set_tag(run_id, name, value)


def _end(client: MlflowClient, run_id: str, status: str, tags: Mapping[str, str], at_ms: int) -> None:
    _set_tags(client, run_id, tags)
    client.set_terminated(run_id, status=status, end_time=at_ms)
