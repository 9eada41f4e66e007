"""Hands over the results of a search: results.json, the champion's model with its metrics on dev, its registration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from tuner.artifacts.addresses import in_environment
from tuner.artifacts.models import FOLDER
from tuner.artifacts.retry import retry_on_full_disk
from tuner.artifacts.write_queue import write_stderr
from tuner.config import command_lines
from tuner.results import results_json
from tuner.results.environment import describe as describe_environment
from tuner.search.confirmation.stage import dev_scores

if TYPE_CHECKING:
    from tuner.artifacts.models import Models
    from tuner.results.facts import SearchFacts
    from tuner.search.confirmation.outcome import Outcome
    from tuner.search.context import Context
    from tuner.search.warm_start import WarmStart
    from tuner.study import Study
    from tuner.tracking.mlflow import MlflowTracking

REGISTER_S = 300.0


@dataclass(frozen=True)
class HandOver:
    """Writes results.json and `champion/` in a run's folder."""

    context: Context
    study: Study
    facts: SearchFacts
    tracking: MlflowTracking
    storage: str
    """Optuna's."""
    warm_start: WarmStart | None

    def write(
        self,
        models: Models,
        *,
        interrupted: bool,
        stopped_by: str | None,
        confirmed: Outcome | None = None,
        finalists: Models | None = None,
    ) -> dict[str, Any]:
        """Move the champion's model to `champion/`, write results.json and return its contents.

        The champion is the first finalist of the outcome `confirmed`, with its model in `finalists`, else the best trial, with
        its model in `models`.
        """
        champion, path = self.study.best, self.context.run_dir / FOLDER
        self.tracking.wait_for_answer()
        number = confirmed.model if confirmed else None
        if finalists is not None and number is not None:
            retry_on_full_disk(lambda: finalists.hand_over(number, path))
        elif champion is not None:
            retry_on_full_disk(lambda: models.hand_over(champion.number, path))
        results = results_json.build(
            self.facts,
            self.study.records(),
            seed=self.context.seed,
            rows={task: dataset.rows for task, dataset in self.facts.datasets.items()},
            started=self.facts.started,
            finished=None if interrupted else now(),
            environment=describe_environment(),
            mlflow={
                "tracking_uri": self.tracking.tracking_uri,
                "experiment_id": self.tracking.experiment_id,
                "run_id": self.tracking.run_id,
            },
            optuna={"storage": self.storage, "study_name": self.facts.study_name},
            champion=champion,
            champion_path=path if champion is not None else None,
            front=self.study.front,
            stopped_by=stopped_by,
            warm_start=self.warm_start.to_dict() | self.study.history_outcome() if self.warm_start else None,
            confirmation=confirmed.confirmation if confirmed else None,
        )
        if confirmed and confirmed.champion:
            results["champion"] = results_json.finite(confirmed.champion | {"path": str(path)})
        self.keep(results)
        return results

    def add_dev_metrics(self, results: dict[str, Any]) -> None:
        """Evaluate the champion once on the dev split, on which nothing was chosen, as `champion.dev` of results.json.

        Raises KeyboardInterrupt when the user interrupts, and `ConfigError` when the folder's model is not the trained one:
        `champion/` is deleted then, and the model stays in `models/`.
        """
        path = Path(results["champion"]["path"])
        try:
            ((_, dev),) = dev_scores({0: path}, self.context.runner)
        except ConfigError:
            shutil.rmtree(path)
            raise
        results["champion"]["dev"] = dev.metrics
        self.keep(results)

    def register(self, results: dict[str, Any]) -> dict[str, Any]:
        """Register the champion in MLflow, in a separate process because that loads the model.

        Returns results.json's contents with the registration as `champion.registered`. Where it fails, the reason and the
        command that registers the champion later are printed.
        """
        run_dir = self.context.run_dir
        self.keep(results)
        self.tracking.flush()  # the model is logged to the search's run, which must exist
        command = [sys.executable, "-m", "tuner", "register", str(run_dir)]
        environment = {**os.environ, **in_environment(self.tracking.tracking_uri)}  # the run's folder has no password
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=REGISTER_S, env=environment)
            if done.returncode == 0:
                return results_json.read(run_dir / results_json.FILE_NAME)
            reason = (done.stderr.strip().splitlines() or ["MLflow did not take the champion"])[-1]
        except subprocess.TimeoutExpired:
            reason = f"MLflow did not take the champion within {REGISTER_S:g} s"
        write_stderr(f"{reason}; register it later with: {command_lines.register(run_dir)}")
        return results

    def keep(self, results: dict[str, Any]) -> None:
        """Write results.json, waiting while the disk is full."""
        retry_on_full_disk(lambda: results_json.write(self.context.run_dir / results_json.FILE_NAME, results))


def now() -> str:
    """The time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
