"""The controls as they run: before the first trial, through the same gangs and slots, each kept as soon as it is done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.tasks import TASKS
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.write_queue import tell_stderr
from tuner.config.objective import OWN_MEAN, Objective
from tuner.execution.fixed_trials import FixedTrials
from tuner.results.trial_record import TrialRecord
from tuner.search.controls.control import FOLDER, Cache, Control, Reached
from tuner.study import Suggestion
from tuner.tracking.events import Observer, broadcast
from tuner.tracking.side_trainings import Told

if TYPE_CHECKING:
    from tuner.config.budget import Spending
    from tuner.execution.interruption import Interruption
    from tuner.search.plan import Plan
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


def run(
    plan: Plan, slots: Callable[[], int], data: Any, interruption: Interruption, spending: Spending, observer: Observer
) -> dict[str, dict[str, Any]]:
    """What the search's controls reached, by task: `Reached` as a mapping, with the training's `number`, and whether it was
    `cached`; nothing without any.

    Raises `ConfigError` when one fails, and KeyboardInterrupt when the user asks to end meanwhile; what is trained by then is
    kept.
    """
    own = plan.run_dir / OWN
    if not plan.controls or own.is_file():
        return dict(json.loads(own.read_text(encoding="utf-8"))) if plan.controls else {}
    cache = Cache(plan.run_dir.parent / FOLDER)
    cached = {control.task for control in plan.controls if cache.get(control)}
    missing = [control for control in plan.controls if control.task not in cached]
    if missing:
        _train(plan, ControlTrials(missing, cache, plan.name), slots, data, interruption, spending, observer)
    found = [(control, cache.get(control)) for control in plan.controls]
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


def _train(
    plan: Plan,
    trials: ControlTrials,
    slots: Callable[[], int],
    data: Any,
    interruption: Interruption,
    spending: Spending,
    observer: Observer,
) -> None:
    from tuner.artifacts.models import Models
    from tuner.artifacts.remote_checkpoints import checkpoints_of
    from tuner.config.budget import Budget, Spending
    from tuner.execution import bridge
    from tuner.execution import tune as ray_tune

    work: Path = plan.run_dir / WORK
    names = {number: control.task for number, control in trials.controls.items()}
    tell_stderr(f"first the single-task controls of {', '.join(names.values())}, which are no trials")
    uncut = Spending(Budget(), plan.shape, spending.meter)  # their time counts, and no budget cuts them
    plan = replace(plan, store=plan.store and plan.store.within(WORK))
    models, checkpoints = Models(work / "models"), checkpoints_of(work, plan)
    heard = broadcast(Told("control", names), observer.aside("control", names))
    between = bridge.Bridge(trials, heard, models, checkpoints, slots, interruption, (), uncut)
    ray_tune.run(between, plan.shape, data, work / "tune", plan.options, plan.store)
    checkpoints.drop_others(())
    shutil.rmtree(work, ignore_errors=True)
    if interruption.requested:
        raise KeyboardInterrupt
    failed = [
        f"the control of {names[record.number]}, without which no-negative-transfer says nothing, failed: {record.reason}"
        for record in trials.records()
        if record.state != "COMPLETE"
    ]
    if failed:
        raise ConfigError(failed)
