"""Single-task controls: each task of a search trained alone, untuned and without SMART, for `--require no-negative-transfer`.

A control is the untuned configuration (`tuner.space.untuned`) of one task with SMART off, on the search's seed and budget. It
is trained before the first trial, on the same gangs and slots; every result is cached for later searches as soon as it is
there. The cache's key is a hash of everything that it depends on, so a search with other data, backbone or budget trains its
own. Controls are not trials of the study: no sampler learns from them, nothing prunes them, and none can be champion.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, parse
from model.data.file_contents import read_json
from model.data.source import DataSummary
from model.tasks import TASKS
from tuner.artifacts.atomic import write_whole
from tuner.artifacts.write_queue import write_stderr
from tuner.config.budget import Budget, Spending
from tuner.config.objective import OWN_MEAN, Objective
from tuner.execution.fixed_trials import FixedTrials
from tuner.results.trial_record import TrialRecord
from tuner.search.cache_key import TRAINING_LIBRARIES, digest, versions_of, weights_of
from tuner.search.context import Context
from tuner.space import Space
from tuner.space.untuned import untuned
from tuner.study import Suggestion
from tuner.tracking.events import Broadcast, Observer, SideTrainingReporter
from tuner.tracking.mlflow import MlflowTracking

FOLDER = ".controls"
"""Beside the runs, whose names never begin with a dot."""
OWN = "controls.json"
"""In the run's folder: a copy of the results, so that a resumed search does not need the cache."""
WORK = "controls"
"""In the run's folder during training."""
VERSION = 1
"""To be raised when a change of the training code changes results."""


@dataclass(frozen=True)
class Control:
    """The training of one task alone."""

    task: str
    config: TrialConfig
    key: str
    """Name of its file in the cache."""

    @property
    def number(self) -> int:
        """Its number as a training, above all trials' numbers and the same in every session."""
        return (1 << 40) + int(self.key[:10], 16)


@dataclass(frozen=True)
class ControlResult:
    """The result of a control."""

    task: str
    metric: str
    value: float
    """The task's main metric on select at the last evaluation."""
    seconds: float
    config: dict[str, Any]
    trained_by: str
    """The search that trained it."""
    evaluations: Sequence[Mapping[str, Any]]
    """As in a trial's record."""


def configure(space: Space, task: str, seed: int) -> TrialConfig:
    """The control's configuration. Raises `ConfigError` where the space has no untuned default for the task alone."""
    alone = {"mixture": [task], "watch": [], "smart": {"enabled": False}, "mixing": {}}
    return canonical(parse(untuned(space, seed).to_dict() | alone))


def controls_for(space: Space, tasks: tuple[str, ...], seed: int, summary: DataSummary, n_workers: int) -> tuple[Control, ...]:
    """The control of each task; raises `ConfigError` with the problems of all of them."""
    problems: list[str] = []
    valid: list[Control] = []
    for task in tasks:
        try:
            config = configure(space, task, seed)
            valid.append(Control(task, config, key(config, summary.task_sha256[task], n_workers)))
        except ConfigError as error:
            problems += [f"--require no-negative-transfer, control of {task}: {problem}" for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return tuple(valid)


def key(config: TrialConfig, data_sha256: str, n_workers: int) -> str:
    """A hash of everything that a control's result depends on, except the machine's arithmetic."""
    return digest(
        {
            "version": VERSION,
            "config": config.to_dict(),
            "data": data_sha256,
            "n_workers": n_workers,
            "backbone": weights_of(config.backbone),
            "libraries": versions_of(TRAINING_LIBRARIES),
        }
    )


class Cache:
    """A folder with `KEY.json` for every complete control, written atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, control: Control) -> ControlResult | None:
        """The control's result; None where its file is missing or damaged."""
        try:
            result = read_json(self._folder / f"{control.key}.json", ControlResult)
        except (FileNotFoundError, ConfigError):
            return None
        return result if (result.task, result.metric) == (control.task, TASKS[control.task].metric) else None

    def put(self, control: Control, result: ControlResult) -> None:
        """Write a control's result. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / f"{control.key}.json", json.dumps(asdict(result), indent=2) + "\n")


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
    write_stderr(f"training the single-task controls first: {', '.join(names.values())}")
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
