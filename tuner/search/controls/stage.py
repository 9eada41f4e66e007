"""Trains the controls before the first trial, on the same gangs and slots; every result is cached as soon as it is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.file_contents import read_json
from model.tasks import TASKS
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.write_queue import tell_stderr
from tuner.config.budget import Budget, Spending
from tuner.config.objective import OWN_MEAN, Objective
from tuner.execution.fixed_trials import FixedTrials
from tuner.results.trial_record import TrialRecord
from tuner.search.controls.control import FOLDER, Cache, Control, ControlResult
from tuner.study import Suggestion
from tuner.tracking.events import Broadcast, Observer
from tuner.tracking.side_trainings import SideTrainingReporter

if TYPE_CHECKING:
    from tuner.search.context import Context
    from tuner.tracking.mlflow import MlflowTracking

OWN = "controls.json"
"""In the run's folder: a copy of the results, so that a resumed search does not need the cache."""
WORK = "controls"
"""In the run's folder during training."""


class ControlTrials(FixedTrials):
    """Gives out the controls that are not in the cache; the score is the task's main metric."""

    def __init__(self, controls: Sequence[Control], cache: Cache, run: str) -> None:
        super().__init__(Objective(OWN_MEAN))
        self.controls = {control.number: control for control in controls}
        self.cache = cache
        self.run = run

    def wanted(self) -> Iterator[Suggestion]:
        return (Suggestion(control.number, control.config) for control in self.controls.values())

    def complete(self, number: int) -> None:
        super().complete(number)
        record, control = self.record(number), self.controls[number]
        metric = TASKS[control.task].metric
        self.cache.put(
            control,
            ControlResult(
                task=control.task,
                metric=metric,
                value=record.metrics[metric],
                seconds=record.seconds,
                config=control.config.to_dict(),
                trained_by=self.run,
                evaluations=record.evaluations,
            ),
        )


def run(context: Context, controls: Sequence[Control], observer: Observer) -> dict[str, dict[str, Any]]:
    """Train the controls that are not in the cache.

    Returns each result by task: `ControlResult` as a mapping, with the training's `number` and whether it was `cached`.
    Raises `ConfigError` when one fails, and KeyboardInterrupt when the user interrupts; complete results remain in the cache.
    """
    path = context.run_dir / OWN
    if not controls:
        return {}
    if path.is_file():
        return read_json(path, dict[str, dict[str, Any]])
    cache = Cache(context.run_dir.parent / FOLDER)
    cached = {control.task for control in controls if cache.get(control)}
    missing = [control for control in controls if control.task not in cached]
    if missing:
        _train(context, ControlTrials(missing, cache, context.run_dir.name), observer)
    results: dict[str, dict[str, Any]] = {}
    for control in controls:
        result = cache.get(control)
        if result is not None:
            results[control.task] = asdict(result) | {"number": control.number, "cached": control.task in cached}
    write_whole(path, json.dumps(results, indent=2) + "\n")
    return results


def facts_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The entry of each control in results.json."""
    names = ("metric", "value", "config", "cached")
    return {task: {name: result[name] for name in names} for task, result in results.items()}


def track(results: Mapping[str, Mapping[str, Any]], tracking: MlflowTracking) -> None:
    """Log each control as a child run of the search's MLflow run."""
    runs: dict[int, tuple[str, dict[str, str]]] = {}
    records = []
    for task, result in results.items():
        if "evaluations" not in result:  # a run of an earlier version
            continue
        number, evaluations = result["number"], result["evaluations"]
        tags = {"control": task, "cached": str(result["cached"]).lower(), "trained_by": result["trained_by"]}
        runs[number] = f"control {task}", tags
        values = (evaluations[-1]["metrics"], evaluations, result["config"], result["seconds"])
        records.append(TrialRecord(number, "COMPLETE", result["value"], *values, reason=None))
    tracking.announce(runs)
    tracking.catch_up(records)


def _train(context: Context, trials: ControlTrials, observer: Observer) -> None:
    work = context.run_dir / WORK
    names = {number: control.task for number, control in trials.controls.items()}
    tell_stderr(f"training the single-task controls first: {', '.join(names.values())}")
    uncut = Spending(Budget(), context.runner.shape, context.spending.meter)  # counts their time, and cuts none
    reporter = SideTrainingReporter("control", names)
    ran = context.runner.within(WORK).run(trials, work, Broadcast(reporter, observer.aside("control", names)), uncut)
    ran.checkpoints.drop_others(())
    shutil.rmtree(work, ignore_errors=True)
    if context.interruption.requested:
        raise KeyboardInterrupt
    failed = [
        f"the control of {names[record.number]}, which no-negative-transfer needs, failed: {record.reason}"
        for record in trials.records()
        if record.state != "COMPLETE"
    ]
    if failed:
        raise ConfigError(failed)
