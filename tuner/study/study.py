"""The study: ask for a trial, report its evaluations, end it; and what the storage knows of all trials."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from model.config import ConfigError, nearest
from model.training.evaluation import Evaluation
from tuner.config.requirements import Requirements
from tuner.results.trial_record import TrialRecord
from tuner.study.identity import KEY, check_same, searched
from tuner.study.pruners.judge import Judge, Promoting, Stopping
from tuner.study.pruners.pareto import ParetoPruner
from tuner.study.pruners.table import PROMOTING, PRUNERS, make_ladder, make_pareto_pruner, make_pruner
from tuner.study.pruners.vectors import constraints, is_by_rank, pruner_problems, vectors_of
from tuner.study.records import EVALUATION, PAUSED, PROMOTED, PRUNED, Records, frozen_of, pause_of, stored
from tuner.study.records import evaluations as evaluations_of
from tuner.study.samplers.candidates import Candidates
from tuner.study.samplers.history import STARTED, History, outcome
from tuner.study.samplers.paused_as_pruned import PausedAsPruned
from tuner.study.samplers.prior import N_DRAWS, NEAR, Prior
from tuner.study.samplers.table import SAMPLERS, WITHOUT_MODEL, make_sampler
from tuner.study.storage import open_storage
from tuner.study.trial_budget import TrialBudget
from tuner.study.verdict import Asked, Verdict

if TYPE_CHECKING:
    from tuner.config.objective import Objective
    from tuner.space import Space

NO_REQUIREMENTS = Requirements()
OPENED = ("_study", "_candidates", "_judge", "_records", "_prior", "budget")
"""What a process reads or makes when it first needs it."""


@dataclass
class Study:
    """A study and how it was asked for. Pickling keeps the latter; the study is opened again when it is next used."""

    storage: str
    """`journal:PATH`, or the URL of a database."""
    name: str
    space: Space
    objective: Objective
    sampler: str
    pruner: str
    seed: int
    n_trials: int
    """What the trials of all sessions may use, in full trials (trial_budget.py)."""
    n_evaluations: int
    """Evaluations per trial."""
    data_sha256: str = ""
    """What the scores were measured on: a study has one."""
    requirements: Requirements = NO_REQUIREMENTS
    max_trials: int | None = None
    """Trials at most, however early they end; repeats do not count."""
    history: History = field(default_factory=History)
    """What earlier searches say of this space; no part of the study."""
    ended: list[int] = field(default_factory=list, init=False)
    """Trials that the study ended by itself, repeats, refused configurations and paused ones that were not promoted, and that
    nobody has been told of yet."""
    exhausted: str | None = field(default=None, init=False)
    """Why the search ends before its total, in a sentence; None while there are configurations left to try."""

    @classmethod
    def open(
        cls,
        storage: str,
        name: str,
        space: Space,
        objective: Objective,
        sampler: str,
        pruner: str,
        seed: int,
        n_trials: int,
        n_evaluations: int,
        data_sha256: str = "",
        requirements: Requirements = NO_REQUIREMENTS,
        max_trials: int | None = None,
        history: History | None = None,
    ) -> Study:
        """Create the study, or go on with one of this name.

        Raises `ConfigError` when sampler or pruner is unknown, the pruner cannot judge by so many goals, the
        storage cannot be used, the space has no grid for the sampler `grid`, or the study was begun with another space, metric,
        data or requirements.
        """
        problems = _unknown("sampler", sampler, SAMPLERS) + _unknown("pruner", pruner, PRUNERS)
        problems = problems or pruner_problems(pruner, objective, requirements)
        if problems:
            raise ConfigError(problems)
        history = history or History()
        study = cls(
            storage, name, space, objective, sampler, pruner, seed, n_trials, n_evaluations, data_sha256, requirements,
            max_trials, history,
        )  # fmt: skip
        if sampler == "grid":
            space.grid_points()  # raises when there is none
        _ = study._study  # opened now, so that its problems show here
        return study

    def ask(self) -> Asked | None:
        """The next trial to run, in canonical form, or None when the budget has no room for one, or no configuration is left.

        A configuration that a trial has already is told from its record, and the next one is asked. A paused trial that may go
        on comes before a new one; while the study `waits`, None is not its end.
        """
        asked = self._promote() or self._draw()
        if asked is not None:
            self.budget.begin(asked.number)
        elif not self.budget.running:
            self.settle()
        return asked

    def _promote(self) -> Asked | None:
        """The most promising paused trial that may go on."""
        number = self._judge.promote() if self.budget.has_room else None
        if number is None:
            return None
        frozen = self._frozen(number)
        Trial(self._study, frozen._trial_id).set_user_attr(PROMOTED, stored(frozen)[-1]["index"])
        return Asked(number, self.space.parse(frozen.user_attrs["config"]))

    def _draw(self) -> Asked | None:
        """A new trial."""
        n_repeats = 0
        while self.budget.has_room and not self.budget.is_full and self.exhausted is None:
            if self.budget.is_failing:
                self.exhausted = f"the search ends because {len(self.budget.failed)} trials failed, as many as --trials names"
                return None
            if not self._candidates.enqueue(n_repeats):
                self.exhausted = self._candidates.exhausted(len(self.budget.shares), self.n_trials, n_repeats)
                return None
            self._enqueue_near()
            trial = self._study.ask()
            self.budget.begin(trial.number)
            asked = self._configure(trial)
            if asked is not None:
                self._judge.begin(trial.number)
                return asked
            n_repeats += trial.number not in self.budget.shares
        return None

    @property
    def waits(self) -> bool:
        """Whether there may be a trial to run later, though there is none now: what runs may leave room for one, or for a
        paused one to go on."""
        is_open = self.exhausted is None and not self.budget.is_full
        return bool(self.paused) or (bool(self.budget.running) and not self.budget.is_spent and (is_open or self._promotes))

    @property
    def _promotes(self) -> bool:
        return self.pruner in PROMOTING

    @property
    def paused(self) -> list[int]:
        """The trials that are paused and hold no processes, by number."""
        return self._judge.paused

    def release(self, number: int) -> None:
        """A trial that pauses has given its processes back, and may be promoted."""
        assert isinstance(self._judge, Promoting), "only a pruner that promotes pauses a trial"
        self._judge.release(number)
        self.budget.end(number)

    def settle(self, why: str | None = None) -> None:
        """Prune what is paused: nothing will promote it any more."""
        for number in self.paused:
            *_, last = evaluations_of(self._frozen(number))
            where = f"evaluation {last['index']} of {last['n_evaluations']}, score {_in_words(last['scores'])}"
            self.prune(number, f"not promoted from {where}" + (f": {why}" if why else ""))
            self.ended.append(number)

    def take_up(self) -> list[Asked]:
        """The trials that an earlier session began and did not end, by number; they go on as what they are. Paused ones wait.

        For the start of a resumed search, before anything is asked.
        """
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if "config" in frozen.user_attrs:
                self._study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.RUNNING)
        self.__dict__.pop("budget", None)
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        asked = [self._take_up(frozen) for frozen in running if pause_of(frozen) is None]
        self.__dict__.pop("_judge", None)
        return [one for one in asked if one is not None]

    def _take_up(self, frozen: FrozenTrial) -> Asked | None:
        verdicts = [evaluation[PRUNED] for evaluation in stored(frozen) if PRUNED in evaluation]
        if verdicts:  # it was decided, and only that was not told
            self.prune(frozen.number, verdicts[-1])
            return None
        if "config" in frozen.user_attrs:
            return Asked(frozen.number, self.space.parse(frozen.user_attrs["config"]))
        return self._configure(Trial(self._study, frozen._trial_id))  # killed while it was drawn: what was drawn stays

    def park(self) -> None:
        """At the end of a session: what is unfinished waits for `take_up`, and no trial is RUNNING."""
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.WAITING)

    def _configure(self, trial: Trial) -> Asked | None:
        """Draw a trial's configuration; None when that ends the trial, as one that is refused or known does."""
        values = self._candidates.draw(trial)
        try:
            config = self._candidates.config_of(values)
        except ConfigError as error:
            trial.set_user_attr("config", values)
            self.fail(trial.number, f"the configuration is refused: {'; '.join(error.problems)}")
            self.ended.append(trial.number)
            return None
        trial.set_user_attr("config", config.to_dict())
        if not self._candidates.is_known(trial, config):
            return Asked(trial.number, config)
        self.budget.drop(trial.number)
        self.ended.append(trial.number)
        self._note_completed(trial.number)
        return None

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        """Store an evaluation and judge the trial. On PRUNE and STOP the trial has its final state.

        On PAUSE it is to be released once its processes are free. An index that was reported before, as a trial does that is
        retried from its checkpoint, changes nothing. The last evaluation never stops a trial: there is nothing left to save.
        """
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return Verdict.PRUNE if frozen.state is TrialState.PRUNED else Verdict.STOP
        if f"{EVALUATION}{evaluation.index}" in frozen.user_attrs:
            return Verdict.CONTINUE
        scores = self.objective.scores(evaluation.metrics)
        excess = self.requirements.excess(evaluation.metrics)
        where = f"evaluation {evaluation.index} of {evaluation.n_evaluations}"
        for what, values in (("score", scores), ("required metric", excess)):
            strange = [value for value in values.values() if not math.isfinite(value)]
            if strange:
                metrics = self._words(evaluation.metrics)
                self.fail(number, f"the {what} became {strange[0]} at {where}, step {evaluation.step}: {metrics}")
                return Verdict.STOP
        trial = Trial(self._study, frozen._trial_id)
        told = {**evaluation.to_dict(), "score": self.objective.score(evaluation.metrics), "scores": scores}
        told |= {"requirements": excess} if excess else {}
        if evaluation.index not in frozen.intermediate_values and len(scores) == 1:  # else a kill came between the two
            trial.report(told["score"], evaluation.index)
        judged = self._with(number, told)
        verdict = self._judge.verdict(judged, told)
        key = {Verdict.PRUNE: PRUNED, Verdict.PAUSE: PAUSED}.get(verdict)
        reason = f"{key} by {self.pruner} at {where}, score {_in_words(scores)}"
        # In one write: a kill after it loses no verdict.
        trial.set_user_attr(f"{EVALUATION}{evaluation.index}", told | ({key: reason} if key else {}))
        self.budget.reported(number, evaluation.index)
        if verdict is Verdict.PRUNE:
            self.prune(number, reason)
        return verdict

    def _words(self, metrics: Mapping[str, float]) -> str:
        """The metrics that decide, as far as all trials have them."""
        names = dict.fromkeys((*self.objective.metrics, *self.requirements.metrics))
        return ", ".join(f"{name} {metrics[name]:g}" for name in names)

    def _with(self, number: int, told: dict[str, Any]) -> FrozenTrial:
        """A trial with an evaluation that is not stored yet."""
        judged = copy.copy(self._frozen(number))
        judged.user_attrs = {**judged.user_attrs, f"{EVALUATION}{told['index']}": told}
        return judged

    def _constrain(self, number: int) -> None:
        """Tell Optuna of a trial that is about to end by how much it exceeds the requirements."""
        frozen = self._frozen(number)
        for name, value in constraints(evaluations_of(frozen), self.objective).items():
            if name not in frozen.constraints:  # else a kill came before the trial was told
                Trial(self._study, frozen._trial_id).set_constraint(name, value)

    def complete(self, number: int) -> None:
        """Give the trial its score, that of the last evaluation, which must have been reported. A final state stays."""
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return
        evaluations = evaluations_of(frozen)
        if not evaluations or evaluations[-1]["index"] != evaluations[-1]["n_evaluations"]:
            raise AssertionError(f"trial {number} is completed before its last evaluation is reported")
        self._constrain(number)
        self._tell(number, [evaluations[-1]["scores"][goal] for goal in self.objective.goals])
        self._note_completed(number)

    def _tell(self, number: int, values: list[float] | None = None, state: TrialState | None = None) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Constraints have been set", UserWarning)  # CMA-ES: the plan says so
            self._study.tell(number, values, state=state)
        self.budget.end(number, failed=state is TrialState.FAIL)

    def _note_completed(self, number: int) -> None:
        frozen = self._frozen(number)
        if frozen.state is TrialState.COMPLETE:
            self._records.completed(frozen)
            self._judge.completed(frozen)

    def prune(self, number: int, reason: str) -> None:
        """End the trial as PRUNED, with the score of its last evaluation. A final state stays."""
        self._end(number, TrialState.PRUNED, reason)

    def fail(self, number: int, reason: str) -> None:
        """End the trial as FAIL. A final state stays."""
        self._end(number, TrialState.FAIL, reason)

    def _end(self, number: int, state: TrialState, reason: str) -> None:
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return
        Trial(self._study, frozen._trial_id).set_user_attr("reason", reason)
        if state is TrialState.PRUNED:
            self._constrain(number)
        self._tell(number, state=state)
        self._judge.end(number, state)

    def note(self, number: int, note: str) -> None:
        """Keep a line on how a running trial runs. That of a trial that has ended stays."""
        frozen = self._frozen(number)
        if not frozen.state.is_finished():
            Trial(self._study, frozen._trial_id).set_user_attr("note", note)

    def records(self) -> list[TrialRecord]:
        """Every trial that was asked for, by number."""
        return self._records.all()

    def record(self, number: int) -> TrialRecord:
        return self._records.of(self._frozen(number))

    def history_outcome(self) -> dict[str, Any]:
        """What became of the earlier trials, as JSON values."""
        return outcome(self.history, self._study.get_trials(deepcopy=False))

    @property
    def front(self) -> list[TrialRecord]:
        """Under several goals the trials that none dominates; under one nothing."""
        return self._records.leaders.front if len(self.objective.goals) > 1 else []

    @property
    def best(self) -> TrialRecord | None:
        return self._records.leaders.best

    @property
    def unfinished(self) -> Collection[int]:
        """Trials that were asked for and have no final state."""
        return {*self.budget.running, *self.paused}

    @cached_property
    def _study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            storage=open_storage(self.storage),
            study_name=self.name,
            directions=self.objective.directions,
            pruner=self._make_pruner(),
            load_if_exists=True,
        )
        trials = study.get_trials(deepcopy=False)
        if isinstance(study.pruner, ParetoPruner):
            study.pruner.restart(trials)
        n_before = sum(frozen.state is not TrialState.WAITING or "config" in frozen.user_attrs for frozen in trials)
        sampler = make_sampler(self.sampler, self.seed, self.n_trials, n_before=n_before, remembered=self.history.trials)
        study.sampler = PausedAsPruned(sampler, self.objective) if self._promotes else sampler
        now = searched(self.space, self.objective, self.data_sha256, self.requirements)
        if KEY in study.user_attrs:
            check_same(study, now)
            return study
        self._enqueue_starts(study)
        study.set_user_attr(KEY, now)
        return study

    def _enqueue_starts(self, study: optuna.Study) -> None:
        """What a new study tries first: configurations of earlier searches, then those that the space names."""
        for picks in self.history.starts[: self.n_trials]:
            study.enqueue_trial(dict(picks), user_attrs={STARTED: True}, skip_if_exists=True)
        for place, picks in enumerate(self.space.start[: max(self.n_trials - len(self.history.starts), 0)]):
            study.enqueue_trial(dict(picks), user_attrs={NEAR: place}, skip_if_exists=True)

    def _enqueue_near(self) -> None:
        """Let the next draw be one around a start configuration, where it is time for one."""
        if self._prior is None:
            return
        trials = self._study.get_trials(deepcopy=False)
        if any(trial.state is TrialState.WAITING for trial in trials):
            return
        found = self._prior.next(trials)
        if found is not None:
            point, place = found
            self._study.enqueue_trial(point, user_attrs={NEAR: place})
        elif len(trials) >= N_DRAWS:
            self._prior = None

    def _make_pruner(self) -> BasePruner:
        races = (self.pruner, self.n_evaluations)
        if is_by_rank(self.objective, self.requirements):
            return make_pareto_pruner(*races, lambda frozen: vectors_of(frozen, self.objective))
        return make_pruner(*races)

    @cached_property
    def _judge(self) -> Judge:
        if not self._promotes:
            return Stopping(self._study)
        return Promoting(self._study, make_ladder(self.n_evaluations), self.objective)

    @cached_property
    def _prior(self) -> Prior | None:
        """None for a sampler that learns nothing from results."""
        return Prior(self.space, self.seed) if self.sampler not in WITHOUT_MODEL else None

    @cached_property
    def _candidates(self) -> Candidates:
        return Candidates(self._study, self.space, self.sampler, self.seed)

    @cached_property
    def _records(self) -> Records:
        return Records(self._study)

    @cached_property
    def budget(self) -> TrialBudget:
        """What the trials have used. Read once and kept: a study has one driver at a time."""
        return TrialBudget.of(self.records(), self.n_trials, self.max_trials, self.n_evaluations)

    def _frozen(self, number: int) -> FrozenTrial:
        return frozen_of(self._study, number)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in OPENED}


def _unknown(what: str, name: str, table: Iterable[str]) -> list[str]:
    valid = list(table)
    return [] if name in table else [f"unknown {what} {name}{nearest(name, valid)}; the {what}s are {', '.join(valid)}"]


def _in_words(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{score:.4f}" for score in scores.values())
