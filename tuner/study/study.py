"""The study of a search: suggests trials, stores their evaluations, prunes them, and returns the records of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from model.config import ConfigError
from model.training.evaluation import Evaluation
from tuner.results.trial_record import TrialRecord
from tuner.study import evaluations as stored
from tuner.study.evaluations import EVALUATION, PAUSED, PROMOTED, PRUNED, entries, pause_reason, position_text
from tuner.study.opening import StudySettings, check_settings, make_scheduler, open_optuna_study
from tuner.study.proposals import Proposals
from tuner.study.pruners import PRUNERS
from tuner.study.pruners.base import TrialScheduler
from tuner.study.records import Suggestion, TrialStore, Verdict
from tuner.study.samplers.history import history_outcome
from tuner.study.trial_budget import TrialBudget

CACHED = ("_study", "_proposals", "_scheduler", "_store", "budget")
"""What a process reads or creates when it first needs it."""


@dataclass
class Study(StudySettings):
    """A study and its settings. Creates it, or goes on with one of this name.

    Raises `ConfigError` when sampler or pruner is unknown, the pruner cannot compare trials by so many goals, the storage
    cannot be used, the space has no grid for the sampler `grid`, or the study was begun with another space, metric, data or
    requirements. Pickling keeps the settings; the study is opened again when it is next used.
    """

    ended: list[int] = field(default_factory=list, init=False)
    """Trials that the study itself ended and that were not reported yet: repeats, refused configurations, and paused trials
    that were not promoted."""
    exhausted: str | None = field(default=None, init=False)
    """Why the search ends before its total, in a sentence; None while there are configurations left to try."""

    def __post_init__(self) -> None:
        check_settings(self)
        _ = self._study  # opened now, so that its problems show here

    def ask(self) -> Suggestion | None:
        """The next trial to run, in canonical form, or None when the budget has no room for one, or no configuration is left.

        A configuration that a trial has already is completed from its record, and the next one is drawn. A paused trial that
        may go on comes before a new one; while the study `waits`, None is not its end.
        """
        suggestion = self._promote() or self._draw()
        if suggestion is not None:
            self.budget.begin(suggestion.number)
        elif not self.budget.running:
            self.prune_paused()
        return suggestion

    def _promote(self) -> Suggestion | None:
        """The most promising paused trial that may go on."""
        number = self._scheduler.promote() if self.budget.has_room else None
        if number is None:
            return None
        trial = self._store.trial(number)
        self._store.writable(trial).set_user_attr(PROMOTED, entries(trial)[-1]["index"])
        return Suggestion(number, self.space.parse(trial.user_attrs["config"]))

    def _draw(self) -> Suggestion | None:
        """A new trial."""
        n_repeats = 0
        while self.budget.has_room and not self.budget.is_full and self.exhausted is None:
            if self.budget.is_failing:
                self.exhausted = f"the search ends because {len(self.budget.failed)} trials failed, as many as --trials allows"
                return None
            if not self._proposals.enqueue(n_repeats):
                self.exhausted = self._proposals.exhausted(len(self.budget.shares), self.n_trials, n_repeats)
                return None
            trial = self._study.ask()
            self.budget.begin(trial.number)
            if suggestion := self._configure(trial):
                return suggestion
            n_repeats += trial.number not in self.budget.shares
        return None

    @property
    def waits(self) -> bool:
        """Whether running trials may leave room for a new one or a paused one, though there is none to run now."""
        may_begin = (self.exhausted is None and not self.budget.is_full) or PRUNERS[self.pruner].promotes
        return bool(self.paused or (self.budget.running and not self.budget.is_spent and may_begin))

    @property
    def paused(self) -> list[int]:
        """The trials that are paused and hold no processes, by number."""
        return self._scheduler.paused

    def release(self, number: int) -> None:
        """Note that a trial that pauses has given its processes back; it may be promoted from now on."""
        self._scheduler.release(number)
        self.budget.end(number)

    def prune_paused(self, why: str | None = None) -> None:
        """Prune what is paused: nothing will promote it any more."""
        for number in self.paused:
            where = position_text(entries(self._store.trial(number))[-1])
            self.prune(number, f"not promoted from {where}" + (f": {why}" if why else ""))
            self.ended.append(number)

    def resume_unfinished(self) -> list[Suggestion]:
        """The trials that an earlier session began and did not end, by number, to run on. Paused ones stay paused.

        For the start of a resumed search, before the first `ask`.
        """
        running = self._store.resume()
        self.__dict__.pop("budget", None)
        suggestions = [self._resumed(trial) for trial in running if pause_reason(trial) is None]
        self.__dict__.pop("_scheduler", None)
        return [suggestion for suggestion in suggestions if suggestion is not None]

    def _resumed(self, trial: FrozenTrial) -> Suggestion | None:
        reasons = [evaluation[PRUNED] for evaluation in entries(trial) if PRUNED in evaluation]
        if reasons:  # a kill came between the decision and the trial's end
            self.prune(trial.number, reasons[-1])
            return None
        if "config" in trial.user_attrs:
            return Suggestion(trial.number, self.space.parse(trial.user_attrs["config"]))
        return self._configure(self._store.writable(trial))  # killed while it was drawn: what was drawn stays

    def suspend(self) -> None:
        """At the end of a session: unfinished trials wait for `resume_unfinished`, and none is RUNNING."""
        self._store.suspend()

    def _configure(self, trial: Trial) -> Suggestion | None:
        """Draw a trial's configuration; None when that ends the trial: it is refused, or a repeat."""
        values = self._proposals.draw(trial)
        try:
            config = self._proposals.config_of(values)
        except ConfigError as error:
            trial.set_user_attr("config", values)
            self.fail(trial.number, f"the configuration is refused: {'; '.join(error.problems)}")
        else:
            trial.set_user_attr("config", config.to_dict())
            if not self._proposals.end_repeat(trial, config):
                return Suggestion(trial.number, config)
            self.budget.drop(trial.number)
            self._note_completed(trial.number)
        self.ended.append(trial.number)
        return None

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        """Store an evaluation and decide whether the trial goes on. On PRUNE and STOP the trial has its final state.

        On PAUSE it is to be released once its processes are free. An index that was reported before, as by a trial that is
        retried from its checkpoint, changes nothing. The last evaluation never stops a trial: there is nothing left to save.
        """
        frozen = self._store.trial(number)
        if frozen.state.is_finished():
            return Verdict.PRUNE if frozen.state is TrialState.PRUNED else Verdict.STOP
        key = f"{EVALUATION}{evaluation.index}"
        if key in frozen.user_attrs:
            return Verdict.CONTINUE
        if problem := stored.not_finite(evaluation, self.objective, self.requirements):
            self.fail(number, problem)
            return Verdict.STOP
        trial, entry = self._store.writable(frozen), stored.entry_of(evaluation, self.objective, self.requirements)
        if evaluation.index not in frozen.intermediate_values and len(entry["scores"]) == 1:  # else killed between writes
            trial.report(entry["score"], evaluation.index)
        is_last = evaluation.index == evaluation.n_evaluations
        verdict = self._scheduler.verdict(self._store.with_entry(number, entry), is_last=is_last)
        ending = {Verdict.PRUNE: PRUNED, Verdict.PAUSE: PAUSED}.get(verdict)
        reason = f"{ending} by {self.pruner} at {position_text(entry)}"
        # In one write: a kill after it loses no verdict.
        trial.set_user_attr(key, entry | ({ending: reason} if ending else {}))
        self.budget.reported(number, evaluation.index)
        if verdict is Verdict.PRUNE:
            self.prune(number, reason)
        return verdict

    def complete(self, number: int) -> None:
        """Give the trial its score, that of the last evaluation, which must have been reported. A final state stays."""
        frozen = self._store.trial(number)
        if frozen.state.is_finished():
            return
        reported = entries(frozen)
        if not reported or reported[-1]["index"] != reported[-1]["n_evaluations"]:
            raise AssertionError(f"trial {number} is completed before its last evaluation is reported")
        self._store.end(number, TrialState.COMPLETE, [reported[-1]["scores"][goal] for goal in self.objective.goals])
        self.budget.end(number)
        self._note_completed(number)

    def prune(self, number: int, reason: str) -> None:
        """End the trial as PRUNED, with the score of its last evaluation. A final state stays."""
        self._end(number, TrialState.PRUNED, reason)

    def fail(self, number: int, reason: str) -> None:
        """End the trial as FAIL. A final state stays."""
        self._end(number, TrialState.FAIL, reason)

    def _end(self, number: int, state: TrialState, reason: str) -> None:
        frozen = self._store.trial(number)
        if frozen.state.is_finished():
            return
        self._store.writable(frozen).set_user_attr("reason", reason)
        self._store.end(number, state)
        self.budget.end(number, failed=state is TrialState.FAIL)
        self._scheduler.end(number, state)

    def _note_completed(self, number: int) -> None:
        frozen = self._store.trial(number)
        if frozen.state is TrialState.COMPLETE:
            self._store.completed(frozen)
            self._scheduler.completed(frozen)

    def note(self, number: int, note: str) -> None:
        """Store a line on how a running trial runs. That of a trial that has ended stays."""
        self._store.note(number, note)

    def records(self) -> list[TrialRecord]:
        """Every trial that was suggested, by number."""
        return self._store.records()

    def record(self, number: int) -> TrialRecord:
        return self._store.record_of(self._store.trial(number))

    def history_outcome(self) -> dict[str, Any]:
        """How the search used the earlier trials, as JSON values."""
        return history_outcome(self.history, self._study.get_trials(deepcopy=False))

    @property
    def front(self) -> list[TrialRecord]:
        """Under several goals the trials that no other dominates; under one goal empty."""
        return self._store.leaders.front if len(self.objective.goals) > 1 else []

    @property
    def best(self) -> TrialRecord | None:
        return self._store.leaders.best

    @property
    def unfinished(self) -> set[int]:
        """Trials that were suggested and have no final state."""
        return {*self.budget.running, *self.paused}

    @cached_property
    def _study(self) -> optuna.Study:
        return open_optuna_study(self)

    @cached_property
    def _scheduler(self) -> TrialScheduler:
        return make_scheduler(self, self._study)

    @cached_property
    def _proposals(self) -> Proposals:
        return Proposals(self._study, self.space, self.sampler, self.seed)

    @cached_property
    def _store(self) -> TrialStore:
        return TrialStore(self._study, self.objective)

    @cached_property
    def budget(self) -> TrialBudget:
        """What the trials have used. Read once and kept: a study has one driver at a time."""
        return TrialBudget.of(self.records(), self.n_trials, self.max_trials, self.n_evaluations)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in CACHED}
