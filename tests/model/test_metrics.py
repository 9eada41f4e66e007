"""Metrics against values worked out by hand, closed forms, and scikit-learn's and scipy's."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.metrics import compute, metric_names
from model.tasks import TASKS

SST, QUORA, STS = TASKS["sst"], TASKS["quora"], TASKS["sts"]


def array(*values: float) -> np.ndarray:
    return np.array(values)


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_task_reports_its_named_metrics_main_one_first(task) -> None:
    labels = array(0, 1, 1, 0)
    assert tuple(compute(task, labels, labels)) == metric_names(task)
    assert metric_names(task)[0] == task.metric
    assert compute(task, labels, labels) == pytest.approx(dict.fromkeys(metric_names(task), 1.0))


def test_two_classes_give_the_f1_of_class_1() -> None:
    # tp 2, fp 1, fn 2: precision 2/3, recall 1/2, F1 4/7
    result = compute(QUORA, array(1, 1, 1, 0, 0, 0), array(1, 1, 0, 1, 1, 0))
    assert result == pytest.approx({"quora/accuracy": 3 / 6, "quora/f1": 4 / 7})


def test_more_classes_give_the_macro_f1_of_those_that_occur() -> None:
    # F1 per class: 0 → 2/3 (tp 1, fp 1), 2 → 0 (fn 1), 4 → 1
    result = compute(SST, array(0, 0, 4), array(0, 2, 4))
    assert result == pytest.approx({"sst/accuracy": 2 / 3, "sst/f1": (2 / 3 + 0 + 1) / 3})


def test_f1_of_a_class_never_predicted_is_zero() -> None:
    assert compute(QUORA, array(0, 0), array(1, 0)) == {"quora/accuracy": 0.5, "quora/f1": 0.0}
    assert compute(QUORA, array(0, 0), array(0, 0)) == {"quora/accuracy": 1.0, "quora/f1": 0.0}


@given(
    labels=st.lists(st.integers(0, 50), min_size=2, max_size=30, unique=True),
    slope=st.floats(0.1, 10),
    sign=st.sampled_from([-1, 1]),
    shift=st.floats(-5, 5),
)
def test_an_affine_prediction_correlates_fully(labels: list[int], slope: float, sign: int, shift: float) -> None:
    values = np.array(labels) / 10
    result = compute(STS, sign * slope * values + shift, values)
    assert result == pytest.approx({"sts/pearson": sign, "sts/spearman": sign})


def test_correlations_worked_out_by_hand() -> None:
    # Centred: (−1, −1, 2) and (−1, 0, 1): 3 / √(6 · 2). Ranks: (1.5, 1.5, 3) and (1, 2, 3): 1.5 / √(1.5 · 2)
    result = compute(STS, array(0, 0, 3), array(1, 2, 3))
    assert result == pytest.approx({"sts/pearson": 3 / math.sqrt(12), "sts/spearman": 1.5 / math.sqrt(3)})


@pytest.mark.parametrize(
    ("predictions", "labels", "side"),
    [
        (array(0.1, 0.1, 0.1), array(1, 2, 3), "predictions"),
        (array(0, 0, 0), array(1, 2, 3), "predictions"),
        (np.float32([2.7, 2.7, 2.7]), array(1, 2, 3), "predictions"),
        (array(1, 1 + 1e-15, 1 - 1e-15), array(1, 2, 3), "predictions"),
        (array(1, 2, 3), array(5, 5, 5), "labels"),
        (array(1), array(5), "predictions"),
    ],
)
def test_a_constant_side_counts_as_zero_and_is_logged(predictions, labels, side, caplog) -> None:
    with caplog.at_level(logging.WARNING, logger="model.metrics"):
        assert compute(STS, predictions, labels) == {"sts/pearson": 0.0, "sts/spearman": 0.0}
    (record,) = caplog.records
    assert f"{side} are constant" in record.getMessage()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("task", [STS, SST])
def test_a_prediction_that_is_not_finite_gives_nan(task, bad) -> None:
    result = compute(task, array(1, bad, 3), array(1, 2, 3))
    assert set(result) == set(metric_names(task))
    assert all(math.isnan(value) for value in result.values())


@pytest.mark.parametrize(
    ("predictions", "labels"), [(array(1, 2), array(1)), (np.ones((2, 1)), np.ones((2, 1))), (array(), array())]
)
def test_shapes_must_match(predictions, labels) -> None:
    with pytest.raises(ValueError, match="must be vectors of one length"):
        compute(STS, predictions, labels)


@given(st.data(), st.sampled_from([SST, QUORA]), st.integers(1, 40))
def test_accuracy_and_f1_are_scikit_learns(data: st.DataObject, task, n: int) -> None:
    """For any subset of classes in labels and predictions."""
    from sklearn.metrics import accuracy_score, f1_score

    ids = st.lists(st.integers(0, task.n_classes - 1), min_size=n, max_size=n)
    predictions, labels = np.array(data.draw(ids)), np.array(data.draw(ids))
    average = "binary" if task.n_classes == 2 else "macro"
    f1 = f1_score(labels, predictions, average=average, zero_division=0.0)
    expected = {f"{task.name}/accuracy": accuracy_score(labels, predictions), f"{task.name}/f1": f1}
    assert compute(task, predictions, labels) == pytest.approx(expected, abs=1e-15)


@given(st.data(), st.integers(2, 40))
def test_correlations_are_scipys(data: st.DataObject, n: int) -> None:
    """With and without ties."""
    from scipy.stats import pearsonr, spearmanr

    values = st.one_of(st.integers(0, 5).map(float), st.floats(-1e3, 1e3).map(lambda x: round(x, 3)))
    sides = st.lists(values, min_size=n, max_size=n).map(np.array).filter(lambda side: len(np.unique(side)) > 1)
    predictions, labels = data.draw(sides), data.draw(sides)
    expected = {
        "sts/pearson": pearsonr(predictions, labels).statistic,
        "sts/spearman": spearmanr(predictions, labels).statistic,
    }
    assert compute(STS, predictions, labels) == pytest.approx(expected, abs=1e-12)
