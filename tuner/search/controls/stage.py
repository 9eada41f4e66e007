"""The controls as they run: before the first trial, through the same gangs and slots, each kept as soon as it is done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.tasks import TASKS
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.write_queue import tell_stderr
from tuner.config.budget import Budget, Spending
from tuner.config.objective import OWN_MEAN, Objective
from tuner.execution.fixed_trials import FixedTrials
from tuner.results.trial_record import TrialRecord
from tuner.search.controls.control import FOLDER, Cache, Control, Reached
from tuner.study import Suggestion
from tuner.tracking.events import Broadcast, Observer
from tuner.tracking.side_trainings import SideTrainingReporter

if TYPE_CHECKING:
    from tuner.search.context import Context
    from tuner.tracking.mlflow import MlflowTracking

OWN = "controls.json"
"""In the run's folder: what the search was begun with, whatever becomes of the cache."""
WORK = "controls"
"""In the run's folder while they are trained."""


class ControlTrials(FixedTrials):
    """Each control that nobody has trained yet, once; its score is its task's main metric."""

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
            Reached(
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

    Returns what each reached, by task: `Reached` as a mapping, with the training's `number`, and whether it was `cached`.
    Raises `ConfigError` when one fails, and KeyboardInterrupt when the user interrupts; what is trained by then is kept.
    """
    own = context.run_dir / OWN
    if not controls or own.is_file():
        return dict(json.loads(own.read_text(encoding="utf-8"))) if controls else {}
    cache = Cache(context.run_dir.parent / FOLDER)
    cached = {control.task for control in controls if cache.get(control)}
    missing = [control for control in controls if control.task not in cached]
    if missing:
        _train(context, ControlTrials(missing, cache, context.run_dir.name), observer)
    found = [(control, cache.get(control)) for control in controls]
    reached = {
        control.task: asdict(one) | {"number": control.number, "cached": control.task in cached}
        for control, one in found
        if one is not None
    }
    write_whole(own, json.dumps(reached, indent=2) + "\n")
    return reached


def facts_of(reached: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What results.json has of each control."""
    names = ("metric", "value", "config", "cached")
    return {task: {name: one[name] for name in names} for task, one in reached.items()}


def track(reached: Mapping[str, Mapping[str, Any]], tracking: MlflowTracking) -> None:
    """Give each control a run below the search's, which is open. They were trained before, here or by an earlier search."""
    kept = {task: one for task, one in reached.items() if "evaluations" in one}  # a run begun before they were kept
    tags = {
        task: {"control": task, "cached": str(one["cached"]).lower(), "trained_by": one["trained_by"]}
        for task, one in kept.items()
    }
    tracking.announce({one["number"]: (f"control {task}", tags[task]) for task, one in kept.items()})
    tracking.catch_up([_record(one) for one in kept.values()])


def _record(one: Mapping[str, Any]) -> TrialRecord:
    metrics = one["evaluations"][-1]["metrics"]
    looks, config, seconds = one["evaluations"], one["config"], one["seconds"]
    return TrialRecord(one["number"], "COMPLETE", one["value"], metrics, looks, config, seconds, reason=None)


def _train(context: Context, trials: ControlTrials, observer: Observer) -> None:
    work = context.run_dir / WORK
    names = {number: control.task for number, control in trials.controls.items()}
    tell_stderr(f"training the single-task controls first: {', '.join(names.values())}")
    uncut = Spending(Budget(), context.runner.shape, context.spending.meter)  # their time counts, and no budget cuts them
    reporter = SideTrainingReporter("control", names)
    ran = context.runner.within(WORK).run(trials, work, Broadcast(reporter, observer.aside("control", names)), uncut)
    ran.checkpoints.drop_others(())
    shutil.rmtree(work, ignore_errors=True)
    if context.interruption.requested:
        raise KeyboardInterrupt
    failed = [
        f"the control of {names[record.number]}, without which no-negative-transfer says nothing, failed: {record.reason}"
        for record in trials.records()
        if record.state != "COMPLETE"
    ]
    if failed:
        raise ConfigError(failed)
