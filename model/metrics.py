"""The metrics of a task, under the names used everywhere: `sst/accuracy`, `sts/pearson`.

Written out, and tested against scikit-learn and scipy: to load those takes every rank seconds, longer than many an evaluation.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, TypeAlias

from model.tasks import Task

if TYPE_CHECKING:  # whoever only needs the names, as `--help` does, need not load it
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float64]

logger = logging.getLogger(__name__)


def on_split(split: str, found: dict[str, float]) -> dict[str, float]:
    """Metrics under the names that they have on a split other than `select`: `dev/sst/accuracy`."""
    return {f"{split}/{name}": value for name, value in found.items()}


def split_of(name: str) -> str:
    """The split that a metric's name tells: `dev` of `dev/sst/accuracy`, `select` of `sst/accuracy`."""
    return name.partition("/")[0] if name.count("/") > 1 else "select"


def metric_names(task: Task) -> tuple[str, ...]:
    """The keys of `compute`, the task's main metric first."""
    kinds = ("pearson", "spearman") if task.kind == "regression" else ("accuracy", "f1")
    return tuple(f"{task.name}/{kind}" for kind in kinds)


def compute(task: Task, predictions: npt.NDArray[Any], labels: npt.NDArray[Any]) -> dict[str, float]:
    """Metrics of predictions: (n,) against labels: (n,), class ids or real values, n ≥ 1.

    F1 is that of class 1 for two classes and the unweighted mean over the classes that occur for more. A prediction that is
    not finite makes every metric of the task NaN: such a trial has diverged, and a number would hide it. Class ids cannot
    show that, so whoever takes an argmax looks at the logits first. Raises `ValueError` on shapes that do not match.
    """
    import numpy as np

    if predictions.shape != labels.shape or predictions.ndim != 1 or not len(labels):
        raise ValueError(
            f"{task.name}: predictions {predictions.shape} and labels {labels.shape} must be one vector each, alike"
        )
    if not np.isfinite(predictions).all():
        values = (math.nan, math.nan)
    elif task.kind == "regression":
        values = _regression(task, predictions.astype(np.float64), labels.astype(np.float64))
    else:
        values = _classification(task, predictions, labels)
    return dict(zip(metric_names(task), values, strict=True))


def _classification(task: Task, predictions: npt.NDArray[Any], labels: npt.NDArray[Any]) -> tuple[float, float]:
    """Accuracy and F1, both in 0..1. F1 is 0 when the class is never both predicted and right."""
    import numpy as np

    classes = np.union1d(predictions, labels) if task.n_classes > 2 else (1,)
    f1 = [_f1(predictions == one, labels == one) for one in classes]
    return float((predictions == labels).mean()), float(np.mean(f1))


def _f1(predicted: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN) of one class; 0 where it is neither predicted nor there."""
    n = int(predicted.sum()) + int(there.sum())
    return 2.0 * int((predicted & there).sum()) / n if n else 0.0


def _regression(task: Task, predictions: Floats, labels: Floats) -> tuple[float, float]:
    """Pearson's r and Spearman's ρ, both in −1..1, and 0 with a warning where one side is constant."""
    for side, values in (("predictions", predictions), ("labels", labels)):
        if _is_constant(values):
            logger.warning(
                "%s: the %d %s are constant, so their correlation is undefined and counts as 0", task.name, len(values), side
            )
            return 0.0, 0.0
    return _pearson(predictions, labels), _pearson(_ranks(predictions), _ranks(labels))


def _pearson(one: Floats, other: Floats) -> float:
    """Of two vectors, neither of them constant."""
    import numpy as np

    deviations = [values - values.mean() for values in (one, other)]
    r = np.dot(*(values / np.linalg.norm(values) for values in deviations))
    return float(np.clip(r, -1.0, 1.0))


def _ranks(values: Floats) -> Floats:
    """Each value's place in order, from 1; those that are equal share the mean of theirs."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2.0)[place]
    return ranks


def _is_constant(values: Floats) -> bool:
    """Whether all values are equal up to float64 rounding: the bound below which scipy calls Pearson's r unreliable."""
    import numpy as np

    mean = values.mean()
    return bool(np.linalg.norm(values - mean) <= np.finfo(np.float64).eps ** 0.75 * abs(mean))
