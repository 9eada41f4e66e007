"""Pruning at equal compute as its definition says, over all trials: what the samples are held against. Nothing is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, PercentilePruner, SuccessiveHalvingPruner, WilcoxonPruner
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tuner.study import Study
from tuner.study.fronts import Fronts
from tuner.study.peers import Peers
from tuner.study.pruners import Kinds, make_pareto_pruner, make_pruner
from tuner.study.repeats import SAME_AS
from tuner.study.rungs import score_within, scores_at
from tuner.study.running_pruners import Running
from tuner.study.standing import curve, is_by_rank, score_curve
from tuner.study.stored import evaluations as evaluations_of

HALVING = "completed_rung_"
OPTUNAS = Kinds(PercentilePruner, SuccessiveHalvingPruner, HyperbandPruner, WilcoxonPruner)


class WholeStudyPruner(BasePruner):
    """One of Optuna's pruners, which is shown every trial as it stands at the judged one's computes."""

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        storage: Any = View(study._storage, trial)
        return self._pruner.prune(optuna.Study(study.study_name, storage, pruner=self._pruner), trial)


class View:
    """A study's storage as the judged trial sees it."""

    def __init__(self, storage: BaseStorage, judged: FrozenTrial) -> None:
        self._storage = storage
        self._judged = judged
        self._computes = [compute for compute, _ in score_curve(evaluations_of(judged))]
        self._rung = sum(name.startswith(HALVING) for name in judged.system_attrs)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [self._seen(other) for other in self._storage.get_all_trials(study_id, deepcopy=False, states=states)]

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        return self._seen(self._storage.get_best_trial(study_id))

    def _seen(self, other: FrozenTrial) -> FrozenTrial:
        """Another trial with its scores at the judged one's computes, the last of them where halving looks for it."""
        if other.number == self._judged.number:
            return other
        seen = copy.copy(other)
        is_complete = other.state is TrialState.COMPLETE
        seen.intermediate_values = scores_at(score_curve(evaluations_of(other)), self._computes, is_complete=is_complete)
        last = seen.intermediate_values.get(len(self._computes))
        seen.system_attrs = {} if last is None else {f"{HALVING}{self._rung}": last}
        return seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


class WholeStudyPeers(Peers):
    """All trials, read anew at every judgement."""

    def __init__(self, curve_of: Callable[[FrozenTrial], Any], trials: Callable[[], Sequence[FrozenTrial]]) -> None:
        super().__init__(curve_of)
        self._trials = trials

    def complete(self, trial: FrozenTrial) -> Fronts:
        return Fronts(self._within(trial, [other for other in self._trials() if other.state is TrialState.COMPLETE]))

    def arrived(self, trial: FrozenTrial) -> Fronts:
        others = [other for other in self._trials() if SAME_AS not in other.user_attrs]
        return Fronts([*self._within(trial, others), self.curve_of(trial)[-1][1]])

    def _within(self, trial: FrozenTrial, others: Sequence[FrozenTrial]) -> list[Any]:
        compute, _ = self.curve_of(trial)[-1]
        found = (
            score_within(self.curve_of(other), compute, is_complete=other.state is TrialState.COMPLETE)
            for other in others
            if other.number != trial.number
        )
        return [vector for vector in found if vector is not None]


def judge_by_all(study: Study) -> None:
    """Put the definition in place of a study's pruner."""
    opened, objective = study._study, study.objective
    if is_by_rank(objective, study.requirements):
        peers = WholeStudyPeers(
            lambda frozen: curve(evaluations_of(frozen), objective), lambda: opened.get_trials(deepcopy=False)
        )
        opened.pruner = make_pareto_pruner(study.pruner, study.n_trials, study.n_evaluations, peers)
        assert isinstance(opened.pruner, Running) or study.pruner == "none"
        peers.restart(opened.get_trials(deepcopy=False))
    else:
        opened.pruner = WholeStudyPruner(make_pruner(study.pruner, study.n_trials, study.n_evaluations, OPTUNAS))
