"""The confirmation as it runs: after the last trial, through the same gangs and slots, each training kept when it is done."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuner.artifacts.models import Models
from tuner.artifacts.write_queue import tell_stderr
from tuner.config.budget import Used
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation import dev_scores
from tuner.search.confirmation.bootstrap import Goal
from tuner.search.confirmation.finalists import Confirmation, Finalist, Training, choose, fresh_seeds, identity, in_order
from tuner.search.confirmation.outcome import Outcome, Tried, outcome
from tuner.search.confirmation.records import FOLDER, Kept
from tuner.search.confirmation.reserve import affordable
from tuner.search.confirmation.trainings import FinalistTrials
from tuner.tracking.events import Broadcast, Observer
from tuner.tracking.side_trainings import SideTrainingReporter

if TYPE_CHECKING:
    from tuner.config.objective import Objective
    from tuner.config.requirements import Requirements
    from tuner.search.context import Context
    from tuner.tracking.mlflow import MlflowTracking


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
    """Everything that listens to the search."""
    training_s: float
    """Expected seconds of a training; 0 where nothing is known."""

    def __post_init__(self) -> None:
        folder = self.context.run_dir / FOLDER
        self.kept = Kept(folder)
        self.models = Models(folder / "models")

    def run(self, records: Sequence[TrialRecord]) -> Outcome | None:
        """Confirm the best of a search's trials; None where there are none, or when the user asks to end meanwhile."""
        wanted, seed = self.confirmation, self.context.seed
        seeds = fresh_seeds(seed, wanted.n_seeds, {seed, *_seeds_of(records)})
        finalists = choose(records, wanted.default, wanted.n_finalists, self._confirmed(records, seeds))
        if not finalists:
            return None
        self._forget_what_lacks_its_model(finalists, seeds)
        trials = FinalistTrials(in_order(finalists, seeds), self.kept, self.objective, self.requirements)
        notes = [] if wanted.default else [f"there is no untuned default to compare with: {wanted.without_default}"]
        notes += self._shorten(trials)
        self.kept.begin([training.number for training in trials.trainings])
        notes += self._train(trials)
        if self.context.interruption.requested:
            return None
        try:
            self._score_on_dev(trials)
        except KeyboardInterrupt:
            return None
        found = self._outcome(finalists, seeds, trials, notes)
        self.kept.end()
        for name in ("checkpoints", "tune"):  # nothing is unfinished any more
            shutil.rmtree(self.context.run_dir / FOLDER / name, ignore_errors=True)
        return found

    def _confirmed(self, records: Sequence[TrialRecord], seeds: Sequence[int]) -> set[str]:
        """Identities of the configurations that earlier sessions confirmed on all of these seeds."""
        configs = {identity(one.config): one for one in choose(records, None, len(records))}
        return {
            name
            for name, finalist in configs.items()
            if all(_is_complete(self.kept.record(training.number)) for training in finalist.trainings(seeds))
        }

    def _forget_what_lacks_its_model(self, finalists: Sequence[Finalist], seeds: Sequence[int]) -> None:
        """A training whose model is neither there nor scored is done again; so is one of a finalist without any model."""
        for finalist in finalists:
            trainings = finalist.trainings(seeds)
            for training in trainings:
                is_complete = _is_complete(self.kept.record(training.number))
                if is_complete and not self.models.has(training.number) and self.kept.dev(training.number) is None:
                    self.kept.drop(training.number)
            complete = [one.number for one in trainings if _is_complete(self.kept.record(one.number))]
            if complete and not any(map(self.models.has, complete)):
                self.kept.drop(complete[0])

    def _shorten(self, trials: FinalistTrials) -> list[str]:
        """Leave out the trainings that the budget cannot pay, from the end, and say so."""
        n_missing = trials.n_missing
        n_paid = affordable(n_missing, self.training_s, self.context.runner.slots(), self.context.spending.left)
        if n_paid == n_missing:
            return []
        there = {record.number for record in trials.front}
        missing = [training.number for training in trials.trainings if training.number not in there]
        trials.leave_out(missing[n_paid:])
        paid = f"what is left of the budget pays {n_paid} of {n_missing} trainings, the best trial's and the default's first"
        return [f"{paid}; --resume with a larger budget goes on with the rest"]

    def _train(self, trials: FinalistTrials) -> list[str]:
        """Train what is missing. Returns what ended it early, if a budget did."""
        names = {training.number: str(training) for training in trials.trainings}
        self.tracking.announce(self._side_runs(trials.trainings))
        self.tracking.catch_up([record for record in trials.records() if record.evaluations])
        if trials.n_missing == 0:
            return []
        tell_stderr(f"confirming the finalists: {trials.n_missing} trainings")
        search = self.context.spending  # a target is the search's; nothing is reserved any more
        spending = replace(search, budget=replace(search.budget, target=None), reserve=Used)
        reporter, aside = SideTrainingReporter("finalist", names), self.observer.aside("finalist", names)
        observers = Broadcast(self.tracking, reporter, aside, TickForwarder(self.observer))
        folder = self.context.run_dir / FOLDER
        ran = self.context.runner.run(trials, folder, observers, spending, trials.begun, resumable=set(names))
        return [f"the confirmation ended early: {ran.stopped_by}"] if ran.stopped_by and trials.n_missing else []

    def _side_runs(self, trainings: Sequence[Training]) -> dict[int, tuple[str, dict[str, str]]]:
        """MLflow's name and tags of each training."""
        return {one.number: (f"finalist {one}", {"finalist": one.finalist.name, "seed": str(one.seed)}) for one in trainings}

    def _score_on_dev(self, trials: FinalistTrials) -> None:
        """Once for each trained model."""
        done = [record.number for record in trials.front]
        folders = {number: self.models.path(number) for number in done if self.kept.dev(number) is None}
        for number, found in dev_scores.scored(folders, self.context.runner, self.observer.tick):
            self.kept.put_dev(number, found)

    def _outcome(
        self, finalists: Sequence[Finalist], seeds: Sequence[int], trials: FinalistTrials, notes: list[str]
    ) -> Outcome:
        """The outcome; of each finalist the model that stands for it is kept."""
        records = {record.number: record for record in trials.records()}
        tried = []
        for finalist in finalists:
            own = [records[one.number] for one in finalist.trainings(seeds) if one.number in records]
            there = {record.number: self.kept.dev(record.number) for record in own if record.state == "COMPLETE"}
            dev = {number: found for number, found in there.items() if found is not None}
            tried.append(Tried(finalist, own, dev, frozenset(number for number in dev if self.models.has(number))))
        notes = [*notes, *_failures(tried)]
        found = outcome(
            tried,
            n_finalists=self.confirmation.n_finalists,
            seeds=seeds,
            goal=Goal.of(self.objective.goals[0], self.objective.targets),
            requirements=self.requirements,
            seed=self.context.seed,
            notes=notes,
        )
        self.models.drop_others({one.representative.number for one in tried if one.is_ranked})
        return found


def _failures(tried: Sequence[Tried]) -> list[str]:
    """What the user should know of finalists that were left out, or have fewer seeds."""
    notes = []
    for one in tried:
        name = "the untuned default" if one.finalist.is_default else one.finalist.name
        failed = [record for record in one.trainings if record.state == "FAIL"]
        if failed:
            notes.append(f"{name} failed on the seed {failed[0].config['seed']} and is left out: {failed[0].reason}")
        elif not one.complete:
            notes.append(f"{name} was not confirmed: the budget ended before")
        if one.finalist.is_default and not one.is_ranked:
            notes.append("so there is no untuned default to compare with")
    return notes


def _is_complete(record: TrialRecord | None) -> bool:
    return record is not None and record.state == "COMPLETE"


def _seeds_of(records: Sequence[TrialRecord]) -> set[int]:
    return {record.config["seed"] for record in records if "seed" in record.config}
