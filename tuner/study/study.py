"""The study: ask for a trial, report its evaluations, end it; and what the storage knows of all trials."""

from __future__ import annotations

import copy
import json
import math
import random
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import optuna
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, nearest, parse
from model.evaluation import Evaluation
from tuner.front import best_of, front_of
from tuner.record import TrialRecord
from tuner.requirements import Requirements
from tuner.study.history import STARTED, History, outcome
from tuner.study.peers import PEERS
from tuner.study.pruners import OPTUNAS, PRUNERS, RUNNING, make_pareto_pruner, make_pruner
from tuner.study.repeats import MOST_DRAWS, MOST_REPEATS, SAME_AS, Known
from tuner.study.rungs import RESOURCES, should_prune
from tuner.study.running_pruners import Running
from tuner.study.samplers import SAMPLERS, make_sampler
from tuner.study.standing import constraints, curve, is_by_rank, pruner_problems
from tuner.study.storage import open_storage

if TYPE_CHECKING:
    from tuner.objective import Objective
    from tuner.space import Space

EVALUATION = "evaluation/"
"""Prefix of the user attributes that hold the evaluations, by index."""
NO_REQUIREMENTS = Requirements()
OTHERS = {
    "space": "another space",
    "metric": "another metric",
    "data": "other data",
    "requirements": "other requirements",
}
"""What a study has one of."""
PRUNED = "pruned"
"""Key of the reason in the evaluation at which a trial is pruned."""
OPENED = ("_study", "_grid", "_known", "_counted", "_finished")
"""What a process reads or makes when it first needs it."""


class Verdict(Enum):
    """What becomes of a trial after an evaluation."""

    CONTINUE = "continue"
    PRUNE = "prune"
    STOP = "stop"
    """It is over for another reason: its score is not finite, or it had ended before."""


@dataclass(frozen=True)
class Asked:
    """A trial to run."""

    number: int
    config: TrialConfig


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
    """Trials in total, over all resumptions; repeats do not count."""
    n_evaluations: int
    """Evaluations per trial."""
    data_sha256: str = ""
    """What the scores were measured on: a study has one."""
    rung_resource: str = "compute"
    """Whether the pruner compares trials at equal `compute` (rungs.py) or at equal `steps`: evaluation indices."""
    requirements: Requirements = NO_REQUIREMENTS
    history: History = field(default_factory=History)
    """What earlier searches say of this space; no part of the study."""
    ended: list[int] = field(default_factory=list, init=False)
    """Trials that `ask` ended, repeats and refused configurations, and that nobody has been told of yet."""
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
        rung_resource: str = "compute",
        requirements: Requirements = NO_REQUIREMENTS,
        history: History | None = None,
    ) -> Study:
        """Create the study, or go on with one of this name.

        Raises `ConfigError` when sampler, pruner or rung resource is unknown, the pruner cannot judge by so many goals, the
        storage cannot be used, the space has no grid for the sampler `grid`, or the study was begun with another space, metric,
        data or requirements.
        """
        problems = _unknown("sampler", sampler, SAMPLERS) + _unknown("pruner", pruner, PRUNERS)
        problems += _unknown("rung resource", rung_resource, RESOURCES)
        problems = problems or pruner_problems(pruner, objective, requirements)
        if problems:
            raise ConfigError(problems)
        history = history or History()
        study = cls(
            storage, name, space, objective, sampler, pruner, seed, n_trials, n_evaluations, data_sha256, rung_resource,
            requirements, history,
        )  # fmt: skip
        if sampler == "grid":
            space.grid_points()  # raises when there is none
        _ = study._study  # opened now, so that its problems show here
        return study

    def ask(self) -> Asked | None:
        """The next trial to run, in canonical form, or None when all are asked for, or no configuration is left.

        A configuration that a trial has already is told from its record, and the next one is asked.
        """
        n_repeats = 0
        while len(self._counted) < self.n_trials:
            if not self._enqueue(n_repeats):
                return None
            trial = self._study.ask()
            self._counted.add(trial.number)
            asked = self._configure(trial)
            if asked is not None:
                return asked
            n_repeats += trial.number not in self._counted
        return None

    def take_up(self) -> list[Asked]:
        """The trials that an earlier session began and did not end, by number; they go on as what they are.

        For the start of a resumed search, before anything is asked.
        """
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if "config" in frozen.user_attrs:
                self._study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.RUNNING)
        self.__dict__.pop("_counted", None)
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        asked = [self._take_up(frozen) for frozen in running]
        return [one for one in asked if one is not None]

    def _take_up(self, frozen: FrozenTrial) -> Asked | None:
        verdicts = [evaluation[PRUNED] for evaluation in _stored(frozen) if PRUNED in evaluation]
        if verdicts:  # it was decided, and only that was not told
            self.prune(frozen.number, verdicts[-1])
            return None
        if "config" in frozen.user_attrs:
            return Asked(frozen.number, parse(frozen.user_attrs["config"]))
        return self._configure(Trial(self._study, frozen._trial_id))  # killed while it was drawn: what was drawn stays

    def park(self) -> None:
        """At the end of a session: what is unfinished waits for `take_up`, and no trial is RUNNING."""
        for frozen in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study._storage.set_trial_state_values(frozen._trial_id, state=TrialState.WAITING)

    def _configure(self, trial: Trial) -> Asked | None:
        """Draw a trial's configuration; None when that ends the trial, as one that is refused or known does."""
        values = self.space.suggest(trial)
        try:
            config = self._canonical(values)
        except ConfigError as error:
            trial.set_user_attr("config", values)
            self.fail(trial.number, f"the configuration is refused: {'; '.join(error.problems)}")
            self.ended.append(trial.number)
            return None
        trial.set_user_attr("config", config.to_dict())
        if not self._known.tell(trial, config):
            return Asked(trial.number, config)
        self._counted.discard(trial.number)
        self.ended.append(trial.number)
        self._note_completed(trial.number)
        return None

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        """Store an evaluation and judge the trial. On PRUNE and STOP the trial has its final state.

        An index that was reported before, as a trial does that is retried from its checkpoint, changes nothing. The
        last evaluation is not put to the pruner: there is nothing left to save.
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
        prunes = not evaluation.is_last and self._should_prune(trial, told)
        if not prunes:
            trial.set_user_attr(f"{EVALUATION}{evaluation.index}", told)
            return Verdict.CONTINUE
        # In one write: a kill after it loses no verdict.
        reason = f"pruned by {self.pruner} at {where}, score {', '.join(f'{score:.4f}' for score in scores.values())}"
        trial.set_user_attr(f"{EVALUATION}{evaluation.index}", told | {PRUNED: reason})
        self.prune(number, reason)
        return Verdict.PRUNE

    def _words(self, metrics: Mapping[str, float]) -> str:
        """The metrics that decide, as far as all trials have them."""
        names = dict.fromkeys((*self.objective.metrics, *self.requirements.metrics))
        return ", ".join(f"{name} {metrics[name]:g}" for name in names)

    def _should_prune(self, trial: Trial, told: dict[str, Any]) -> bool:
        """The pruner's verdict at the evaluation `told`, which is not stored yet."""
        if is_by_rank(self.objective, self.requirements):
            judged = copy.copy(self._frozen(trial.number))
            judged.user_attrs = {**judged.user_attrs, f"{EVALUATION}{told['index']}": told}
            return self._study.pruner.prune(self._study, judged)
        if self.rung_resource == "steps":
            return trial.should_prune()
        own = [*_curve(_evaluations(self._frozen(trial.number))), *_curve([told])]
        return should_prune(
            self._study,
            self._frozen(trial.number),
            lambda other: own if other.number == trial.number else _curve(_evaluations(other)),
        )

    def _constrain(self, number: int) -> None:
        """Tell Optuna of a trial that is about to end by how much it exceeds the requirements."""
        frozen = self._frozen(number)
        for name, value in constraints(_evaluations(frozen), self.objective).items():
            if name not in frozen.constraints:  # else a kill came before the trial was told
                Trial(self._study, frozen._trial_id).set_constraint(name, value)

    def complete(self, number: int) -> None:
        """Give the trial its score, that of the last evaluation, which must have been reported. A final state stays."""
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return
        evaluations = _evaluations(frozen)
        if not evaluations or evaluations[-1]["index"] != evaluations[-1]["n_evaluations"]:
            raise AssertionError(f"trial {number} is completed before its last evaluation is reported")
        self._constrain(number)
        self._tell(number, [evaluations[-1]["scores"][goal] for goal in self.objective.goals])
        self._note_completed(number)

    def _tell(self, number: int, values: list[float] | None = None, state: TrialState | None = None) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Constraints have been set", UserWarning)  # CMA-ES: the plan says so
            self._study.tell(number, values, state=state)

    def _note_completed(self, number: int) -> None:
        frozen = self._frozen(number)
        pruner = self._study.pruner
        if isinstance(pruner, Running) and frozen.state is TrialState.COMPLETE:
            pruner.completed(frozen)

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

    def note(self, number: int, note: str) -> None:
        """Keep a line on how a running trial runs. That of a trial that has ended stays."""
        frozen = self._frozen(number)
        if not frozen.state.is_finished():
            Trial(self._study, frozen._trial_id).set_user_attr("note", note)

    def records(self) -> list[TrialRecord]:
        """Every trial that was asked for, by number."""
        trials = self._study.get_trials(deepcopy=False)
        return [self._record_of(frozen) for frozen in trials if frozen.state is not TrialState.WAITING]

    def record(self, number: int) -> TrialRecord:
        return self._record_of(self._frozen(number))

    def history_outcome(self) -> dict[str, Any]:
        """What became of the earlier trials, as JSON values."""
        return outcome(self.history, self._study.get_trials(deepcopy=False))

    @property
    def front(self) -> list[TrialRecord]:
        """Under several goals the trials that none dominates; under one nothing."""
        return front_of(self.records()) if len(self.objective.goals) > 1 else []

    @property
    def best(self) -> TrialRecord | None:
        return best_of(self.records())

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
        if isinstance(study.pruner, Running):
            study.pruner.restart(study, trials)
        n_before = sum(frozen.state is not TrialState.WAITING for frozen in trials)
        study.sampler = make_sampler(
            self.sampler, self.seed, self.n_trials, n_before=n_before, remembered=self.history.trials
        )  # fmt: skip
        self._check_same(study)
        return study

    def _make_pruner(self) -> BasePruner:
        if is_by_rank(self.objective, self.requirements):
            objective = self.objective
            peers = PEERS[self.rung_resource](lambda frozen: curve(_evaluations(frozen), objective))
            return make_pareto_pruner(self.pruner, self.n_trials, self.n_evaluations, peers)
        kinds = RUNNING if self.rung_resource == "steps" else OPTUNAS
        return make_pruner(self.pruner, self.n_trials, self.n_evaluations, kinds)

    def _check_same(self, study: optuna.Study) -> None:
        """Write down what a new study searches, with its start configurations; compare it for an old one."""
        searched = {
            "space": self.space.to_dict(),
            "metric": self.objective.describe(),
            "data": self.data_sha256,
            "requirements": sorted(self.requirements.texts),
        }
        if "searched" not in study.user_attrs:
            for picks in self.history.starts[: self.n_trials]:
                study.enqueue_trial(dict(picks), user_attrs={STARTED: True}, skip_if_exists=True)
            for picks in self.space.start[: max(self.n_trials - len(self.history.starts), 0)]:
                study.enqueue_trial(dict(picks), skip_if_exists=True)
            study.set_user_attr("searched", searched)
            return
        before = {"requirements": []} | study.user_attrs["searched"]  # a study begun before there were any
        problems = [
            f"the study {self.name} was begun with {other}; go on with that, or give the search a new name"
            for key, other in OTHERS.items()
            if _as_json(searched[key]) != _as_json(before[key])
        ]
        if problems:
            raise ConfigError(problems)

    @cached_property
    def _counted(self) -> set[int]:
        """Trials that count towards the total. Read once and kept: a study has one driver at a time."""
        trials = self._study.get_trials(deepcopy=False)
        return {
            frozen.number for frozen in trials if frozen.state is not TrialState.WAITING and SAME_AS not in frozen.user_attrs
        }

    @cached_property
    def _finished(self) -> dict[int, TrialRecord]:
        """Records of finished trials, which do not change any more."""
        return {}

    def _record_of(self, frozen: FrozenTrial) -> TrialRecord:
        if not frozen.state.is_finished():
            return _record(frozen)
        if frozen.number not in self._finished:
            self._finished[frozen.number] = _record(frozen)
        return self._finished[frozen.number]

    def _canonical(self, values: dict[str, Any]) -> TrialConfig:
        """The configuration of nested values of the space, which may leave the seed to the search."""
        values.setdefault("seed", self.seed)
        return canonical(parse(values))

    @cached_property
    def _known(self) -> Known:
        return Known(self._study, EVALUATION)

    def _enqueue(self, n_repeats: int) -> bool:
        """See to it that what is asked next can be new after `n_repeats` repeats in a row; False where nothing is left."""
        if self.sampler == "grid":
            return self._enqueue_grid_point()
        if n_repeats < MOST_REPEATS:
            return True
        point = self._known.new_point(self.space, self._canonical, self.seed)
        if point is not None:
            self._study.enqueue_trial(point)
            return True
        self.exhausted = (
            f"the search ends after {len(self._counted)} of {self.n_trials} trials: the last {n_repeats} configurations "
            f"asked for were known, and of {MOST_DRAWS} random ones none is new"
        )
        return False

    def _frozen(self, number: int) -> FrozenTrial:
        """A trial as it is now; the cost does not depend on how many there are."""
        storage = self._study._storage
        return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(self._study._study_id, number))

    @cached_property
    def _grid(self) -> list[dict[str, Any]]:
        """The grid in a random order, so that a part of it is a fair sample."""
        points = list(self.space.grid_points())
        random.Random(self.seed).shuffle(points)
        return points

    def _enqueue_grid_point(self) -> bool:
        """See to it that a trial waits to be asked for; False when every point of the grid was tried."""
        trials = self._study.get_trials(deepcopy=False)
        if any(frozen.state is TrialState.WAITING for frozen in trials):
            return True
        tried = {frozenset(frozen.params.items()) for frozen in trials}
        point = next((point for point in self._grid if frozenset(point.items()) not in tried), None)
        if point is not None:
            self._study.enqueue_trial(point)
        return point is not None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in OPENED}


def _unknown(what: str, name: str, table: Iterable[str]) -> list[str]:
    valid = list(table)
    return [] if name in table else [f"unknown {what} {name}{nearest(name, valid)}; the {what}s are {', '.join(valid)}"]


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _evaluations(frozen: FrozenTrial) -> list[dict[str, Any]]:
    return [{key: value for key, value in stored.items() if key != PRUNED} for stored in _stored(frozen)]


def _stored(frozen: FrozenTrial) -> list[dict[str, Any]]:
    found = [value for key, value in frozen.user_attrs.items() if key.startswith(EVALUATION)]
    return sorted(found, key=lambda evaluation: int(evaluation["index"]))


def _curve(evaluations: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Compute and score of evaluations; their index stands for a compute that was not counted."""
    return [(found.get("compute") or float(found["index"]), found["score"]) for found in evaluations]


def _record(frozen: FrozenTrial) -> TrialRecord:
    evaluations = _evaluations(frozen)
    last = evaluations[-1] if evaluations else {"score": None, "scores": {}, "metrics": {}, "seconds": 0.0}
    same_as = frozen.user_attrs.get(SAME_AS)
    return TrialRecord(
        number=frozen.number,
        state=frozen.state.name,  # type: ignore[arg-type]  # Optuna's names are ours; WAITING has no record
        score=None if frozen.state is TrialState.FAIL else last["score"],
        metrics=last["metrics"],
        evaluations=evaluations,
        config=frozen.user_attrs.get("config", {}),
        seconds=last["seconds"] if same_as is None else 0.0,
        reason=frozen.user_attrs.get("reason"),
        scores={} if frozen.state is TrialState.FAIL else last.get("scores", {}),  # a study begun before there were any
        requirements={} if frozen.state is TrialState.FAIL else last.get("requirements", {}),
        same_as=same_as,
        note=frozen.user_attrs.get("note"),
    )
