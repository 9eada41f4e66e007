"""Connects to an MLflow store, classifies its errors for the queue of writes, and reads the runs of a search.

Also translates a search's facts to MLflow's statuses, tags and parameters, within its limits.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tuner.artifacts.addresses import file_of, mask_credentials
from tuner.artifacts.write_queue import WriteFailure
from tuner.results.text import dotted
from tuner.results.trial_record import INTERRUPTED, TrialRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

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
T = TypeVar("T")
REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE", "BAD_REQUEST")
"""MLflow's error codes of permanent failures."""
SILENCED = ("mlflow", "alembic", "sqlalchemy", "pydantic", "google", "tuner\\.tracking")
"""Modules whose deprecation warnings do not concern the user."""
HTTP_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the queue retries; the default of 7 with waits would block it
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowStore:
    """The store at a tracking URI. It connects at the first write, and classifies failures as transient or permanent."""

    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        self._client: MlflowClient | None = None

    def attempt(self, write: Callable[[MlflowClient], None]) -> WriteFailure | None:
        """Do a write. Returns its failure, or None."""
        # `catch_warnings` would change the filters of the whole process, which other threads use.
        for module in SILENCED:
            warnings.filterwarnings("ignore", module=module)
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._client = self._client or connect(self._uri)
            write(self._client)
        except MlflowException as error:
            return WriteFailure(mask_credentials(str(error)), is_transient=error.error_code not in REFUSALS)
        except (SQLAlchemyError, OSError) as error:
            return WriteFailure(mask_credentials(str(error)), is_transient=True)
        except Exception as error:  # an artifact store's library (S3, GCS) has its own errors
            return WriteFailure(mask_credentials(f"{type(error).__name__}: {error}"), is_transient=False)
        return None


def connect(tracking_uri: str) -> MlflowClient:
    """A client with short time-outs and without log output. The user's MLFLOW_* settings have precedence.

    Raises SQLAlchemyError at once when a database refuses the connection: MLflow itself would retry for an hour.
    """
    for name, value in HTTP_SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient
    from sqlalchemy import create_engine

    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # the queue reports errors
    if not is_server(tracking_uri) and not tracking_uri.startswith("sqlite"):
        engine = create_engine(tracking_uri)
        engine.connect().close()
        engine.dispose()
    return MlflowClient(tracking_uri=tracking_uri)


@dataclass(frozen=True)
class RunFound:
    """A run in MLflow's store; absent values are None."""

    number: int | None
    """The trial's; None for the parent."""
    status: str
    state: str | None
    score: float | None
    """The last one logged."""
    reason: str | None
    training: int | None = None
    """The number of a control or finalist training."""
    run_id: str = ""
    experiment_id: str = ""


def read_runs(tracking_uri: str, run_id: str) -> list[RunFound]:
    """The parent run of a search, first, and its children.

    Raises ConnectionError, with the reason in one line, when the store is unreachable or has no such run; creates nothing.
    """
    if not may_exist(tracking_uri):
        raise ConnectionError(f"{file_of(tracking_uri)} does not exist")

    def read(client: MlflowClient) -> list[Run]:
        parent = client.get_run(run_id)
        return [parent, *search_runs(client, parent.info.experiment_id, f"tags.`{PARENT}` = '{run_id}'")]

    return [_run_found(run) for run in _answer(tracking_uri, read)]


def read_experiment(tracking_uri: str, name: str) -> list[dict[str, Any]] | None:
    """`params`, `metrics` and `tags` of the trials in an experiment, oldest first; None if it does not exist.

    Raises ConnectionError, with the reason in one line, when the store is unreachable; creates nothing.
    """
    if not may_exist(tracking_uri):
        return None

    def read(client: MlflowClient) -> list[Run] | None:
        experiment = client.get_experiment_by_name(name)
        return None if experiment is None else search_runs(client, experiment.experiment_id, f"tags.{TRIAL} != ''")

    trials = _answer(tracking_uri, read)
    if trials is None:
        return None
    runs = sorted(trials, key=lambda run: (run.info.start_time, run.info.run_id))
    return [{"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags} for run in runs]


def is_server(tracking_uri: str) -> bool:
    """Whether it is a server, which has its own artifact location; for a database that is in the run's folder."""
    return tracking_uri.startswith(("http", "databricks"))


def may_exist(tracking_uri: str) -> bool:
    """Whether the store may exist: MLflow would create a missing file."""
    file = file_of(tracking_uri)
    return file is None or file.is_file()


def _answer(tracking_uri: str, read: Callable[[MlflowClient], T]) -> T:
    """The result of `read`. Raises ConnectionError when it fails."""
    results: list[T] = []
    failure = MlflowStore(tracking_uri).attempt(lambda client: results.append(read(client)))
    if failure is not None:
        raise ConnectionError(" ".join(failure.message.split())[:400])
    return results[0]


def _run_found(run: Run) -> RunFound:
    tags = run.data.tags
    number = int(tags[TRIAL]) if PARENT in tags and tags.get(TRIAL, "").isdigit() else None
    training = int(tags[TRAINING]) if tags.get(TRAINING, "").isdigit() else None
    score, info = run.data.metrics.get("score"), run.info
    return RunFound(
        number, info.status, tags.get("state"), score, tags.get("reason"), training, info.run_id, info.experiment_id
    )


def search_runs(client: MlflowClient, experiment_id: str | None, condition: str) -> list[Run]:
    """All runs of an experiment that meet `condition`, over all pages."""
    page = client.search_runs([experiment_id], filter_string=condition)
    runs = list(page)
    while page.token:
        page = client.search_runs([experiment_id], filter_string=condition, page_token=page.token)
        runs += page
    return runs


def as_tag(text: str) -> str:
    """The value of a tag: without passwords, truncated to MLflow's limit."""
    return as_unicode(mask_credentials(text))[:MAX_TAG]


def as_unicode(text: str) -> str:
    """A text that MLflow can store: bytes of a file name that are not UTF-8 become `\\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode()


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested settings to MLflow's parameters: dotted names, values as text, lists joined by commas, truncated."""
    flat: dict[str, str] = {}
    for name, value in dotted(config).items():
        text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        flat[name[:MAX_KEY]] = as_unicode(text)[:MAX_PARAM]
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
