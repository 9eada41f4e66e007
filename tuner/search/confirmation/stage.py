"""The confirmation as it runs: after the last trial, through the same gangs and slots, each training kept when it is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tuner.artifacts.models import Models
from tuner.artifacts.write_queue import tell_stderr
from tuner.config.budget import Used
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.bootstrap import Goal
from tuner.search.confirmation.finalists import Finalist, Training, choose, fresh_seeds, identity, in_order
from tuner.search.confirmation.outcome import Outcome, Tried, outcome
from tuner.search.confirmation.records import FOLDER, Kept
from tuner.search.confirmation.reserve import affordable
from tuner.search.confirmation.trainings import FinalistTrials
from tuner.tracking.events import Observer, SilentObserver, broadcast
from tuner.tracking.side_trainings import Told

if TYPE_CHECKING:
    from tuner.config.budget import Spending
    from tuner.config.requirements import Requirements
    from tuner.execution.interruption import Interruption
    from tuner.search.plan import Plan
    from tuner.tracking.mlflow import MlflowTracking


@dataclass
class KeptAlive(SilentObserver):
    """Lets the search's observers live on: their trials are over."""

    search: Observer

    def tick(self) -> None:
        self.search.tick()


@dataclass
class Stage:
    """The confirmation of one search. `spending` is the search's own: trainings count towards its totals."""

    plan: Plan
    slots: Callable[[], int]
    data: Any
    interruption: Interruption
    spending: Spending
    requirements: Requirements
    tracking: MlflowTracking
    observer: Observer
    """Everything that listens to the search."""
    training_s: float
    """What a training is expected to take; 0 where nothing is known."""

    def __post_init__(self) -> None:
        folder = self.plan.run_dir / FOLDER
        self.kept = Kept(folder)
        self.models = Models(folder / "models")

    def run(self, records: Sequence[TrialRecord]) -> Outcome | None:
        """Confirm the best of a search's trials; None where there are none, or when the user asks to end meanwhile."""
        asked = self.plan.confirmation
        assert asked is not None
        seeds = fresh_seeds(self.plan.options.seed, asked.n_seeds, {self.plan.options.seed, *_seeds_of(records)})
        finalists = choose(records, asked.default, asked.n_finalists, self._confirmed(records, seeds))
        if not finalists:
            return None
        wanted = in_order(finalists, seeds)
        self._forget_what_lacks_its_model(finalists, seeds)
        trials = FinalistTrials(wanted, self.kept, self.plan.objective, self.requirements)
        notes = [] if asked.default else [f"there is no untuned default to compare with: {asked.without_default}"]
        notes += self._shorten(trials)
        self.kept.begin([training.number for training in trials.trainings])
        notes += self._train(trials)
        if self.interruption.requested:
            return None
        try:
            self._score_on_dev(trials)
        except KeyboardInterrupt:
            return None
        found = self._outcome(finalists, seeds, trials, notes)
        self.kept.end()
        for name in ("checkpoints", "tune"):  # nothing is unfinished any more
            shutil.rmtree(self.plan.run_dir / FOLDER / name, ignore_errors=True)
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
        left, n_missing = self.spending.left, trials.n_missing
        n_paid = affordable(n_missing, self.training_s, self.slots(), left)
        if n_paid == n_missing:
            return []
        there = {record.number for record in trials.front}
        missing = [training.number for training in trials.trainings if training.number not in there]
        trials.leave_out(missing[n_paid:])
        paid = f"what is left of the budget pays {n_paid} of {n_missing} trainings, the best trial's and the default's first"
        return [f"{paid}; --resume with a larger budget goes on with the rest"]

    def _train(self, trials: FinalistTrials) -> list[str]:
        """Train what is missing. Returns what ended it early, if a budget did."""
        from tuner.artifacts.remote_checkpoints import checkpoints_of
        from tuner.execution import bridge
        from tuner.execution import tune as ray_tune

        names = {training.number: str(training) for training in trials.trainings}
        self.tracking.announce(self._side_runs(trials.trainings))
        self.tracking.catch_up([record for record in trials.records() if record.evaluations])
        if trials.n_missing == 0:
            return []
        tell_stderr(f"now the confirmation, {trials.n_missing} trainings which are no trials")
        folder = self.plan.run_dir / FOLDER
        checkpoints = checkpoints_of(folder, self.plan)
        checkpoints.drop_others(set(names))
        # A target is the search's; nothing is reserved any more.
        spending = replace(self.spending, budget=replace(self.spending.budget, target=None), reserve=Used)
        shown = Told("finalist", names), self.observer.aside("finalist", names)
        heard = broadcast(self.tracking, *shown, KeptAlive(self.observer))
        between = bridge.Bridge(trials, heard, self.models, checkpoints, self.slots, self.interruption, trials.begun, spending)
        ray_tune.run(between, self.plan.shape, self.data, folder / "tune", self.plan.options, self.plan.store)
        bridge.drop_beaten(self.models, trials)
        return [f"the confirmation ended early: {between.stopped_by}"] if between.stopped_by and trials.n_missing else []

    def _side_runs(self, trainings: Sequence[Training]) -> dict[int, tuple[str, dict[str, str]]]:
        """MLflow's name and tags of each training."""
        return {one.number: (f"finalist {one}", {"finalist": one.finalist.name, "seed": str(one.seed)}) for one in trainings}

    def _score_on_dev(self, trials: FinalistTrials) -> None:
        """Once for each trained model."""
        from tuner.search.confirmation import dev_scores as dev

        done = [record.number for record in trials.front]
        folders = {number: self.models.path(number) for number in done if self.kept.dev(number) is None}
        stored = self.plan.store is not None
        for number, found in dev.scored(folders, self.plan.shape, self.data, self.interruption, stored, self.observer.tick):
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
        objective = self.plan.objective
        found = outcome(
            tried,
            n_finalists=self.plan.confirmation.n_finalists if self.plan.confirmation else 0,
            seeds=seeds,
            goal=Goal.of(objective.goals[0], objective.targets),
            requirements=self.requirements,
            seed=self.plan.options.seed,
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
