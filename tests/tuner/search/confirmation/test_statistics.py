"""The confirmation's statistics against independent references: Student's bound, metrics on resamples, the paired bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from model.metrics import METRICS, compute
from model.tasks import TASKS
from tuner.search.confirmation.statistics import Dev, Goal, compare, draw, is_pooled, lower_bounds, pooled, spread


class TestBound:
    def test_from_five_seeds_on_it_is_students_of_the_finalists_own(self) -> None:
        samples = [[0.60, 0.62, 0.61, 0.65, 0.59], [0.63, 0.50, 0.71, 0.60, 0.66]]
        expected = [stats.t.interval(0.90, 4, loc=np.mean(one), scale=stats.sem(one))[0] for one in samples]
        assert not is_pooled(samples)
        assert lower_bounds(samples) == pytest.approx(expected)

    def test_of_few_seeds_the_spread_is_that_of_an_analysis_of_variance(self) -> None:
        samples = [[0.60, 0.62], [0.63, 0.57], [0.50, 0.51, 0.55]]
        residuals = np.concatenate([np.array(one) - np.mean(one) for one in samples])
        sd = math.sqrt(residuals @ residuals / (7 - 3))
        assert pooled(samples) == pytest.approx((sd, 4))
        t = stats.t.ppf(0.95, 4)
        assert lower_bounds(samples) == pytest.approx([np.mean(one) - t * sd / math.sqrt(len(one)) for one in samples])

    def test_two_seeds_of_four_finalists_give_a_bound_that_says_something(self) -> None:
        """Alone, t = 6.3: the bound of two seeds 0.02 apart would be 0.063 below their mean."""
        samples = [[0.60 + i / 100, 0.62 + i / 100] for i in range(4)]
        alone = stats.t.interval(0.90, 1, loc=0.61, scale=stats.sem(samples[0]))[0]
        assert alone == pytest.approx(0.61 - 0.0631, abs=1e-4)
        assert lower_bounds(samples)[0] == pytest.approx(0.61 - 0.0213, abs=1e-4)

    def test_one_more_seed_lifts_the_bound(self) -> None:
        few, more = lower_bounds([[0.60, 0.62], [0.60, 0.62, 0.61]])
        assert few is not None
        assert more is not None
        assert few < more

    def test_one_seed_says_nothing_of_the_spread(self) -> None:
        assert lower_bounds([[0.6], [0.5]]) == [None, None]
        assert spread([0.6]) is None
        assert None not in lower_bounds([[0.6], [0.5, 0.51]]), "what others vary by holds for it too"

    def test_seeds_that_agree_leave_the_mean(self) -> None:
        assert lower_bounds([[0.5, 0.5], [0.7, 0.7]]) == [0.5, 0.7]

    @pytest.mark.parametrize("n_seeds", [2, 3, 6])
    def test_it_covers_as_often_as_it_says(self, n_seeds: int) -> None:
        rng = np.random.default_rng(0)
        drawn = rng.normal(0.6, 0.02, size=(2000, 3, n_seeds))
        below = [bound is not None and bound <= 0.6 for samples in drawn for bound in lower_bounds(samples.tolist())]
        assert np.mean(below) == pytest.approx(0.95, abs=0.01)


def test_the_winners_curse_is_in_the_search_score_and_not_in_the_confirmed_mean() -> None:
    """Sixty configurations that are all alike, each seen once with noise: the best looks 2.3 s.d. too good."""
    rng = np.random.default_rng(0)
    true, sd, n = 0.6, 0.01, 60
    seen = rng.normal(true, sd, size=(3000, n)).max(1)
    confirmed = rng.normal(true, sd, size=(3000, 3)).mean(1)
    expected = stats.norm.expect(lambda z: z * n * stats.norm.cdf(z) ** (n - 1)) * sd
    assert np.mean(seen - confirmed) == pytest.approx(expected, abs=0.0005)
    assert expected > 2 * sd
    assert np.mean(confirmed) == pytest.approx(true, abs=0.0005)


CASES = [("sst/accuracy", 5), ("sst/f1", 5), ("quora/f1", 2), ("quora/accuracy", 2), ("sts/pearson", 1), ("sts/spearman", 1)]


@pytest.mark.parametrize(("name", "n_classes"), CASES)
@settings(max_examples=40, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 30))
def test_a_metric_on_a_resample_is_that_of_the_examples_drawn(name: str, n_classes: int, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    task = TASKS[name.split("/")[0]]
    values = rng.integers(max(n_classes, 4), size=(2, n)).astype(np.float64)  # few values: many ties, and constant resamples
    predictions, labels = values if n_classes == 1 else values % n_classes
    counts = draw(n, 5, rng)
    assert counts.sum(1).tolist() == [n] * 5
    found = METRICS[name.split("/")[1]].resampled(predictions, labels, counts, n_classes)
    rows = [np.repeat(np.arange(n), row.astype(int)) for row in counts]
    assert found == pytest.approx([compute(task, predictions[row], labels[row])[name] for row in rows], abs=1e-9)


def dev(task: str, predictions: np.ndarray, labels: np.ndarray) -> Dev:
    return Dev({task: predictions}, {task: labels})


class TestBootstrap:
    labels = np.arange(300) % 5.0

    def model(self, accuracy: float, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        wrong = rng.random(300) >= accuracy
        return np.where(wrong, (self.labels + 1) % 5, self.labels)

    def test_one_seed_each_agrees_with_scipys_paired_bootstrap(self) -> None:
        one, other = self.model(0.8, 1), self.model(0.7, 2)
        found = compare(
            [dev("sst", one, self.labels)], [dev("sst", other, self.labels)], Goal("sst/accuracy", ()), 0, n_resamples=10_000
        )
        hits = (one == self.labels).astype(float), (other == self.labels).astype(float)
        reference = stats.bootstrap(
            hits, lambda a, b, axis: a.mean(axis) - b.mean(axis), paired=True, method="percentile", vectorized=True,
            n_resamples=10_000, rng=np.random.default_rng(1),
        )  # fmt: skip
        assert found.difference == pytest.approx(hits[0].mean() - hits[1].mean())
        interval = reference.confidence_interval
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.004)

    def test_two_examples_come_out_as_counted(self) -> None:
        """One model has both right, the other one: resamples 00, 01, 10, 11 differ by 0, ½, ½, 1."""
        labels = np.array([0.0, 1.0])
        found = compare(
            [dev("sst", labels, labels)], [dev("sst", np.array([0.0, 2.0]), labels)], Goal("sst/accuracy", ()), 3, 20_000
        )
        assert found.difference == 0.5
        assert (found.low, found.high) == (0.0, 1.0)
        assert found.probability_better == pytest.approx(0.75 + 0.25 / 2, abs=0.01)

    def test_a_model_is_no_better_than_itself(self) -> None:
        same = [dev("sst", self.model(0.8, 1), self.labels)]
        found = compare(same, same, Goal("sst/accuracy", ()), 0, 200)
        assert (found.difference, found.low, found.high, found.probability_better) == (0.0, 0.0, 0.0, 0.5)

    def test_seeds_that_differ_widen_the_interval(self) -> None:
        goal, other = Goal("sst/accuracy", ()), [dev("sst", self.model(0.7, 9), self.labels)]
        steady = [dev("sst", self.model(0.8, 1), self.labels)] * 3
        unsteady = [dev("sst", self.model(share, 1), self.labels) for share in (0.7, 0.8, 0.9)]
        narrow, wide = compare(steady, other, goal, 0), compare(unsteady, other, goal, 0)
        assert wide.high - wide.low > 1.2 * (narrow.high - narrow.low)

    def test_a_mean_over_tasks_resamples_within_each(self) -> None:
        """The variance of the mean of two tasks' differences is a quarter of the sum of theirs."""
        rng = np.random.default_rng(0)
        labels = {"sst": self.labels, "sts": rng.uniform(0, 5, 80)}
        models = [
            Dev({"sst": self.model(share, k), "sts": labels["sts"] + rng.normal(0, noise, 80)}, labels)
            for k, (share, noise) in enumerate([(0.8, 1.0), (0.7, 2.0)])
        ]
        found = compare(models[:1], models[1:], Goal("mean", ("sst", "sts")), 0, 4000)
        parts = [compare(models[:1], models[1:], Goal(name, ()), 1, 4000) for name in ("sst/accuracy", "sts/pearson")]
        assert found.difference == pytest.approx(sum(part.difference for part in parts) / 2)
        width = math.hypot(*(part.high - part.low for part in parts)) / 2
        assert found.high - found.low == pytest.approx(width, rel=0.1)

    def test_it_is_the_same_each_time(self) -> None:
        models = [[dev("sst", self.model(share, 1), self.labels)] for share in (0.8, 0.7)]
        assert compare(*models, Goal("sst/accuracy", ()), 7, 100) == compare(*models, Goal("sst/accuracy", ()), 7, 100)

    def test_a_goal_on_an_arm_of_select_is_compared_on_all_of_dev(self) -> None:
        assert Goal.of("clean/cfimdb/accuracy", ()).name == "cfimdb/accuracy"
        assert Goal.of("mean", ("sst",)).metrics(["sst"]) == ("sst/accuracy",)
        assert Goal.of("own_mean", ()).metrics(["sst", "sts"]) == ("sst/accuracy", "sts/pearson")
