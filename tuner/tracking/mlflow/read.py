"""What MLflow's store has: the runs of a search, and of an experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tuner.tracking.mlflow.client import MlflowStore
from tuner.tracking.mlflow.names import PARENT, TRAINING, TRIAL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SQLITE = "sqlite:///"
T = TypeVar("T")


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
    training: int | None = None
    """Of a run that is no trial's, such as a finalist's."""
    run_id: str = ""
    experiment_id: str = ""


def read_runs(tracking_uri: str, run_id: str) -> list[RunFound]:
    """The parent run of a search, first, and its children.

    Raises ConnectionError, with the reason in one line, when the store is away or has no such run; creates nothing.
    """
    if not _may_be_there(tracking_uri):
        raise ConnectionError(f"{tracking_uri.removeprefix(SQLITE)} does not exist")

    def read(client: MlflowClient) -> list[Run]:
        parent = client.get_run(run_id)
        return [parent, *search_runs(client, parent.info.experiment_id, f"tags.`{PARENT}` = '{run_id}'")]

    return [_run_found(run) for run in _answer(tracking_uri, read)]


def read_experiment(tracking_uri: str, name: str) -> list[dict[str, Any]] | None:
    """`params`, `metrics` and `tags` of the trials in an experiment, oldest first; None where there is no such experiment.

    Raises ConnectionError, with the reason in one line, when the store is away; creates nothing.
    """
    if not _may_be_there(tracking_uri):
        return None

    def read(client: MlflowClient) -> list[Run] | None:
        experiment = client.get_experiment_by_name(name)
        return None if experiment is None else search_runs(client, experiment.experiment_id, f"tags.{TRIAL} != ''")

    found = _answer(tracking_uri, read)
    if found is None:
        return None
    runs = sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))
    return [{"params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags} for run in runs]


def _may_be_there(tracking_uri: str) -> bool:
    """Whether there is a store to ask: MLflow would make a file that is missing."""
    return not tracking_uri.startswith(SQLITE) or Path(tracking_uri.removeprefix(SQLITE)).is_file()


def _answer(tracking_uri: str, read: Callable[[MlflowClient], T]) -> T:
    """What the store answers. Raises ConnectionError when it does not."""
    found: list[T] = []
    trouble = MlflowStore(tracking_uri).attempt(lambda client: found.append(read(client)))
    if trouble is not None:
        raise ConnectionError(" ".join(trouble.message.split())[:400])
    return found[0]


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
