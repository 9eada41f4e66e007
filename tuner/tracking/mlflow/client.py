"""Connects to an MLflow store, classifies its errors for the queue of writes, and reads the runs of a search."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tuner.artifacts.addresses import mask_credentials
from tuner.artifacts.write_queue import WriteFailure
from tuner.tracking.mlflow.names import PARENT, TRAINING, TRIAL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SQLITE = "sqlite:///"
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
        raise ConnectionError(f"{tracking_uri.removeprefix(SQLITE)} does not exist")

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
    return not tracking_uri.startswith(SQLITE) or Path(tracking_uri.removeprefix(SQLITE)).is_file()


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
