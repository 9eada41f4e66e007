"""Registers the champion in MLflow's model registry, with signature, input example and requirements: one version per search.

Models are named by space and data, such as `smart_mtl-6ca11080`, because scores on other data are not comparable. The alias
`champion` moves to a search's version when it beats the version that has it, by the same metric.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from tuner.artifacts.addresses import mask_credentials
from tuner.results.results_json import Registered, model_name, score_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from model.saved_model.comparison import Answers, Texts

ALIAS = "champion"
REQUIREMENTS = ("torch", "transformers", "safetensors", "pandas")
"""Packages that the logged model needs besides MLflow."""
SERVED = Path(__file__).with_name("served_model.py")
EXAMPLES = ({"text": "a text"}, {"text": "first text", "text2": "second text"})
"""Input examples of tasks with one and with two texts."""


@dataclass(frozen=True)
class Previous:
    """The version that has the alias."""

    version: int
    metric: str
    score: float


def verdict(results: Mapping[str, Any], previous: Previous | None) -> tuple[bool, str]:
    """Whether a search's champion takes the alias from the version that has it, and why."""
    champion, metric = results["champion"], results["metric"]
    if not champion["feasible"]:
        return False, "it does not meet the requirements, so it does not become champion"
    score = score_of(champion)
    if previous is None:
        return True, f"the first on these data, with a score of {score:.4f}"
    before = f"version {previous.version}"
    if previous.metric != metric:
        return False, f"{before} stays champion: its score is {previous.metric}, and this one's {metric}"
    if score > previous.score:
        return True, f"its score of {score:.4f} beats the {previous.score:.4f} of {before}"
    return False, f"{before} stays champion with {previous.score:.4f}; this one has {score:.4f}"


def register(run: Path, results: Mapping[str, Any], tracking_uri: str) -> Registered:
    """Log the champion of the run in folder `run` and register it, unless it is registered already.

    `results` holds the contents of results.json, `tracking_uri` the store's address with its password. Loads the model, so call
    it in a separate process. Raises ConnectionError, with the reason in one line, when the store is unreachable or refuses it.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings of MLflow and its database layer
        import mlflow

        from tuner.tracking.mlflow.client import connect

        mlflow.set_tracking_uri(tracking_uri)
        try:
            return _register(run, results, connect(tracking_uri))
        except ConfigError:
            raise
        except Exception as error:  # MLflow, its database layer and artifact stores have their own errors
            reason = mask_credentials(" ".join(str(error).split()))[:400]
            raise ConnectionError(reason or type(error).__name__) from error


def _register(run: Path, results: Mapping[str, Any], client: MlflowClient) -> Registered:
    name, run_id = model_name(results), results["mlflow"]["run_id"]
    origin = _origin(results["champion"])
    if not client.search_registered_models(f"name = '{name}'"):
        data = results["data"]
        tags = {"space": results["space"], "data_sha256": data["sha256"], "generated": str(data["generated"]).lower()}
        client.create_registered_model(name, tags=tags)
    aliases = client.get_registered_model(name).aliases
    holder = client.get_model_version(name, aliases[ALIAS]) if ALIAS in aliases else None
    registered = [
        v
        for v in client.search_model_versions(f"run_id = '{run_id}'")
        if v.name == name and {tag: v.tags[tag] for tag in ("trial", "seed") if tag in v.tags} == origin
    ]
    if registered:
        version = int(registered[0].version)
        is_champion = holder is not None and int(holder.version) == version
        return Registered(name, version, is_champion, "it was registered before")
    is_champion, reason = verdict(results, holder and _previous(holder))
    tags = origin | {"search": results["name"], "metric": results["metric"], "score": repr(score_of(results["champion"]))}
    with _unchanged_status(client, run_id):
        address = _log(run, results, run_id)
    created = client.create_model_version(name, address, run_id, tags=tags, description=reason)
    if is_champion:
        client.set_registered_model_alias(name, ALIAS, created.version)
    return Registered(name, int(created.version), is_champion, reason)


def _origin(champion: Mapping[str, Any]) -> dict[str, str]:
    """Tags that identify the champion's training in its search."""
    confirmed = champion.get("confirmed")
    number = "default" if champion["number"] is None else str(champion["number"])
    return {"trial": number} | ({"seed": str(confirmed["seed"])} if confirmed else {})


@contextmanager
def _unchanged_status(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Restore a run's status and end time, because logging a model reopens it and ends it as FINISHED."""
    before = client.get_run(run_id).info
    try:
        yield
    finally:
        if before.status == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        else:
            client.set_terminated(run_id, status=before.status, end_time=before.end_time)


def _previous(version: ModelVersion) -> Previous | None:
    """A version's metric and score from its tags; None for one that was registered by hand without them."""
    tags = version.tags
    return Previous(int(version.version), tags["metric"], float(tags["score"])) if {"metric", "score"} <= set(tags) else None


def _log(run: Path, results: Mapping[str, Any], run_id: str) -> str:
    """Log the champion as a model of the search's run. Returns its URI.

    Deletes the logged model and raises `ConfigError` if, loaded from the store, it does not predict what the champion does.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    from tuner.results.export import export

    text = [ColSpec("string", "task"), ColSpec("string", "text"), ColSpec("string", "text2", required=False)]
    answer = [ColSpec("string", "label"), ColSpec("double", "score")]
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder, "model")
        comparison = export(run, exported)
        with mlflow.start_run(run_id=run_id):
            info = mlflow.pyfunc.log_model(
                name=ALIAS,
                python_model=str(SERVED),
                artifacts={"model": str(exported)},
                signature=ModelSignature(Schema(text), Schema(answer)),
                input_example=pd.DataFrame(examples(results["champion"]["config"]["mixture"])),
                pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            )
    try:
        comparison.check("the model in MLflow", _logged_answers(info.model_uri))
    except ConfigError:
        mlflow.MlflowClient().delete_logged_model(info.model_id)
        raise
    return str(info.model_uri)


def _logged_answers(model_uri: str) -> Answers:
    """The predictions of a logged model, as a client of MLflow gets them."""
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(model_uri)

    def answers(task: str, texts: Texts) -> list[tuple[str, float]]:
        rows = [{"task": task, **dict(zip(("text", "text2"), row, strict=False))} for row in texts]
        return list(model.predict(pd.DataFrame(rows)).itertuples(index=False, name=None))

    return answers


def examples(mixture: list[str]) -> list[dict[str, str]]:
    """An example request with a row for each task."""
    from model.tasks import TASKS

    return [{"task": name, **EXAMPLES[TASKS[name].is_pair]} for name in mixture]
