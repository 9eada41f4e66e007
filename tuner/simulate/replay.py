"""Recorded learning curves, made whole and spread over the space they were recorded in.

A record has few trials, and a sampler asks for others: their courses are those of the k nearest recorded trials, weighted by
1/distance², so that a recorded configuration takes exactly its recorded course. Distances are root mean squares over the
coordinates that either of two configurations uses (`position`): the difference of numbers, and 1 for different labels and for
coordinates that only one of them uses. Seconds and compute are the neighbours', per unit of the step's arithmetic
(`cost_in_plain_steps`).

A pruned trial's curve is continued by what the complete ones gained on average from where it ended, at its own pace. A trial
that failed lends its failure to configurations to which it is the nearest. How far to believe all this: `leave_one_out`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from model.config import ConfigError, TrialConfig, parse
from model.cost import cost_in_plain_steps
from model.evaluation import Evaluation
from tuner.objective import Objective
from tuner.record import INTERRUPTED
from tuner.simulate.position import Position, position
from tuner.simulate.world import Course, scored_metrics
from tuner.space import Space

N_NEIGHBOURS = 3


@dataclass(frozen=True)
class Recorded:
    """A trial of a record, whole."""

    here: Position
    scores: np.ndarray
    """(n_evaluations,); NaN from where it failed."""
    spent: np.ndarray
    """(n_evaluations, 2): seconds and compute, divided by the step's cost in plain steps."""
    is_complete: bool

    @property
    def fails(self) -> bool:
        return bool(np.isnan(self.scores).any())


@dataclass(frozen=True)
class Replay:
    """The world of one or more records."""

    space: Space
    objective: Objective
    trials: tuple[Recorded, ...]

    @classmethod
    def of(cls, results: Sequence[Mapping[str, Any]], space: Space, objective: Objective) -> Replay:
        """From the contents of results.json of runs. Raises `ConfigError` when no trial of them is COMPLETE."""
        raw = [trial for result in results for trial in result["trials"] if trial["config"] and trial["reason"] != INTERRUPTED]
        complete = [trial for trial in raw if trial["state"] == "COMPLETE"]
        if not complete:
            raise ConfigError(["the record has no COMPLETE trial, so no whole learning curve; give another --record"])
        lengths = sorted({len(trial["evaluations"]) for trial in complete})
        if len(lengths) > 1:
            raise ConfigError([f"the recorded trials have {lengths} evaluations; give records of one kind of trial"])
        gains = _scores_of(complete).mean(axis=0)
        return cls(space, objective, tuple(_whole(trial, gains, space) for trial in raw if _is_usable(trial)))

    @cached_property
    def best(self) -> float:
        return max(float(trial.scores[-1]) for trial in self.trials if not trial.fails)

    @property
    def n_evaluations(self) -> int:
        return len(self.trials[0].scores)

    def course(self, config: TrialConfig) -> Course:
        scores, spent = self._predict(position(self.space, config), self.trials)
        true_score = float(scores[-1])
        n, cost = self.n_evaluations, cost_in_plain_steps(config.smart)
        names = scored_metrics(self.objective, config)
        evaluations = tuple(
            Evaluation(
                i, n, i, n, i, dict.fromkeys(names, float(score)), {}, float(second * cost), compute=float(compute * cost)
            )
            for i, (score, (second, compute)) in enumerate(zip(scores, spent, strict=True), start=1)
        )
        return Course(evaluations, true_score)

    def leave_one_out(self) -> tuple[float, float]:
        """Mean absolute error of the last score of COMPLETE trials, each told from all others; and the same for the mean of the
        others' last scores, which knows no configuration. NaN where there are not two of them."""
        complete = [trial for trial in self.trials if trial.is_complete]
        if len(complete) < 2:
            return math.nan, math.nan
        nearest, mean = [], []
        for trial in complete:
            rest = tuple(other for other in self.trials if other is not trial and not other.fails)
            predicted, _ = self._predict(trial.here, rest)
            nearest.append(abs(predicted[-1] - trial.scores[-1]))
            mean.append(abs(np.mean([other.scores[-1] for other in complete if other is not trial]) - trial.scores[-1]))
        return float(np.mean(nearest)), float(np.mean(mean))

    def _predict(self, here: Position, trials: Sequence[Recorded]) -> tuple[np.ndarray, np.ndarray]:
        """Scores (n_evaluations,), and seconds and compute per plain step (n_evaluations, 2)."""
        distances = np.array([distance(here, trial.here) for trial in trials])
        nearest = np.argsort(distances, kind="stable")[:N_NEIGHBOURS]
        if trials[nearest[0]].fails:
            return trials[nearest[0]].scores, trials[nearest[0]].spent
        sound = [index for index in nearest if not trials[index].fails]
        if distances[sound[0]] == 0.0:
            return trials[sound[0]].scores, trials[sound[0]].spent
        weights = distances[sound] ** -2.0
        weights /= weights.sum()
        return (
            weights @ np.stack([trials[index].scores for index in sound]),
            np.tensordot(weights, np.stack([trials[index].spent for index in sound]), axes=1),
        )


def distance(left: Position, right: Position) -> float:
    """Root mean square over the coordinates of either: 0 for equal positions, about 1 for opposite ones."""
    names = sorted({*left, *right})
    return math.sqrt(sum(_difference(left, right, name) ** 2 for name in names) / max(len(names), 1))


def _difference(left: Position, right: Position, name: str) -> float:
    if name not in left or name not in right:
        return 1.0
    mine, other = left[name], right[name]
    if isinstance(mine, float) and isinstance(other, float):
        return abs(mine - other)
    return float(mine != other)


def _is_usable(trial: Mapping[str, Any]) -> bool:
    """A trial that failed before its first evaluation still tells where trials fail."""
    return trial["state"] == "FAIL" or bool(trial["evaluations"])


def _scores_of(trials: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(n_trials, n_evaluations) of trials that are equally long."""
    return np.array([[evaluation["score"] for evaluation in trial["evaluations"]] for trial in trials])


def _whole(trial: Mapping[str, Any], gains: np.ndarray, space: Space) -> Recorded:
    """A recorded trial with the evaluations that it did not come to; `gains` is the mean curve of the complete ones."""
    config = parse(trial["config"])
    n, m = len(gains), len(trial["evaluations"])
    scores = np.array([evaluation["score"] for evaluation in trial["evaluations"]] + [math.nan] * (n - m))
    known = [(evaluation["seconds"], evaluation.get("compute", 0.0)) for evaluation in trial["evaluations"]]
    spent = np.array(known, dtype=float).reshape(m, 2)
    if trial["state"] != "FAIL":
        scores[m:] = scores[m - 1] + gains[m:] - gains[m - 1]
    pace = spent[-1] / m if m else np.zeros(2)
    spent = np.concatenate([spent, np.arange(m + 1, n + 1)[:, None] * pace])
    return Recorded(position(space, config), scores, spent / cost_in_plain_steps(config.smart), trial["state"] == "COMPLETE")
