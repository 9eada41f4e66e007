"""The metrics of a task, under the names used everywhere: `sst/accuracy`, `sts/pearson`.

A new metric is an entry of `METRICS`: evaluation, bootstrap, intervals and goals read it. Written out, and tested against
scikit-learn and scipy, whose import takes longer than many an evaluation. numpy is imported where values are computed, so that
reading the names is cheap.

Shape legend: n examples, B resamples. A resample is given by counts: (B, n), how often each example was drawn.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]


class Task(Protocol):
    """What metrics need to know of a task (`model.tasks.Task`)."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def n_classes(self) -> int: ...


Interval = tuple[float, float]
CONFIDENCE = 0.95
"""Coverage of the intervals."""
CONSTANT = 1e-13
"""Share of the largest square below which a variance in a resample counts as 0: the rounding error of equal values."""

logger = logging.getLogger(__name__)


def on_split(split: str, values: dict[str, float]) -> dict[str, float]:
    """Metrics under their names on a split other than `select`: `dev/sst/accuracy`."""
    return {f"{split}/{name}": value for name, value in values.items()}


def split_of(name: str) -> str:
    """The split in a metric's name: `dev` of `dev/sst/accuracy`, `select` of `sst/accuracy`."""
    return name.partition("/")[0] if name.count("/") > 1 else "select"


def names_of_kind(kind: str) -> tuple[str, ...]:
    """The metrics of `classification` or `regression`, the main one first."""
    return tuple(name for name, metric in METRICS.items() if metric.kind == kind)


def metric_names(task: Task) -> tuple[str, ...]:
    """The keys of `compute`, the task's main metric first."""
    return tuple(f"{task.name}/{name}" for name in names_of_kind(task.kind))


def compute(task: Task, predictions: npt.NDArray[Any], labels: npt.NDArray[Any]) -> dict[str, float]:
    """Metrics of predictions: (n,) against labels: (n,), class ids or real values, n ≥ 1.

    A prediction that is not finite makes every metric of the task NaN, so that a diverged trial has no score. Class ids are
    always finite, so check the logits before an argmax. Correlations with a constant side are 0, with a warning. Raises
    `ValueError` on shapes that do not match.
    """
    import numpy as np

    if predictions.shape != labels.shape or predictions.ndim != 1 or not len(labels):
        raise ValueError(
            f"{task.name}: predictions {predictions.shape} and labels {labels.shape} must be vectors of one length"
        )
    if not np.isfinite(predictions).all():
        return dict.fromkeys(metric_names(task), math.nan)
    predictions, labels = predictions.astype(np.float64), labels.astype(np.float64)
    constant = [side for side, x in (("predictions", predictions), ("labels", labels)) if _is_constant(x)]
    if task.kind == "regression" and constant:
        warning = "%s: the %d %s are constant, so their correlation is undefined and counts as 0"
        logger.warning(warning, task.name, len(labels), constant[0])
        return dict.fromkeys(metric_names(task), 0.0)
    names = names_of_kind(task.kind)
    return {f"{task.name}/{name}": METRICS[name].value(predictions, labels, task.n_classes) for name in names}


def interval(name: str, value: float, n: int, *, approximate: bool = False) -> Interval | None:
    """The 95 % interval of a metric's value over n examples; None where there is none.

    name: such as `sst/accuracy`. approximate: for a metric without an interval, take that of the metric most like it.
    """
    metric = METRICS.get(name.rpartition("/")[2])
    if metric is not None and approximate and metric.interval_like:
        metric = METRICS[metric.interval_like]
    if metric is None or metric.interval is None or not math.isfinite(value) or n < 1:
        return None
    return metric.interval(value, n)


def is_minimised(name: str) -> bool:
    """Whether a lower value of a metric is better."""
    metric = METRICS.get(name.rpartition("/")[2])
    return metric is not None and not metric.higher_is_better


def _accuracy(predictions: Floats, labels: Floats, counts: Floats, n_classes: int) -> Floats:
    import numpy as np

    return np.asarray(counts @ (predictions == labels).astype(np.float64) / counts.sum(1))


def _f1(predictions: Floats, labels: Floats, counts: Floats, n_classes: int) -> Floats:
    """2 TP / (2 TP + FP + FN) of class 1 for two classes, else its mean over the classes that occur in the resample."""
    import numpy as np

    classes = [1.0] if n_classes == 2 else np.unique([predictions, labels]).tolist()
    hits = np.stack([counts @ ((predictions == c) & (labels == c)) for c in classes])
    wrong = np.stack([counts @ ((predictions == c) != (labels == c)) for c in classes])
    f1 = 2 * hits / np.maximum(2 * hits + wrong, 1.0)  # where the class does not occur both are 0
    return np.asarray(f1[0] if n_classes == 2 else f1.sum(0) / (hits + wrong > 0).sum(0))


def _pearson(x: Floats, y: Floats, counts: Floats, n_classes: int = 1) -> Floats:
    """r of x, y: (n,) or (B, n), 0 where one side is constant."""
    import numpy as np

    weights = counts / counts.sum(1, keepdims=True)
    x, y = np.broadcast_to(x, counts.shape), np.broadcast_to(y, counts.shape)
    x = x - (weights * x).sum(1, keepdims=True)
    y = y - (weights * y).sum(1, keepdims=True)
    sxx, syy, sxy = (weights * x * x).sum(1), (weights * y * y).sum(1), (weights * x * y).sum(1)
    constant = (sxx <= CONSTANT * (x * x).max(1)) | (syy <= CONSTANT * (y * y).max(1))
    return np.asarray(np.where(constant, 0.0, sxy / np.sqrt(np.where(constant, 1.0, sxx * syy))))


def _spearman(predictions: Floats, labels: Floats, counts: Floats, n_classes: int) -> Floats:
    """Pearson's r of the ranks."""
    return _pearson(_ranks(predictions, counts), _ranks(labels, counts), counts)


def _ranks(values: Floats, counts: Floats) -> Floats:
    """(B, n): the rank of each value within each resample, from 1; equal values share their mean rank."""
    import numpy as np

    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    drawn = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.cumsum(drawn, axis=1) - (drawn - 1) / 2
    return np.asarray(ranks[:, place])


def _one_pearson(x: Floats, y: Floats, n_classes: int = 1) -> float:
    """r of two vectors, neither of them constant. More accurate than the resampled form."""
    import numpy as np

    deviations = [values - values.mean() for values in (x, y)]
    r = np.dot(*(values / np.linalg.norm(values) for values in deviations))
    return float(np.clip(r, -1.0, 1.0))


def _one_spearman(predictions: Floats, labels: Floats, n_classes: int) -> float:
    import numpy as np

    once = np.ones((1, len(labels)))
    return _one_pearson(_ranks(predictions, once)[0], _ranks(labels, once)[0])


def _is_constant(values: Floats) -> bool:
    """Whether all values are equal up to float64 rounding: the bound below which scipy calls Pearson's r unreliable."""
    import numpy as np

    mean = values.mean()
    return bool(np.linalg.norm(values - mean) <= np.finfo(np.float64).eps ** 0.75 * abs(mean))


def _wilson(value: float, n: int) -> Interval:
    """Wilson's interval of a share of n examples."""
    from scipy.stats import binomtest

    bounds = binomtest(round(value * n), n).proportion_ci(CONFIDENCE, method="wilson")
    return float(bounds.low), float(bounds.high)


def _fisher(value: float, n: int) -> Interval | None:
    """Fisher's interval of a correlation; None for fewer than 4 examples, and at ±1."""
    from scipy.stats import norm

    if n <= 3 or abs(value) >= 1:
        return None
    reach = norm.ppf((1 + CONFIDENCE) / 2) / math.sqrt(n - 3)
    return math.tanh(math.atanh(value) - reach), math.tanh(math.atanh(value) + reach)


@dataclass(frozen=True)
class Metric:
    """A measure of how well predictions: (n,) agree with labels: (n,), float64."""

    kind: Literal["classification", "regression"]
    resampled: Callable[[Floats, Floats, Floats, int], Floats]
    """Maps predictions, labels, counts and the number of classes to (B,)."""
    exact: Callable[[Floats, Floats, int], float] | None = None
    """Maps predictions, labels and the number of classes to the value on all examples; None uses `resampled`."""
    interval: Callable[[float, int], Interval | None] | None = None
    """Maps a value and n to its 95 % interval."""
    interval_like: str | None = None
    """For a metric without an interval: the metric whose interval is about as wide."""
    higher_is_better: bool = True

    def value(self, predictions: Floats, labels: Floats, n_classes: int) -> float:
        """The value on all examples."""
        import numpy as np

        if self.exact is not None:
            return self.exact(predictions, labels, n_classes)
        return float(self.resampled(predictions, labels, np.ones((1, len(labels))), n_classes)[0])


METRICS: dict[str, Metric] = {
    "accuracy": Metric("classification", _accuracy, interval=_wilson),
    "f1": Metric("classification", _f1, interval_like="accuracy"),
    "pearson": Metric("regression", _pearson, _one_pearson, interval=_fisher),
    "spearman": Metric("regression", _spearman, _one_spearman, interval_like="pearson"),
}
"""By name; the first of each kind is the main metric of its tasks and must be one of which more is better."""
