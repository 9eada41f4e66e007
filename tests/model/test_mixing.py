"""Task mixing: distributions in closed form, passes as permutations, and a schedule without state."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import BudgetConfig, ConfigError, MixingConfig
from model.mixing import Schedule, evaluation_steps, loss_weights, n_steps, passes, permutation, probabilities
from model.strategies import STRATEGIES

SIZES = {"quora": 400, "sst": 100, "sts": 25}
RATIOS = {"quora": 0.2, "sst": 0.7, "sts": 0.1}
DRAWING = [strategy for strategy in STRATEGIES if strategy != "loop_to_max"]


def mixing(strategy: str, **settings: object) -> MixingConfig:
    return MixingConfig.model_validate({"strategy": strategy, "ratios": RATIOS, **settings})


def schedule(strategy: str = "proportional", seed: int = 3, n: int = 60, batch_size: int = 8) -> Schedule:
    return Schedule(mixing(strategy), SIZES, batch_size, seed, n)


def trace(plan: Schedule, start: int = 0) -> list[tuple[str, list[int]]]:
    """Every (task, batch) from a step onward."""
    return [(task, plan.batch(s, task).tolist()) for s in range(start, plan.n_steps) for task in plan.tasks_at(s)]


@pytest.mark.parametrize(
    ("config", "progress", "weights"),
    [
        (mixing("proportional"), 0.5, (16, 4, 1)),
        (mixing("sqrt"), 0.5, (4, 2, 1)),
        (mixing("temperature", temperature=2), 0.5, (4, 2, 1)),
        (mixing("temperature", temperature=1), 0.5, (16, 4, 1)),
        (mixing("temperature", temperature=4), 0.5, (2, math.sqrt(2), 1)),
        (mixing("uniform"), 0.5, (1, 1, 1)),
        (mixing("annealed"), 0.0, (16, 4, 1)),
        (mixing("annealed"), 1.0, (16**0.2, 4**0.2, 1)),
        (mixing("annealed", annealed_end=0.0), 0.5, (4, 2, 1)),
        (mixing("ratios"), 0.5, (2, 7, 1)),
    ],
)
def test_probabilities_have_their_closed_form(config: MixingConfig, progress: float, weights: tuple[float, ...]) -> None:
    expected = {task: weight / sum(weights) for task, weight in zip(SIZES, weights, strict=True)}
    assert probabilities(config, SIZES, progress) == pytest.approx(expected, rel=1e-12)


def test_loop_to_max_has_no_probabilities() -> None:
    with pytest.raises(ValueError, match="every task at every step"):
        probabilities(mixing("loop_to_max"), SIZES, 0.0)


@pytest.mark.parametrize("strategy", DRAWING)
def test_tasks_come_as_often_as_their_probabilities_say(strategy: str) -> None:
    n = 6_000
    plan = schedule(strategy, n=n)
    drawn = [plan.tasks_at(step)[0] for step in range(n)]
    p = np.array([list(probabilities(mixing(strategy), SIZES, s / (n - 1)).values()) for s in range(n)])
    sigma = np.sqrt((p * (1 - p)).sum(axis=0))
    counts = np.array([drawn.count(task) for task in SIZES])
    assert (np.abs(counts - p.sum(axis=0)) < 4 * sigma).all()


def test_annealed_is_proportional_at_the_start_and_flat_at_the_end() -> None:
    n, window = 60_000, 3_000
    plan = schedule("annealed", n=n)
    for steps, progress in ((range(window), 0.025), (range(n - window, n), 0.975)):
        share = sum(plan.tasks_at(step) == ("quora",) for step in steps) / window
        p = probabilities(mixing("annealed"), SIZES, progress)["quora"]
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / window)


@pytest.mark.parametrize("never", SIZES)
def test_a_task_of_probability_zero_is_never_drawn(never: str) -> None:
    first, second = (task for task in SIZES if task != never)
    config = mixing("ratios", ratios={first: 0.3, second: 0.7, never: 0.0})
    plan = Schedule(config, SIZES, 4, seed=0, n_steps=2_000)
    assert {task for step in range(2_000) for task in plan.tasks_at(step)} == {first, second}


@given(n=st.integers(1, 60), k=st.integers(0, 20), seed=st.integers(0, 2**31 - 1))
def test_every_pass_shows_every_example_once(n: int, k: int, seed: int) -> None:
    order_of = partial(permutation, seed, "sst", n)
    assert sorted(passes(order_of, n, k * n, (k + 1) * n)) == list(range(n))


@given(n=st.integers(1, 12), batch_size=st.integers(1, 40), n_batches=st.integers(1, 8), seed=st.integers(0, 100))
def test_batches_are_full_and_tile_the_passes(n: int, batch_size: int, n_batches: int, seed: int) -> None:
    plan = Schedule(mixing("loop_to_max"), {"sts": n}, batch_size, seed, n_batches)
    batches = [plan.batch(step, "sts") for step in range(n_batches)]
    assert all(batch.shape == (batch_size,) and batch.dtype == np.int64 for batch in batches)
    seen = np.concatenate(batches)
    for k in range(len(seen) // n):
        assert sorted(seen[k * n : (k + 1) * n]) == list(range(n))
    assert len(set(seen[len(seen) // n * n :])) == len(seen) % n


@given(n=st.integers(1, 300), batch_size=st.integers(1, 40), seed=st.integers(0, 100))
def test_grouping_by_length_keeps_every_pass_whole(n: int, batch_size: int, seed: int) -> None:
    lengths = {"sts": np.random.default_rng(seed).integers(1, 60, n)}
    n_batches = 3 * n // batch_size + 1
    plan = Schedule(mixing("loop_to_max"), {"sts": n}, batch_size, seed, n_batches, lengths)
    seen = np.concatenate([plan.batch(step, "sts") for step in range(n_batches)])
    for k in range(len(seen) // n):
        assert sorted(seen[k * n : (k + 1) * n]) == list(range(n))


def test_grouping_by_length_saves_padding_and_stays_random() -> None:
    n, batch_size, steps = 2_000, 16, 250
    lengths = np.random.default_rng(0).geometric(0.05, n)

    def padded(plan: Schedule) -> tuple[int, set[frozenset[int]]]:
        batches = [plan.batch(step, "sts") for step in range(steps)]
        return sum(batch_size * int(lengths[batch].max()) for batch in batches), {frozenset(b.tolist()) for b in batches}

    plain, _ = padded(Schedule(mixing("loop_to_max"), {"sts": n}, batch_size, 0, steps))
    grouped, batches = padded(Schedule(mixing("loop_to_max"), {"sts": n}, batch_size, 0, steps, {"sts": lengths}))
    tokens = 2 * int(lengths.sum())
    assert grouped - tokens < (plain - tokens) / 4, "less than a quarter of the padding is left"
    assert len(batches) == steps, "the second pass makes other batches"


def test_passes_differ_between_passes_tasks_and_seeds() -> None:
    first = permutation(0, "sst", 100, 0)
    for other in (permutation(0, "sst", 100, 1), permutation(0, "sts", 100, 0), permutation(1, "sst", 100, 0)):
        assert (first != other).any()


def test_a_task_has_the_same_passes_in_every_mixture() -> None:
    alone = Schedule(mixing("loop_to_max"), {"sst": 100}, 8, seed=5, n_steps=30)
    together = Schedule(mixing("loop_to_max"), SIZES, 8, seed=5, n_steps=30)
    assert all((alone.batch(step, "sst") == together.batch(step, "sst")).all() for step in range(30))


def test_loop_to_max_shows_the_largest_task_once_per_epoch() -> None:
    n, batch_size = 396, 4
    sizes = {"quora": n, "sst": 100}
    steps = n_steps(BudgetConfig(epochs=2), mixing("loop_to_max"), sizes, batch_size)
    plan = Schedule(mixing("loop_to_max"), sizes, batch_size, seed=0, n_steps=steps)
    seen = np.concatenate([plan.batch(step, "quora") for step in range(steps)])
    assert sorted(seen[:n]) == sorted(seen[n:]) == list(range(n))


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestContract:
    """Properties of every strategy; a new one is covered by its entry in `STRATEGIES`."""

    def test_repeats_from_its_seed_and_differs_between_seeds(self, strategy: str) -> None:
        assert trace(schedule(strategy)) == trace(schedule(strategy))
        assert trace(schedule(strategy, seed=3)) != trace(schedule(strategy, seed=4))

    def test_resumes_exactly(self, strategy: str) -> None:
        done = schedule(strategy)
        whole = trace(done)
        for start in (1, 17, 59):
            resumed = trace(schedule(strategy), start)
            assert resumed == whole[-len(resumed) :]

    def test_any_step_in_any_order(self, strategy: str) -> None:
        forward, shuffled = schedule(strategy), schedule(strategy)
        steps = np.random.default_rng(0).permutation(60)
        jumps = {int(s): [(task, shuffled.batch(s, task).tolist()) for task in shuffled.tasks_at(s)] for s in steps}
        assert [pair for s in range(60) for pair in jumps[s]] == trace(forward)

    def test_trains_one_task_or_all(self, strategy: str) -> None:
        plan = schedule(strategy)
        every = tuple(SIZES)
        for step in range(plan.n_steps):
            tasks = plan.tasks_at(step)
            assert tasks == every if strategy == "loop_to_max" else len(tasks) == 1 and tasks[0] in every

    def test_counts_its_examples(self, strategy: str) -> None:
        plan = schedule(strategy)
        per_step = [sum(len(plan.batch(s, task)) for task in plan.tasks_at(s)) for s in range(plan.n_steps)]
        assert [plan.examples_before(s) for s in range(plan.n_steps + 1)] == np.cumsum([0, *per_step]).tolist()

    def test_consecutive_batches_of_a_task_cover_it(self, strategy: str) -> None:
        plan = schedule(strategy, n=400)
        seen = [index for task, batch in trace(plan) if task == "sts" for index in batch]
        assert sorted(seen[:25]) == list(range(25))


def test_empty_tasks_are_refused_together() -> None:
    with pytest.raises(ConfigError) as error:
        Schedule(mixing("uniform"), {"sst": 0, "quora": 5, "sts": 0}, 8, 0, 10)
    assert [problem.split()[0] for problem in error.value.problems] == ["sst", "sts"]


@pytest.mark.parametrize(
    ("budget", "strategy", "batch_size", "expected"),
    [
        ({"epochs": 1}, "loop_to_max", 8, 50),  # 400 / 8
        ({"epochs": 3}, "loop_to_max", 7, 172),  # ⌈1200 / 7⌉
        ({"epochs": 1}, "proportional", 8, 66),  # ⌈525 / 8⌉
        ({"epochs": 2}, "ratios", 25, 42),  # 1050 / 25
        ({"epochs": 0.07}, "loop_to_max", 1, 28),  # 0.07 · 400, which is 28.000000000000004 in floats
        ({"epochs": 1e-5}, "uniform", 8, 1),
        ({"examples": 240}, "loop_to_max", 8, 10),  # 3 tasks · 8 examples per step
        ({"examples": 241}, "loop_to_max", 8, 11),
        ({"examples": 240}, "sqrt", 8, 30),
        ({"examples": 1}, "annealed", 8, 1),
    ],
)
def test_steps_of_a_budget(budget: dict[str, float], strategy: str, batch_size: int, expected: int) -> None:
    assert n_steps(BudgetConfig.model_validate(budget), mixing(strategy), SIZES, batch_size) == expected


@given(n_evaluations=st.integers(1, 1000), extra=st.integers(0, 10**6))
def test_evaluations_are_even_increasing_and_end_at_the_end(n_evaluations: int, extra: int) -> None:
    steps = evaluation_steps(n_evaluations + extra, n_evaluations)
    gaps = np.diff([0, *steps])
    assert len(steps) == n_evaluations
    assert steps[-1] == n_evaluations + extra
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 1


def test_more_evaluations_than_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"budget\.evaluations is 10 .* 9 training steps.* at most 9"):
        evaluation_steps(9, 10)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"loss_weights": "equal"}, (1, 1, 1)),
        ({"loss_weights": "uncertainty"}, (1, 1, 1)),
        ({"loss_weights": "log_classes"}, (1 / math.log(5), 1 / math.log(2), 1)),
        ({"loss_weights": "explicit", "weights": {"sst": 0.5, "quora": 2, "sts": 0}}, (0.5, 2, 0)),
    ],
)
def test_loss_weights(settings: dict[str, object], expected: tuple[float, ...]) -> None:
    tasks = ("sst", "quora", "sts")
    weights = loss_weights(MixingConfig.model_validate(settings), tasks)
    assert weights == pytest.approx(dict(zip(tasks, expected, strict=True)))
