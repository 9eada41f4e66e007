"""The controls as they run: before the first trial, through the same gangs and slots, each kept as soon as it is done."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.evaluation import Evaluation
from model.tasks import TASKS
from tuner.controls.control import FOLDER, Cache, Control, Reached
from tuner.files import write_whole
from tuner.objective import OWN_MEAN, Objective
from tuner.observer import SilentObserver
from tuner.record import TrialRecord
from tuner.study import Asked, Verdict
from tuner.write_queue import tell_stderr

if TYPE_CHECKING:
    from tuner.budget import Spending
    from tuner.interruption import Interruption
    from tuner.plan import Plan

OWN = "controls.json"
"""In the run's folder: what the search was begun with, whatever becomes of the cache."""
WORK = "controls"
"""In the run's folder while they are trained."""


@dataclass
class ControlTrials:
    """A `tuner.trials.Trials`: each control that nobody has trained yet, once."""

    controls: Sequence[Control]
    cache: Cache
    run: str
    objective: Objective = field(default_factory=lambda: Objective(OWN_MEAN))
    """Of a trial of one task: its main metric."""
    ended: list[int] = field(default_factory=list)
    best: TrialRecord | None = None
    front: Sequence[TrialRecord] = ()
    _records: dict[int, TrialRecord] = field(default_factory=dict)

    def ask(self) -> Asked | None:
        number = len(self._records)
        if number == len(self.controls):
            return None
        config = self.controls[number].config
        self._records[number] = TrialRecord(number, "RUNNING", None, {}, [], config.to_dict(), seconds=0.0, reason=None)
        return Asked(number, config)

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        """Only a score that is not finite ends a control early."""
        before, score = self.record(number), self.objective.score(evaluation.metrics)
        if before.is_finished:
            return Verdict.STOP
        if not math.isfinite(score):
            self.fail(number, f"its {TASKS[self.controls[number].task].metric} became {score}")
            return Verdict.STOP
        looks = [*before.evaluations, evaluation.to_dict() | {"score": score}]
        self._records[number] = replace(
            before, score=score, metrics=evaluation.metrics, evaluations=looks, seconds=evaluation.seconds
        )
        return Verdict.CONTINUE

    def complete(self, number: int) -> None:
        record, control = self.record(number), self.controls[number]
        assert record.score is not None, "a control is completed before its last evaluation is reported"
        metric = TASKS[control.task].metric
        self.cache.put(
            control,
            Reached(control.task, metric, record.metrics[metric], record.seconds, control.config.to_dict(), self.run),
        )
        self._records[number] = replace(record, state="COMPLETE")

    def prune(self, number: int, reason: str) -> None:
        """Nothing cuts a control: the search cannot begin without it."""

    def fail(self, number: int, reason: str) -> None:
        self._records[number] = replace(self.record(number), state="FAIL", score=None, reason=reason)

    def note(self, number: int, note: str) -> None:
        self._records[number] = replace(self.record(number), note=note)

    def records(self) -> list[TrialRecord]:
        return list(self._records.values())

    def record(self, number: int) -> TrialRecord:
        return self._records[number]


@dataclass
class Told(SilentObserver):
    """Says on stderr what becomes of each control."""

    controls: Sequence[Control]

    def trial_finished(self, record: TrialRecord) -> None:
        score = "" if record.score is None else f" {record.score:.4f} after {record.seconds:.1f} s"
        reason = f": {record.reason}" if record.reason else ""
        control = self.controls[record.number]
        tell_stderr(f"control {control.task}  {record.state}  {TASKS[control.task].metric}{score}{reason}")


def run(
    plan: Plan, slots: Callable[[], int], data: Any, interruption: Interruption, spending: Spending
) -> dict[str, dict[str, Any]]:
    """What the search's controls reached, by task: `metric`, `value`, and whether it was `cached`; nothing without any.

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
        _train(plan, ControlTrials(missing, cache, plan.name), slots, data, interruption, spending)
    found = {control.task: cache.get(control) for control in plan.controls}
    reached = {
        task: {name: value for name, value in asdict(one).items() if name in ("metric", "value", "config")}
        | {"cached": task in cached}
        for task, one in found.items()
        if one is not None
    }
    write_whole(own, json.dumps(reached, indent=2) + "\n")
    return reached


def _train(
    plan: Plan,
    trials: ControlTrials,
    slots: Callable[[], int],
    data: Any,
    interruption: Interruption,
    spending: Spending,
) -> None:
    from tuner import bridge, ray_tune
    from tuner.budget import Budget, Spending
    from tuner.checkpoints import Checkpoints
    from tuner.models import Models

    work: Path = plan.run_dir / WORK
    tell_stderr(f"first the single-task controls of {', '.join(one.task for one in trials.controls)}, which are no trials")
    uncut = Spending(Budget(), plan.shape, spending.meter)  # their time counts, and no budget cuts them
    models, checkpoints = Models(work / "models"), Checkpoints(work / "checkpoints", plan.shape.n_workers)
    between = bridge.Bridge(trials, Told(trials.controls), models, checkpoints, slots, interruption, (), uncut)
    ray_tune.run(between, plan.shape, data, work / "tune", plan.options.checkpoint_every)
    shutil.rmtree(work, ignore_errors=True)
    if interruption.requested:
        raise KeyboardInterrupt
    failed = [
        f"the control of {trials.controls[record.number].task}, without which no-negative-transfer says nothing, failed: "
        f"{record.reason}"
        for record in trials.records()
        if record.state != "COMPLETE"
    ]
    if failed:
        raise ConfigError(failed)
