"""The metrics of a task, under the names used everywhere: `sst/accuracy`, `sts/pearson`."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from model.tasks import Task

Floats = npt.NDArray[np.float64]

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
    from sklearn.metrics import accuracy_score, f1_score

    average = "binary" if task.n_classes == 2 else "macro"
    f1 = f1_score(labels, predictions, average=average, zero_division=0.0)
    return float(accuracy_score(labels, predictions)), float(f1)


def _regression(task: Task, predictions: Floats, labels: Floats) -> tuple[float, float]:
    """Pearson's r and Spearman's ρ, both in −1..1, and 0 with a warning where one side is constant."""
    from scipy.stats import pearsonr, spearmanr

    for side, values in (("predictions", predictions), ("labels", labels)):
        if _is_constant(values):
            logger.warning(
                "%s: the %d %s are constant, so their correlation is undefined and counts as 0", task.name, len(values), side
            )
            return 0.0, 0.0
    return float(pearsonr(predictions, labels).statistic), float(spearmanr(predictions, labels).statistic)


def _is_constant(values: Floats) -> bool:
    """Whether all values are equal up to float64 rounding: the bound below which scipy calls Pearson's r unreliable."""
    mean = values.mean()
    return bool(np.linalg.norm(values - mean) <= np.finfo(np.float64).eps ** 0.75 * abs(mean))
