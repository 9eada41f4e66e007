"""Ray Tune as it comes, under the simulator's clock: `OptunaSearch` and `ASHAScheduler`, driven as `TuneController` does it.

No cluster is started: the searcher and the scheduler are the objects of the installed Ray, and this module makes the calls of
Tune's controller. A trial that the scheduler stops is told to Optuna as COMPLETE with its half-way score, because that is what
Ray does. Where stock Ray would do worse than here it is given the better: a failed trial raises and is told as an error, and
only trials that ran to their end count as found.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from model.training.evaluation import Evaluation
from tuner.config.objective import Objective
from tuner.space import Space
from tuner.study import Suggestion, Verdict

METRIC = "score"


class StockRay:
    """Decisions of Ray's own parts with their defaults; the space's start configurations are tried first, as ours are."""

    def __init__(self, space: Space, objective: Objective, n_trials: int, n_evaluations: int, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space, self._objective, self._n_trials, self._seed = space, objective, n_trials, seed
        start = [dict(point) for point in space.start[:n_trials]]
        self._searcher = OptunaSearch(self._define, metric=METRIC, mode="max", points_to_evaluate=start, seed=seed)
        self._scheduler = ASHAScheduler(metric=METRIC, mode="max", max_t=n_evaluations)
        self._trials: list[Any] = []
        self._drawn: dict[str, Any] = {}

    def _define(self, trial: Any) -> None:
        """Ray's define-by-run space."""
        self._drawn = self._space.suggest(trial)

    def ask(self) -> Suggestion | None:
        number = len(self._trials)
        if number >= self._n_trials:
            return None
        trial = SimpleNamespace(trial_id=f"{number:05d}", last={})
        self._searcher.suggest(trial.trial_id)
        self._scheduler.on_trial_add(None, trial)
        self._trials.append(trial)
        return Suggestion(number, self._space.parse({"seed": self._seed, **self._drawn}))

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        trial, score = self._trials[number], self._objective.score(evaluation.metrics)
        if score != score:
            self._scheduler.on_trial_remove(None, trial)
            self._searcher.on_trial_complete(trial.trial_id, None, error=True)
            return Verdict.STOP
        trial.last = {METRIC: score, "training_iteration": evaluation.index}
        if evaluation.is_last:
            return Verdict.CONTINUE  # the trainable is done: Tune asks no scheduler
        if self._scheduler.on_trial_result(None, trial, trial.last) == TrialScheduler.STOP:
            self._searcher.on_trial_complete(trial.trial_id, trial.last)
            return Verdict.PRUNE
        self._searcher.on_trial_result(trial.trial_id, trial.last)
        return Verdict.CONTINUE

    def release(self, number: int) -> None:
        """Ray stops trials, it pauses none."""

    def complete(self, number: int) -> None:
        trial = self._trials[number]
        self._scheduler.on_trial_complete(None, trial, trial.last)
        self._searcher.on_trial_complete(trial.trial_id, trial.last)
