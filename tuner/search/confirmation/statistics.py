"""The statistics of a confirmation: lower bounds of the finalists' means over seeds, and differences of two finalists on dev.

The bounds are Student's t. A difference has a Multi-Bootstrap interval (Sellam et al. 2022, "The MultiBERTs"): each resample
draws the examples of each task with replacement, the same for both finalists, and the seeds of each finalist with
replacement; a finalist's score is the mean over its drawn seeds, every metric computed anew on the drawn examples. So the
interval covers other examples and other seeds. With few seeds it is too narrow: with two, it contains half of the variance
over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from model.metrics import METRICS, compute
from model.tasks import TASKS
from tuner.config.objective import metrics_of, value_of

Floats = npt.NDArray[np.float64]

N_RESAMPLES = 2000
CONFIDENCE = 0.95
"""Of the one-sided bound, and of the two-sided percentile interval of a difference."""
AT_ONCE = 1_000_000
"""Largest size of an array of resampled counts: resamples × examples."""
OWN_VARIANCE_FROM = 5
"""Seeds from which on each finalist's own standard deviation is used; with fewer, the pooled one.

With two seeds its own bound is 4.5 standard deviations below the mean (t = 6.3 with one degree of freedom), which is mostly
noise. Four finalists of two seeds pooled have four degrees of freedom (t = 2.1).
"""


@dataclass(frozen=True)
class Dev:
    """A trained model's predictions on dev."""

    predictions: Mapping[str, Floats]
    """By task of its mixture, (n,)."""
    labels: Mapping[str, Floats]
    """By task, (n,)."""

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Every metric by `task/metric`."""
        metrics: dict[str, float] = {}
        for task, predictions in self.predictions.items():
            metrics |= compute(TASKS[task], predictions, self.labels[task])
        return metrics


@dataclass(frozen=True)
class Goal:
    """The score that is compared: the search's first goal, on dev."""

    name: str
    targets: tuple[str, ...]
    """Tasks of `mean`."""

    @classmethod
    def of(cls, goal: str, targets: tuple[str, ...]) -> Goal:
        """The goal on dev; for a goal on an arm of select it is the same metric on all of dev."""
        return cls("/".join(goal.split("/")[-2:]), targets)

    def metrics(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """The metrics that the goal is the mean of, for a model of these tasks."""
        return metrics_of(self.name, self.targets) or tuple(TASKS[task].metric for task in tasks)

    def score(self, dev: Dev) -> float:
        return value_of(self.name, {name: dev.metrics[name] for name in self.metrics(list(dev.predictions))}, self.targets)


@dataclass(frozen=True)
class Comparison:
    """A difference of two finalists' mean scores over their seeds."""

    difference: float
    low: float
    high: float
    """The `CONFIDENCE` interval of the difference."""
    probability_better: float
    """Share of the resamples in which the first finalist is better; ties count half."""
    n_resamples: int


def compare(first: Sequence[Dev], second: Sequence[Dev], goal: Goal, seed: int, n_resamples: int = N_RESAMPLES) -> Comparison:
    """Compare two finalists, given the models of one or more seeds of each, on the same examples."""
    rng = np.random.default_rng(seed)
    scores = _resampled_scores([*first, *second], goal, rng, n_resamples)
    differences = _over_seeds(scores[: len(first)], rng) - _over_seeds(scores[len(first) :], rng)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences, [tail, 1 - tail])
    better = np.mean(differences > 0) + np.mean(differences == 0) / 2
    point = np.mean([goal.score(dev) for dev in first]) - np.mean([goal.score(dev) for dev in second])
    return Comparison(float(point), float(low), float(high), float(better), n_resamples)


def draw(n: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """counts: (n_resamples, n), how often each of n examples is among n drawn with replacement."""
    rows = rng.integers(n, size=(n_resamples, n))
    return np.stack([np.bincount(row, minlength=n) for row in rows]).astype(np.float64)


def _over_seeds(scores: Floats, rng: np.random.Generator) -> Floats:
    """Means over seeds drawn with replacement in each resample: (B,), from scores: (S, B)."""
    n_seeds, n_resamples = scores.shape
    drawn = rng.integers(n_seeds, size=(n_seeds, n_resamples))
    return np.asarray(np.take_along_axis(scores, drawn, axis=0).mean(0))


def _resampled_scores(models: Sequence[Dev], goal: Goal, rng: np.random.Generator, n_resamples: int) -> Floats:
    """Scores of M models on B resamples of examples, the same examples for all models: (M, B)."""
    metrics = [goal.metrics(list(model.predictions)) for model in models]
    tasks = list(dict.fromkeys(name.split("/")[0] for names in metrics for name in names))
    totals = np.zeros((len(models), n_resamples))
    for task in tasks:
        labels = next(model.labels[task] for model in models if task in model.labels)
        step = max(1, AT_ONCE // len(labels))
        for start in range(0, n_resamples, step):
            counts = draw(len(labels), min(step, n_resamples - start), rng)
            for row, (model, names) in enumerate(zip(models, metrics, strict=True)):
                for name in (name for name in names if name.split("/")[0] == task):
                    resampled = METRICS[name.split("/")[1]].resampled
                    totals[row, start : start + step] += resampled(
                        model.predictions[task], labels, counts, TASKS[task].n_classes
                    )
    return np.asarray(totals / np.array([[len(names)] for names in metrics]))


def spread(scores: Sequence[float]) -> float | None:
    """The sample standard deviation √(Σ(xᵢ − x̄)² / (n − 1)) of scores (n,); None for n < 2."""
    n = len(scores)
    if n < 2:
        return None
    mean = math.fsum(scores) / n
    return math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (n - 1))


def pooled(samples: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """The pooled standard deviation √(Σ(nⱼ − 1)sⱼ² / Σ(nⱼ − 1)) of samples j, and its degrees of freedom Σ(nⱼ − 1).

    None where no sample has two scores.
    """
    degrees = sum(max(len(sample) - 1, 0) for sample in samples)
    if degrees == 0:
        return None
    squares = math.fsum(sd**2 * (len(sample) - 1) for sample in samples if (sd := spread(sample)) is not None)
    return math.sqrt(squares / degrees), degrees


def is_pooled(samples: Sequence[Sequence[float]]) -> bool:
    """Whether some sample is too small for its own standard deviation; then all use the pooled one, to be comparable."""
    return any(len(sample) < OWN_VARIANCE_FROM for sample in samples)


def lower_bounds(samples: Sequence[Sequence[float]]) -> list[float | None]:
    """x̄ − t · s / √n of each sample (n ≥ 1), with t the quantile of Student's distribution at `CONFIDENCE`.

    None for all samples where none has two scores, because the spread is unknown.
    """
    from scipy.stats import t

    together = pooled(samples)
    if together is None:
        return [None] * len(samples)
    bounds: list[float | None] = []
    for sample in samples:
        s, degrees = together if is_pooled(samples) else (spread(sample) or 0.0, len(sample) - 1)
        bounds.append(math.fsum(sample) / len(sample) - float(t.ppf(CONFIDENCE, degrees)) * s / math.sqrt(len(sample)))
    return bounds
