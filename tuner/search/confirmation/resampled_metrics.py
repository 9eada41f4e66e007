"""Metrics on bootstrap resamples, all resamples at once: a resample is how often each example was drawn.

The same values as `model.metrics.compute` on the examples drawn, which a test holds them against.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONSTANT = 1e-13
"""A variance below this share of the largest square counts as none: what rounding leaves of equal values."""


def draw(n: int, n_resamples: int, rng: np.random.Generator) -> Floats:
    """counts: (n_resamples, n), how often each of n examples is among n drawn with replacement."""
    rows = rng.integers(n, size=(n_resamples, n))
    return np.stack([np.bincount(row, minlength=n) for row in rows]).astype(np.float64)


def accuracy(predictions: Floats, labels: Floats, counts: Floats) -> Floats:
    """(B,) from predictions, labels: (n,) and counts: (B, n)."""
    return np.asarray(counts @ (predictions == labels).astype(np.float64) / counts.sum(1))


def f1(predictions: Floats, labels: Floats, counts: Floats, n_classes: int) -> Floats:
    """(B,): F1 of class 1 for two classes, else the mean over the classes that occur in the resample."""
    classes = [1.0] if n_classes == 2 else np.unique([predictions, labels]).tolist()
    hits = np.stack([counts @ ((predictions == c) & (labels == c)) for c in classes])
    wrong = np.stack([counts @ ((predictions == c) != (labels == c)) for c in classes])
    each = 2 * hits / np.maximum(2 * hits + wrong, 1.0)  # where the class does not occur both are 0
    if n_classes == 2:
        return np.asarray(each[0])
    return np.asarray(each.sum(0) / (hits + wrong > 0).sum(0))


def pearson(predictions: Floats, labels: Floats, counts: Floats) -> Floats:
    """(B,): Pearson's r, 0 where one side is constant."""
    return _correlation(np.broadcast_to(predictions, counts.shape), np.broadcast_to(labels, counts.shape), counts)


def spearman(predictions: Floats, labels: Floats, counts: Floats) -> Floats:
    """(B,): Pearson's r of the ranks within the resample, equal values sharing their mean rank."""
    return _correlation(_ranks(predictions, counts), _ranks(labels, counts), counts)


def _correlation(x: Floats, y: Floats, counts: Floats) -> Floats:
    """(B,) of values x, y: (B, n), each with its count."""
    weights = counts / counts.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True)
    y = y - (weights * y).sum(1, keepdims=True)
    sxx, syy, sxy = (weights * x * x).sum(1), (weights * y * y).sum(1), (weights * x * y).sum(1)
    constant = (sxx <= CONSTANT * (x * x).max(1)) | (syy <= CONSTANT * (y * y).max(1))
    return np.asarray(np.where(constant, 0.0, sxy / np.sqrt(np.where(constant, 1.0, sxx * syy))))


def _ranks(values: Floats, counts: Floats) -> Floats:
    """(B, n): the rank of each example's value within each resample."""
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    drawn = np.add.reduceat(counts[:, order], starts, axis=1)
    ranks = np.cumsum(drawn, axis=1) - (drawn - 1) / 2
    return np.asarray(ranks[:, place])


def metric(name: str, n_classes: int) -> Callable[[Floats, Floats, Floats], Floats]:
    """By the last part of its name: `accuracy`, `f1`, `pearson` or `spearman`."""
    if name == "f1":
        return lambda predictions, labels, counts: f1(predictions, labels, counts, n_classes)
    return {"accuracy": accuracy, "pearson": pearson, "spearman": spearman}[name]
