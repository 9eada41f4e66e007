"""The study: ask for a trial, report its evaluations, end it; and what the storage knows of all trials."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, nearest, parse
from model.evaluation import Evaluation
from tuner.record import INTERRUPTED, TrialRecord, best_of
from tuner.study.pruners import PRUNERS, make_pruner
from tuner.study.repeats import MOST_DRAWS, MOST_REPEATS, SAME_AS, Known
from tuner.study.rungs import RESOURCES, should_prune
from tuner.study.samplers import SAMPLERS, make_sampler
from tuner.study.storage import open_storage

if TYPE_CHECKING:
    from tuner.objective import Objective
    from tuner.space import Space

EVALUATION = "evaluation/"
"""Prefix of the user attributes that hold the evaluations, by index."""


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
    """Trials in total, over all resumptions; interrupted ones and repeats do not count."""
    n_evaluations: int
    """Evaluations per trial."""
    data_sha256: str = ""
    """What the scores were measured on: a study has one."""
    rung_resource: str = "compute"
    """Whether the pruner compares trials at equal `compute` (rungs.py) or at equal `steps`: evaluation indices."""
    exhausted: str | None = field(default=None, init=False)
    """Why the search ends before its total, in a sentence; None while there are configurations left to try."""
    _told: list[int] = field(default_factory=list, init=False, repr=False)

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
    ) -> Study:
        """Create the study, or go on with one of this name.

        Raises `ConfigError` when sampler, pruner or rung resource is unknown, the storage cannot be used, the space has no grid
        for the sampler `grid`, or the study was begun with another space, metric or data.
        """
        problems = _unknown("sampler", sampler, SAMPLERS) + _unknown("pruner", pruner, PRUNERS)
        problems += _unknown("rung resource", rung_resource, RESOURCES)
        if problems:
            raise ConfigError(problems)
        study = cls(
            storage, name, space, objective, sampler, pruner, seed, n_trials, n_evaluations, data_sha256, rung_resource
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
        while self._n_asked() < self.n_trials:
            if not self._enqueue(n_repeats):
                return None
            trial = self._study.ask()
            values = self.space.suggest(trial)
            try:
                config = self._canonical(values)
            except ConfigError as error:
                trial.set_user_attr("config", values)
                self.fail(trial.number, f"the configuration is refused: {'; '.join(error.problems)}")
                continue
            trial.set_user_attr("config", config.to_dict())
            if not self._known.tell(trial, config):
                return Asked(trial.number, config)
            self._told.append(trial.number)
            n_repeats += 1
        return None

    def repeats_told(self) -> list[TrialRecord]:
        """The repeats that `ask` told from the record since this was last called."""
        told, self._told = self._told, []
        return [self.record(number) for number in told]

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        """Store an evaluation and judge the trial. On PRUNE and STOP the trial has its final state.

        An index that was reported before, as a trial does that is retried from its checkpoint, changes nothing. The
        last evaluation is not put to the pruner: there is nothing left to save.
        """
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return Verdict.PRUNE if frozen.state is TrialState.PRUNED else Verdict.STOP
        if evaluation.index in frozen.intermediate_values:
            return Verdict.CONTINUE
        score = self.objective.score(evaluation.metrics)
        where = f"evaluation {evaluation.index} of {evaluation.n_evaluations}"
        if not math.isfinite(score):
            metrics = ", ".join(f"{name} {evaluation.metrics[name]:g}" for name in self.objective.metrics)
            self.fail(number, f"the score became {score} at {where}, step {evaluation.step}: {metrics}")
            return Verdict.STOP
        trial = Trial(self._study, frozen._trial_id)
        trial.set_user_attr(f"{EVALUATION}{evaluation.index}", {**evaluation.to_dict(), "score": score})
        trial.report(score, evaluation.index)
        if evaluation.is_last or not self._should_prune(trial):
            return Verdict.CONTINUE
        trial.set_user_attr("reason", f"pruned by {self.pruner} at {where}, score {score:.4f}")
        self._study.tell(number, state=TrialState.PRUNED)
        return Verdict.PRUNE

    def _should_prune(self, trial: Trial) -> bool:
        if self.rung_resource == "steps":
            return trial.should_prune()
        return should_prune(self._study, self._frozen(trial.number), _curve)

    def complete(self, number: int) -> None:
        """Give the trial its score, that of the last evaluation, which must have been reported. A final state stays."""
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return
        evaluations = _evaluations(frozen)
        if not evaluations or evaluations[-1]["index"] != evaluations[-1]["n_evaluations"]:
            raise AssertionError(f"trial {number} is completed before its last evaluation is reported")
        self._study.tell(number, evaluations[-1]["score"])

    def fail(self, number: int, reason: str) -> None:
        """End the trial as FAIL. A final state stays."""
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return
        Trial(self._study, frozen._trial_id).set_user_attr("reason", reason)
        self._study.tell(number, state=TrialState.FAIL)

    def settle(self) -> list[int]:
        """End the trials that a killed driver left RUNNING and enqueue their parameters again; returns their numbers.

        For the start of a resumed search, before anything is asked.
        """
        running = self._study.get_trials(states=(TrialState.RUNNING,))
        for frozen in running:
            # First the new one: killed in between, the parameters are tried twice rather than not at all.
            self._study.enqueue_trial({**frozen.system_attrs.get("fixed_params", {}), **frozen.params})
            self.fail(frozen.number, INTERRUPTED)
        return [frozen.number for frozen in running]

    def records(self) -> list[TrialRecord]:
        """Every trial that was asked for, by number."""
        trials = self._study.get_trials(deepcopy=False)
        return [_record(frozen) for frozen in trials if frozen.state is not TrialState.WAITING]

    def record(self, number: int) -> TrialRecord:
        return _record(self._frozen(number))

    @property
    def best(self) -> TrialRecord | None:
        return best_of(self.records())

    @cached_property
    def _study(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(
            storage=open_storage(self.storage),
            study_name=self.name,
            direction="maximize",
            pruner=make_pruner(self.pruner, self.n_trials, self.n_evaluations),
            load_if_exists=True,
        )
        n_before = sum(frozen.state is not TrialState.WAITING for frozen in study.get_trials(deepcopy=False))
        study.sampler = make_sampler(self.sampler, self.seed, self.n_trials, n_before=n_before)
        self._check_same(study)
        return study

    def _check_same(self, study: optuna.Study) -> None:
        """Write down what a new study searches, with its start configurations; compare it for an old one."""
        searched = {"space": self.space.to_dict(), "metric": self.objective.describe(), "data": self.data_sha256}
        if "searched" not in study.user_attrs:
            for picks in self.space.start[: self.n_trials]:
                study.enqueue_trial(dict(picks), skip_if_exists=True)
            study.set_user_attr("searched", searched)
            return
        before = study.user_attrs["searched"]
        problems = [
            f"the study {self.name} was begun with {other}; go on with that, or give the search a new name"
            for key, other in (("space", "another space"), ("metric", "another metric"), ("data", "other data"))
            if _as_json(searched[key]) != _as_json(before[key])
        ]
        if problems:
            raise ConfigError(problems)

    def _n_asked(self) -> int:
        """Trials that count towards the total."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(frozen.state is not TrialState.WAITING and _counts(frozen) for frozen in trials)

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
            f"the search ends after {self._n_asked()} of {self.n_trials} trials: the last {n_repeats} configurations asked for "
            f"were known, and of {MOST_DRAWS} random ones none is new"
        )
        return False

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

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
        return {key: value for key, value in self.__dict__.items() if key not in ("_study", "_grid", "_known")}


def _unknown(what: str, name: str, table: Iterable[str]) -> list[str]:
    valid = list(table)
    return [] if name in table else [f"unknown {what} {name}{nearest(name, valid)}; the {what}s are {', '.join(valid)}"]


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _counts(frozen: FrozenTrial) -> bool:
    """Whether a trial counts towards the total: it was neither interrupted nor told from another's record."""
    is_interrupted = frozen.state is TrialState.FAIL and frozen.user_attrs.get("reason") == INTERRUPTED
    return not is_interrupted and SAME_AS not in frozen.user_attrs


def _evaluations(frozen: FrozenTrial) -> list[dict[str, Any]]:
    found = [value for key, value in frozen.user_attrs.items() if key.startswith(EVALUATION)]
    return sorted(found, key=lambda evaluation: int(evaluation["index"]))


def _curve(frozen: FrozenTrial) -> list[tuple[float, float]]:
    """Compute and score of a trial's evaluations; their index stands for a compute that was not counted."""
    return [(found.get("compute") or float(found["index"]), found["score"]) for found in _evaluations(frozen)]


def _record(frozen: FrozenTrial) -> TrialRecord:
    evaluations = _evaluations(frozen)
    last = evaluations[-1] if evaluations else {"score": None, "metrics": {}, "seconds": 0.0}
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
        same_as=same_as,
    )
