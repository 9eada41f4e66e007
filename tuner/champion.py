"""What a search hands over: its results, the best trial's model, and that model's metrics on dev."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tuner import environment, results
from tuner.interruption import Interruption
from tuner.patience import Patience, full_disk

if TYPE_CHECKING:
    from tuner.models import Models
    from tuner.observer import SearchFacts
    from tuner.plan import Plan
    from tuner.study import Study
    from tuner.tracking import MlflowTracking

FOLDER = "champion"
POLL_S = 0.5
on_disk = Patience("the disk of the run's folder", full_disk)


def hand_over(
    plan: Plan,
    study: Study,
    models: Models,
    facts: SearchFacts,
    tracking: MlflowTracking,
    *,
    started: str,
    interrupted: bool,
    stopped_by: str | None = None,
) -> dict[str, Any]:
    """Put the best trial's model at `champion/` and write results.json. Returns its contents."""
    champion = study.best
    path = plan.run_dir / FOLDER
    if champion is not None:
        on_disk(lambda: models.hand_over(champion.number, path))
    found = results.build(
        facts,
        study.records(),
        seed=plan.options.seed,
        rows=plan.summary.rows,
        started=started,
        finished=None if interrupted else now(),
        environment=environment.describe(),
        mlflow={
            "tracking_uri": tracking.tracking_uri,
            "experiment_id": tracking.experiment_id,
            "run_id": tracking.run_id,
        },
        optuna={"storage": plan.storage, "study_name": plan.name},
        champion=champion,
        champion_path=path if champion is not None else None,
        front=study.front,
        stopped_by=stopped_by,
        warm_start=plan.warm_start.to_dict() | study.history_outcome() if plan.warm_start else None,
    )
    keep(plan, found)
    return found


def add_dev_metrics(plan: Plan, found: dict[str, Any], data: Any, interruption: Interruption) -> None:
    """Score the champion on the dev split, once: nothing was chosen on it. Adds them to results.json as `champion.dev`.

    Raises KeyboardInterrupt when the user asks to end meanwhile.
    """
    import ray

    from tuner.worker import process_environment, score_on_dev

    shape = plan.shape
    remote = ray.remote(score_on_dev).options(
        num_cpus=shape.cpus_per_worker,
        num_gpus=shape.gpus_per_worker,
        runtime_env={"env_vars": process_environment(shape.cpus_per_worker, shape.gpus_per_worker)},
    )
    scoring = remote.remote(found["champion"]["path"], data, shape.cpus_per_worker)
    while not ray.wait([scoring], timeout=POLL_S)[0]:
        if interruption.requested:
            ray.cancel(scoring, force=True)
            raise KeyboardInterrupt
    found["champion"]["dev"] = ray.get(scoring)
    keep(plan, found)


def keep(plan: Plan, found: dict[str, Any]) -> None:
    """Write results.json, and wait where the disk is full: all the rest is done."""
    on_disk(lambda: results.write(plan.run_dir / results.FILE_NAME, found))


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
