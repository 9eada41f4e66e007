"""Generates learning curves over a space: a landscape of final scores, and power laws that approach them.

A world is drawn from its seed, and a course is a pure function of the world and the configuration. Positions u are in units
of the parameters' ranges (`tuner.commands.simulate.distance`); `drawing` has the constants.

- End: `floor + (ceiling − floor) · exp(−drop / (ceiling − floor))`. The drop is a sum over the active coordinates:
  `w · max(|u − u* − r · (v − v*)| − t, 0)²` for numbers, where v is another number's position and t a tolerance, and a drop for
  each label. It is 0 at u* with the best labels, so that the best score is known. Most w are small and the learning rate's is
  the largest: the top is a plateau.
- Defaults: u* lies near the space's first start configuration, and its labels are often the best ones.
- Switches: a label's own drop is lowered by the mean drop of the parameters that it activates, so SMART helps in about half
  of the worlds.
- Curve: at the share x of the budget `end − (end − start) · (x^−c − 1) / (x₀^−c − 1)`, a power law of rate c through `start` at
  x₀, half the first evaluation, and through `end` at 1. Rate and start depend on the position independently of the end, and
  vary in proportion to the ends, so that curves cross and slow learners can be best.
- Failures: at high learning rates, with a logistic step from rare to certain, a trial becomes NaN at some evaluation, or stays
  at the floor from there on.
- Noise of training: normal, correlated over the evaluations.
- Noise from the choice of examples: at score p its standard deviation is `sqrt(p (1 − p) Σ 1/n) / T` over the T scored tasks
  with n examples each, `budget.early_eval_examples` at the early evaluations and all of select at the last. Half of the
  variance is common to all trials, which are evaluated on the same examples, and a part is constant over a trial's
  evaluations.
- Seconds: `costs`, times a factor of each trial.

The constants are fitted to recorded sweeps, `python -m benchmarks.worlds --curves DIR`, of ten evaluations a trial: 1,024
fine-tunes each of DeBERTa and DeBERTa-v3 on MultiNLI, 512 trainings each of ConvNeXt and AlexNet on ImageNet (Lourie, Cho, He
2023), and 162 and 159 fine-tunes for translation from French and Chinese (Zhang and Duh 2024). In these, in this order:

- the score at a fifth has a rank correlation with the end of .93, .93, .81, .85, .66 and .23 over all trials, failed ones
  last, and of .71, .71, .70, .62, .52 and .27 in the upper half of those that end with a number;
- 29, 39, 0.6, 0.8, 1.9 and 0.6 % of the trials end within 1 % of the best;
- 26, 23, 44, 62, 0 and 3 % fail or end at chance: in the first four hardly any at the lowest fifth of learning rates, and 98
  to 100 % at the highest.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks import costs
from benchmarks.drawing import draw_landscape
from benchmarks.landscape import Failure, Landscape
from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.commands.simulate.clock import Course
from tuner.commands.simulate.distance import Position, position
from tuner.commands.simulate.replay import scored_metrics
from tuner.config.objective import Objective, tasks_of
from tuner.space import Space
from tuner.space.untuned import untuned

SECONDS_JITTER = 0.05


@dataclass(frozen=True)
class Synthetic:
    """The generated world of a seed."""

    space: Space
    objective: Objective
    seed: int
    flops_per_s: float
    """Speed of one slot."""

    @property
    def best(self) -> float:
        return self._landscape.ceiling

    @property
    def floor(self) -> float:
        """The score at chance."""
        return self._landscape.floor

    @cached_property
    def _landscape(self) -> Landscape:
        default: Position = position(self.space, untuned(self.space, 0)) if self.space.start else {}
        return draw_landscape(self.space, default, np.random.default_rng(self.seed))

    def true_score(self, config: TrialConfig) -> float:
        """The final score without noise; the floor if the trial fails."""
        here = position(self.space, config)
        return self.floor if self._failure(config, here) else self._landscape.end(here)

    def expected_scores(self, config: TrialConfig) -> np.ndarray:
        """The scores without noise, (n_evaluations,): NaN or the floor from the failure on."""
        here = position(self.space, config)
        scores, failure = self._landscape.curve(here, config.budget.evaluations), self._failure(config, here)
        if failure is not None:
            scores[failure.at :] = math.nan if failure.is_nan else self.floor
        return scores

    def course(self, config: TrialConfig) -> Course:
        data, rng = costs.summary(), self._rng(config, "noise")
        metrics = scored_metrics(self.objective, config)
        tasks, scores = tasks_of(metrics), self.expected_scores(config)
        scores += self._landscape.training_noise(position(self.space, config), len(scores), rng)
        deviations, shared = costs.sampling_deviation(scores, config, tasks), costs.sampling_correlation(config, tasks)
        scores += self._landscape.sampling_noise(deviations, shared, rng)
        factor = math.exp(rng.normal(0.0, SECONDS_JITTER))
        seconds = [factor * s for s in costs.seconds(config, data, self.flops_per_s)]
        n, n_steps, computes = len(scores), costs.n_steps(config, data), costs.compute(config, data)
        evaluations = []
        for i, (score, second, compute) in enumerate(zip(scores.tolist(), seconds, computes, strict=True), start=1):
            step = i * n_steps // n
            values = dict.fromkeys(metrics, score)
            evaluations.append(Evaluation(i, n, step, n_steps, step, values, {}, second, compute=compute))
        return Course(tuple(evaluations), self.true_score(config))

    def _failure(self, config: TrialConfig, here: Position) -> Failure | None:
        return self._landscape.failures.draw(here, config.budget.evaluations, self._rng(config, "failure"))

    def _rng(self, config: TrialConfig, purpose: str) -> np.random.Generator:
        text = json.dumps([purpose, config.to_dict()], sort_keys=True)
        return np.random.default_rng([self.seed, zlib.crc32(text.encode())])
