"""Runs the confirmation after the last trial, on the same gangs and slots; every training is kept as soon as it ends."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ray

from cluster import connect
from tuner.artifacts.models import Models
from tuner.artifacts.write_queue import write_stderr
from tuner.config.budget import Used
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.execution.rank import predict_on_dev, runtime_environment
from tuner.execution.runner import Runner
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import Confirmation, Finalist, choose, fresh_seeds, in_order
from tuner.search.confirmation.outcome import FinalistResult, Outcome, outcome
from tuner.search.confirmation.reserve import affordable
from tuner.search.confirmation.statistics import Dev, Goal
from tuner.search.confirmation.trainings import FOLDER, ConfirmationRecords, FinalistTrials
from tuner.search.context import Context
from tuner.tracking.events import Broadcast, Observer, SideTrainingReporter
from tuner.tracking.mlflow import MlflowTracking

POLL_S = 0.5


@dataclass
class TickForwarder(Observer):
    """Forwards only `tick`, for observers whose trials are over."""

    search: Observer

    def tick(self) -> None:
        self.search.tick()


@dataclass
class Stage:
    """The confirmation of one search. Its trainings count towards the search's budget."""

    context: Context
    confirmation: Confirmation
    objective: Objective
    requirements: Requirements
    tracking: MlflowTracking
    observer: Observer
    """All observers of the search."""
    training_s: float
    """Expected seconds of a training; 0 where unknown."""

    def __post_init__(self) -> None:
        self.folder = self.context.run_dir / FOLDER
        self.files = ConfirmationRecords(self.folder)
        self.models = Models(self.folder / "models")

    def run(self, records: Sequence[TrialRecord]) -> Outcome | None:
        """Confirm the best trials among `records`; None without finalists, and where the user interrupts."""
        plan, seed = self.confirmation, self.context.seed
        used_seeds = {record.config["seed"] for record in records if "seed" in record.config}
        seeds = fresh_seeds(seed, plan.n_seeds, {seed} | used_seeds)
        finalists = choose(records, plan.default, plan.n_finalists, self._confirmed(records, seeds))
        if not finalists:
            return None
        for finalist in finalists:
            self._drop_without_model(finalist, seeds)
        trials = FinalistTrials(in_order(finalists, seeds), self.files, self.objective, self.requirements)
        notes = [] if plan.default else [f"there is no untuned default to compare with: {plan.without_default}"]
        notes += self._shorten(trials)
        self.files.begin([training.number for training in trials.trainings])
        notes += self._train(trials)
        if self.context.interruption.requested:
            return None
        missing = [record.number for record in trials.front if self.files.dev(record.number) is None]
        try:
            folders = {number: self.models.path(number) for number in missing}
            for number, dev in dev_scores(folders, self.context.runner, self.observer.tick):
                self.files.put_dev(number, dev)
        except KeyboardInterrupt:
            return None
        result = self._outcome(finalists, seeds, trials, notes)
        self.files.end()
        for name in ("checkpoints", "tune"):  # no training is unfinished
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return result

    def _confirmed(self, records: Sequence[TrialRecord], seeds: Sequence[int]) -> set[str]:
        """Identities of the configurations that earlier sessions trained on all of these seeds."""
        return {
            finalist.identity
            for finalist in choose(records, None, len(records))
            if all(self.files.is_complete(training.number) for training in finalist.trainings(seeds))
        }

    def _drop_without_model(self, finalist: Finalist, seeds: Sequence[int]) -> None:
        """Drop complete trainings with neither a model nor predictions on dev; and one training if no model is left at all."""
        numbers = [training.number for training in finalist.trainings(seeds)]
        for number in filter(self.files.is_complete, numbers):
            if not self.models.has(number) and self.files.dev(number) is None:
                self.files.drop(number)
        complete = list(filter(self.files.is_complete, numbers))
        if complete and not any(map(self.models.has, complete)):
            self.files.drop(complete[0])

    def _shorten(self, trials: FinalistTrials) -> list[str]:
        """Leave out the last trainings that the budget cannot pay; returns a note if there are any."""
        n_missing = trials.n_missing
        n_paid = affordable(n_missing, self.training_s, self.context.runner.slots(), self.context.spending.left)
        if n_paid == n_missing:
            return []
        complete = {record.number for record in trials.front}
        missing = [training.number for training in trials.trainings if training.number not in complete]
        trials.leave_out(missing[n_paid:])
        paid = f"what is left of the budget pays {n_paid} of {n_missing} trainings, the best trial's and the default's first"
        return [f"{paid}; --resume with a larger budget goes on with the rest"]

    def _train(self, trials: FinalistTrials) -> list[str]:
        """Train what is missing; returns a note if a budget ends it early."""
        names = {training.number: str(training) for training in trials.trainings}
        tags = {one.number: {"finalist": one.finalist.name, "seed": str(one.seed)} for one in trials.trainings}
        self.tracking.announce({number: (f"finalist {names[number]}", tags[number]) for number in names})
        self.tracking.catch_up([record for record in trials.records() if record.evaluations])
        if trials.n_missing == 0:
            return []
        write_stderr(f"confirming the finalists: {trials.n_missing} trainings")
        spending = self.context.spending  # the target is for trials, and the reserve may be used now
        spending = replace(spending, budget=replace(spending.budget, target=None), reserve=Used)
        reporter, side_observer = SideTrainingReporter("finalist", names), self.observer.aside("finalist", names)
        observer = Broadcast(self.tracking, reporter, side_observer, TickForwarder(self.observer))
        ran = self.context.runner.run(trials, self.folder, observer, spending, trials.begun, resumable=set(names))
        return [f"the confirmation ended early: {ran.stopped_by}"] if ran.stopped_by and trials.n_missing else []

    def _outcome(
        self, finalists: Sequence[Finalist], seeds: Sequence[int], trials: FinalistTrials, notes: list[str]
    ) -> Outcome:
        """The outcome; only the finalists' representative models are kept."""
        records = {record.number: record for record in trials.records()}
        results = []
        for finalist in finalists:
            trainings = [records[one.number] for one in finalist.trainings(seeds) if one.number in records]
            complete = (record.number for record in trainings if record.state == "COMPLETE")
            dev = {number: predictions for number in complete if (predictions := self.files.dev(number)) is not None}
            results.append(FinalistResult(finalist, trainings, dev, frozenset(filter(self.models.has, dev))))
        result = outcome(
            results,
            n_finalists=self.confirmation.n_finalists,
            seeds=seeds,
            goal=Goal.of(self.objective.goals[0], self.objective.targets),
            requirements=self.requirements,
            seed=self.context.seed,
            notes=[*notes, *_failures(results)],
        )
        self.models.drop_others({one.representative.number for one in results if one.is_ranked})
        return result


def _failures(results: Sequence[FinalistResult]) -> list[str]:
    """Notes on finalists that failed or were not trained."""
    notes = []
    for result in results:
        name = "the untuned default" if result.finalist.is_default else result.finalist.name
        failed = [record for record in result.trainings if record.state == "FAIL"]
        if failed:
            notes.append(f"{name} failed on the seed {failed[0].config['seed']} and is left out: {failed[0].reason}")
        elif not result.complete:
            notes.append(f"{name} was not confirmed: the budget ended before")
        if result.finalist.is_default and not result.is_ranked:
            notes.append("so there is no untuned default to compare with")
    return notes


def dev_scores(
    folders: Mapping[int, Path], runner: Runner, tick: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, Dev]]:
    """Yield each model's number and its predictions on dev as they are ready; `folders` are the models' folders by number.

    Calls `tick` about every `POLL_S` seconds. Raises KeyboardInterrupt when the user interrupts.
    """
    shape, sends_files = runner.shape, runner.store is not None  # without a store all nodes share the run's folder
    remote = ray.remote(predict_on_dev).options(
        num_cpus=shape.cpus_per_worker,
        num_gpus=shape.gpus_per_worker,
        runtime_env=runtime_environment(shape.cpus_per_worker, shape.gpus_per_worker, is_forked=not connect.other_nodes()),
    )
    models = {number: _files(folder) if sends_files else str(folder) for number, folder in folders.items()}
    waiting = {remote.remote(model, runner.data, shape.cpus_per_worker): number for number, model in models.items()}
    while waiting:
        done, _ = ray.wait(list(waiting), timeout=POLL_S)
        for call in done:
            yield waiting.pop(call), Dev(*ray.get(call))
        tick()
        if waiting and runner.interruption.requested:
            for call in waiting:
                ray.cancel(call, force=True)
            raise KeyboardInterrupt


def _files(folder: Path) -> dict[str, bytes]:
    """Contents of all files below `folder`, by relative path."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
