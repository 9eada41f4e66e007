"""The study: ask for a trial, report its evaluations, end it; and what the storage knows of all trials."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from model.config import ConfigError, TrialConfig, nearest, parse
from model.evaluation import Evaluation
from tuner.record import INTERRUPTED, TrialRecord, best_of
from tuner.study.pruners import PRUNERS, make_pruner
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
    """Trials in total, over all resumptions; interrupted ones do not count."""
    n_evaluations: int
    """Evaluations per trial."""
    data_sha256: str = ""
    """What the scores were measured on: a study has one."""
    refused: list[int] = field(default_factory=list)
    """Trials that `ask` ended because their configuration breaks a rule, and that nobody has been told of yet."""

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
    ) -> Study:
        """Create the study, or go on with one of this name.

        Raises `ConfigError` when sampler or pruner is unknown, the storage cannot be used, the space has no grid
        for the sampler `grid`, or the study was begun with another space, metric or data.
        """
        problems = _unknown("sampler", sampler, SAMPLERS) + _unknown("pruner", pruner, PRUNERS)
        if problems:
            raise ConfigError(problems)
        study = cls(storage, name, space, objective, sampler, pruner, seed, n_trials, n_evaluations, data_sha256)
        if sampler == "grid":
            space.grid_points()  # raises when there is none
        _ = study._study  # opened now, so that its problems show here
        return study

    def ask(self) -> Asked | None:
        """The next trial to run, or None when all are asked for, or the grid is used up."""
        while self._n_asked() < self.n_trials:
            if self.sampler == "grid" and not self._enqueue_grid_point():
                return None
            trial = self._study.ask()
            values = self.space.suggest(trial)
            values.setdefault("seed", self.seed)
            try:
                config = parse(values)
            except ConfigError as error:
                trial.set_user_attr("config", values)
                self.fail(trial.number, f"the configuration is refused: {'; '.join(error.problems)}")
                self.refused.append(trial.number)
                continue
            trial.set_user_attr("config", config.to_dict())
            return Asked(trial.number, config)
        return None

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
        if evaluation.is_last or not trial.should_prune():
            return Verdict.CONTINUE
        self.prune(number, f"pruned by {self.pruner} at {where}, score {score:.4f}")
        return Verdict.PRUNE

    def complete(self, number: int) -> None:
        """Give the trial its score, that of the last evaluation, which must have been reported. A final state stays."""
        frozen = self._frozen(number)
        if frozen.state.is_finished():
            return
        evaluations = _evaluations(frozen)
        if not evaluations or evaluations[-1]["index"] != evaluations[-1]["n_evaluations"]:
            raise AssertionError(f"trial {number} is completed before its last evaluation is reported")
        self._study.tell(number, evaluations[-1]["score"])

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
        self._study.tell(number, state=state)

    def note(self, number: int, note: str) -> None:
        """Keep a line on how a running trial runs. That of a trial that has ended stays."""
        frozen = self._frozen(number)
        if not frozen.state.is_finished():
            Trial(self._study, frozen._trial_id).set_user_attr("note", note)

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
        return sum(frozen.state is not TrialState.WAITING and not _is_interrupted(frozen) for frozen in trials)

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
        return {key: value for key, value in self.__dict__.items() if key not in ("_study", "_grid")}


def _unknown(what: str, name: str, table: Mapping[str, object]) -> list[str]:
    valid = list(table)
    return [] if name in table else [f"unknown {what} {name}{nearest(name, valid)}; the {what}s are {', '.join(valid)}"]


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _is_interrupted(frozen: FrozenTrial) -> bool:
    return frozen.state is TrialState.FAIL and frozen.user_attrs.get("reason") == INTERRUPTED


def _evaluations(frozen: FrozenTrial) -> list[dict[str, Any]]:
    found = [value for key, value in frozen.user_attrs.items() if key.startswith(EVALUATION)]
    return sorted(found, key=lambda evaluation: int(evaluation["index"]))


def _record(frozen: FrozenTrial) -> TrialRecord:
    evaluations = _evaluations(frozen)
    last = evaluations[-1] if evaluations else {"score": None, "metrics": {}, "seconds": 0.0}
    return TrialRecord(
        number=frozen.number,
        state=frozen.state.name,  # type: ignore[arg-type]  # Optuna's names are ours; WAITING has no record
        score=None if frozen.state is TrialState.FAIL else last["score"],
        metrics=last["metrics"],
        evaluations=evaluations,
        config=frozen.user_attrs.get("config", {}),
        seconds=last["seconds"],
        reason=frozen.user_attrs.get("reason"),
        note=frozen.user_attrs.get("note"),
    )
