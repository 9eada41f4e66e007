"""What a search hands over: its results, the best trial's model, and that model's metrics on dev."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.artifacts.addresses import in_environment
from tuner.artifacts.models import FOLDER
from tuner.artifacts.retry import on_disk
from tuner.artifacts.write_queue import tell_stderr
from tuner.config import command_lines as commands
from tuner.execution.interruption import Interruption
from tuner.results import environment
from tuner.results import results_json as results

if TYPE_CHECKING:
    from tuner.artifacts.models import Models
    from tuner.results.facts import SearchFacts
    from tuner.search.confirmation.outcome import Outcome
    from tuner.search.plan import Plan
    from tuner.study import Study
    from tuner.tracking.mlflow import MlflowTracking

REGISTER_S = 300.0


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
    confirmed: Outcome | None = None,
    finalists: Models | None = None,
) -> dict[str, Any]:
    """Put the champion's model at `champion/` and write results.json. Returns its contents.

    The champion is the finalist that was `confirmed`, one of the models `finalists`, and where there is none the best trial.
    """
    champion = study.best
    path = plan.run_dir / FOLDER
    tracking.wait_for_answer()
    number = confirmed.model if confirmed else None
    if finalists is not None and number is not None:
        on_disk(lambda: finalists.hand_over(number, path))
    elif champion is not None:
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
        optuna=optuna_of(plan),
        champion=champion,
        champion_path=path if champion is not None else None,
        front=study.front,
        stopped_by=stopped_by,
        warm_start=plan.warm_start.to_dict() | study.history_outcome() if plan.warm_start else None,
        confirmation=confirmed.told if confirmed else None,
    )
    if confirmed and confirmed.champion:
        found["champion"] = results.finite(confirmed.champion | {"path": str(path)})
    keep(plan, found)
    return found


def optuna_of(plan: Plan) -> dict[str, str]:
    """Where the study is."""
    return {"storage": plan.storage, "study_name": plan.name}


def add_dev_metrics(plan: Plan, found: dict[str, Any], data: Any, interruption: Interruption) -> None:
    """Score the champion on the dev split, once: nothing was chosen on it. Adds them to results.json as `champion.dev`.

    Raises KeyboardInterrupt when the user asks to end meanwhile.
    """
    from tuner.search.confirmation import dev_scores as dev

    ((_, scored),) = dev.scored({0: Path(found["champion"]["path"])}, plan.shape, data, interruption, plan.store is not None)
    found["champion"]["dev"] = scored.metrics
    keep(plan, found)


def register(plan: Plan, found: dict[str, Any], tracking: MlflowTracking) -> dict[str, Any]:
    """Register the champion in MLflow, in a process of its own, for it loads the model. Returns results.json's contents, with
    what became of it as `champion.registered`; where MLflow does not take it, a sentence says how to do so later."""
    keep(plan, found)
    tracking.settle()  # the model is logged with the search's run
    command = [sys.executable, "-m", "tuner", "register", str(plan.run_dir)]
    later = f"register it later with: {commands.register(plan.run_dir)}"
    login = {**os.environ, **in_environment(tracking.tracking_uri)}  # the run's folder keeps no password
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=REGISTER_S, env=login)
    except subprocess.TimeoutExpired:
        tell_stderr(f"MLflow did not take the champion within {REGISTER_S:g} s; {later}")
        return found
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["MLflow did not take the champion"]
        tell_stderr(f"{said[-1]}; {later}")
        return found
    return results.read(plan.run_dir / results.FILE_NAME)


def keep(plan: Plan, found: dict[str, Any]) -> None:
    """Write results.json, and wait where the disk is full: all the rest is done."""
    on_disk(lambda: results.write(plan.run_dir / results.FILE_NAME, found))


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
