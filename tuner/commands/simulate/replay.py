"""Replays recorded learning curves: completes them, and spreads them over the space they were recorded in.

The curve of an unrecorded configuration is the mean of the 3 nearest recorded trials, weighted by 1/distance², so that a
recorded configuration gets exactly its recorded curve. The distance is the root of a weighted mean of squared differences, with
the weights of `distance`. Seconds and compute are the neighbours', scaled by the cost of a step (`cost_in_plain_steps`). A
configuration whose nearest trial failed fails in the same way. `leave_one_out` estimates the error of all this.

A pruned trial is extrapolated by the mean gain of the complete trials, at its own pace. Up to the last evaluation but one it
keeps its difference to the other trials, noise included, because those evaluations use the same `budget.early_eval_examples`
examples. The last one uses all of select, without that noise: of the difference to the mean of all trials at the evaluation
where it was pruned, the part `1 − (1 − n_early / n_select) · noise² / variance`, between 0 and 1, remains. The noise is
binomial, `p (1 − p) / n`, less the part common to all trials; the variance is that of all trials with this evaluation. When
early evaluations use all of select, the whole difference remains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from model.config import ConfigError, TrialConfig, parse
from model.smart.config import cost_in_plain_steps
from model.tasks import TASKS
from model.training.evaluation import Evaluation
from tuner.commands.simulate.clock import Course
from tuner.commands.simulate.distance import Position, distances, position, weights
from tuner.config.objective import Objective, tasks_of
from tuner.results.trial_record import INTERRUPTED
from tuner.space import Space

N_NEIGHBOURS, N_FOLDS = 3, 5
SAME_EXAMPLES = 0.5
"""Share of the variance from the choice of examples that is common to all trials, which are evaluated on the same ones. An
assumption: two classifiers that are each right on 80 % of the examples and disagree on 16 % of them share half of it."""


@dataclass(frozen=True)
class RecordedTrial:
    """A recorded trial, extrapolated to all evaluations."""

    here: Position
    scores: np.ndarray
    """(n_evaluations,); NaN from its failure on."""
    spent: np.ndarray
    """(n_evaluations, 2): seconds and compute, divided by the step's cost in plain steps."""
    is_complete: bool

    @property
    def fails(self) -> bool:
        return bool(np.isnan(self.scores).any())


@dataclass(frozen=True)
class Replay:
    """The world of the trials of one or more runs."""

    space: Space
    objective: Objective
    trials: tuple[RecordedTrial, ...]

    @classmethod
    def of(cls, results: Sequence[Mapping[str, Any]], space: Space, objective: Objective) -> Replay:
        """The world of runs, given the contents of their results.json. Raises `ConfigError` without a COMPLETE trial."""
        raw = [
            (trial, {task: splits.get("select", 0) for task, splits in result["data"]["rows"].items()})
            for result in results
            for trial in result["trials"]
            if trial["config"] and trial["reason"] != INTERRUPTED
        ]
        complete = [trial for trial, _ in raw if trial["state"] == "COMPLETE"]
        if not complete:
            raise ConfigError(["the record has no COMPLETE trial, so no whole learning curve; give another --record"])
        lengths = sorted({len(trial["evaluations"]) for trial in complete})
        if len(lengths) > 1:
            raise ConfigError([f"the recorded trials have {lengths} evaluations; give records of one kind of trial"])
        usable = [(trial, n_select) for trial, n_select in raw if trial["state"] == "FAIL" or trial["evaluations"]]
        curves = [[one["score"] for one in trial["evaluations"]] for trial, _ in usable if trial["state"] != "FAIL"]
        columns = [np.array([curve[i] for curve in curves if len(curve) > i]) for i in range(lengths[0])]
        level = [(float(np.mean(column)), float(np.var(column))) for column in columns]
        mean = np.mean([[one["score"] for one in trial["evaluations"]] for trial in complete], axis=0)
        return cls(space, objective, tuple(_extrapolate(*each, mean, level, space, objective) for each in usable))

    @cached_property
    def best(self) -> float:
        return max(float(trial.scores[-1]) for trial in self.trials if not trial.fails)

    @property
    def n_evaluations(self) -> int:
        return len(self.trials[0].scores)

    def course(self, config: TrialConfig) -> Course:
        scores, spent = _predict(position(self.space, config), self.trials, self._weights)
        n, names = self.n_evaluations, scored_metrics(self.objective, config)
        spent = spent * cost_in_plain_steps(config.smart)
        evaluations = tuple(
            Evaluation(i, n, i, n, i, dict.fromkeys(names, score), {}, seconds, compute=compute)
            for i, (score, (seconds, compute)) in enumerate(zip(scores.tolist(), spent.tolist(), strict=True), start=1)
        )
        return Course(evaluations, float(scores[-1]))

    @cached_property
    def _weights(self) -> dict[str, float]:
        return _weights_of(self.trials)

    def leave_one_out(self) -> tuple[float, float]:
        """Mean absolute error of the final scores of COMPLETE trials, each predicted from the others, and by the others' mean.

        The weights of the distance are estimated without the fifth of the record that holds the trial. NaN with fewer than two
        COMPLETE trials.
        """
        complete = [trial for trial in self.trials if trial.is_complete]
        if len(complete) < 2:
            return math.nan, math.nan
        total = sum(float(trial.scores[-1]) for trial in complete)
        mean = [abs((total - trial.scores[-1]) / (len(complete) - 1) - trial.scores[-1]) for trial in complete]
        nearest = []
        for fold in range(N_FOLDS):
            weights = _weights_of([trial for index, trial in enumerate(self.trials) if index % N_FOLDS != fold])
            for trial in self.trials[fold::N_FOLDS]:
                rest = [other for other in self.trials if other is not trial and not other.fails]
                if trial.is_complete:
                    nearest.append(abs(_predict(trial.here, rest, weights)[0][-1] - trial.scores[-1]))
        return float(np.mean(nearest)), float(np.mean(mean))


def _weights_of(trials: Sequence[RecordedTrial]) -> dict[str, float]:
    return weights([trial.here for trial in trials], np.array([trial.scores[-1] for trial in trials]))


def _predict(here: Position, trials: Sequence[RecordedTrial], by: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n_evaluations,), and seconds and compute per plain step (n_evaluations, 2)."""
    apart = distances(here, [trial.here for trial in trials], by)
    nearest = np.argsort(apart, kind="stable")[:N_NEIGHBOURS]
    if trials[nearest[0]].fails:
        return trials[nearest[0]].scores, trials[nearest[0]].spent
    sound = [index for index in nearest if not trials[index].fails]
    if apart[sound[0]] == 0.0:
        return trials[sound[0]].scores, trials[sound[0]].spent
    shares = apart[sound] ** -2.0
    shares /= shares.sum()
    return (
        shares @ np.stack([trials[index].scores for index in sound]),
        np.tensordot(shares, np.stack([trials[index].spent for index in sound]), axes=1),
    )


def _extrapolate(
    trial: Mapping[str, Any],
    n_select: Mapping[str, int],
    mean: np.ndarray,
    level: Sequence[tuple[float, float]],
    space: Space,
    objective: Objective,
) -> RecordedTrial:
    """A recorded trial, extrapolated to its missing evaluations.

    `n_select` is the number of select examples by task, `mean` the mean curve of the complete trials (n_evaluations,), `level`
    the mean and variance of all trials at each evaluation.
    """
    config = parse(trial["config"])
    n, m = len(mean), len(trial["evaluations"])
    scores = np.array([evaluation["score"] for evaluation in trial["evaluations"]] + [math.nan] * (n - m))
    known = [(evaluation["seconds"], evaluation.get("compute", 0.0)) for evaluation in trial["evaluations"]]
    spent = np.array(known, dtype=float).reshape(m, 2)
    if trial["state"] != "FAIL" and m < n:
        scores[m:] = scores[m - 1] + mean[m:] - mean[m - 1]
        scores[-1] -= (1 - kept_part(level[m - 1], config, objective, n_select)) * (scores[m - 1] - level[m - 1][0])
    pace = spent[-1] / m if m else np.zeros(2)
    spent = np.concatenate([spent, np.arange(m + 1, n + 1)[:, None] * pace])
    per_plain_step = spent / cost_in_plain_steps(config.smart)
    return RecordedTrial(position(space, config), scores, per_plain_step, trial["state"] == "COMPLETE")


def kept_part(level: tuple[float, float], config: TrialConfig, objective: Objective, n_select: Mapping[str, int]) -> float:
    """The part, 0 to 1, of an early difference to the mean of all trials that remains on all of select.

    `level` is the mean and variance of the early scores of all trials, `n_select` the rows of select by task; the module's
    docstring has the formula.
    """
    p, variance = min(max(level[0], 0.0), 1.0), level[1]
    rows = [n_select[task] for task in tasks_of(scored_metrics(objective, config))]
    limit = config.budget.early_eval_examples
    fewer = sum(1 / min(limit or n, n) - 1 / n for n in rows)  # 0 when early evaluations use all of select
    noise = (1 - SAME_EXAMPLES) * p * (1 - p) * fewer / len(rows) ** 2
    if noise == 0.0:
        return 1.0
    return max(1 - noise / variance, 0.0) if variance > 0 else 0.0


def scored_metrics(objective: Objective, config: TrialConfig) -> tuple[str, ...]:
    """The metrics that the score of this configuration is the mean of."""
    return objective.metrics or tuple(TASKS[task].metric for task in config.mixture)
