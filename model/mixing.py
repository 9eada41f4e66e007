"""The schedule of a trial: which task trains at which step, on which examples, and for how many steps.

Everything here is a function of the configuration, the sizes of the tasks, the seed and the step (docs/mathematics.md,
section 3). There is no state, so a resumed trial sees the same batches and all ranks agree without communication. `n_i` is the
number of training examples of task i; `B` is the batch size. `model.strategies` holds the distributions over the tasks.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from model.config import BudgetConfig, ConfigError, MixingConfig
from model.strategies import STRATEGIES, Draw
from model.tasks import TASKS

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# First part of a random stream's key, so that no two uses of the seed share random numbers.
_TASK_STREAM, _PERMUTATION_STREAM, _GROUPING_STREAM = 0, 1, 2

WINDOW = 16
"""Batches whose examples are sorted by length together."""


def probability_table(config: MixingConfig, sizes: Mapping[str, int], progress: Floats) -> Floats:
    """p: (n_progress, n_tasks), the distribution over the tasks at each progress in 0..1; every row sums to 1.

    Raises `ValueError` for a strategy that trains every task at every step, which draws none.
    """
    strategy_weights = STRATEGIES[config.strategy].weights
    if strategy_weights is None:
        raise ValueError(f"{config.strategy} trains every task at every step: it has no probabilities")
    n = np.array(list(sizes.values()), dtype=np.float64)
    weights = np.asarray(strategy_weights(Draw(config, tuple(sizes), n, progress[:, None])), dtype=np.float64)
    p: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return np.broadcast_to(p, (len(progress), len(n)))


def probabilities(config: MixingConfig, sizes: Mapping[str, int], progress: float) -> dict[str, float]:
    """p of each task at `progress`, 0 at the first step of the trial and 1 at the last."""
    (p,) = probability_table(config, sizes, np.array([progress], dtype=np.float64))
    return dict(zip(sizes, p.tolist(), strict=True))


def steps_of_tasks(config: MixingConfig, sizes: Mapping[str, int], seed: int, n_steps: int) -> dict[str, Indices]:
    """The steps at which each task trains, in increasing order.

    Step s has its own u ~ U(0, 1), number s of the seed's stream, which the cumulative p inverts to a task.
    """
    if config.trains_all_tasks:
        return {task: np.arange(n_steps) for task in sizes}
    u = _stream(seed, _TASK_STREAM).random(n_steps)
    progress = np.arange(n_steps) / max(n_steps - 1, 1)
    cumulative = np.cumsum(probability_table(config, sizes, progress), axis=1)
    # The last cumulative p becomes exactly 1, so rounding cannot draw a task whose p is 0.
    chosen = (u[:, None] >= cumulative[:, :-1] / cumulative[:, -1:]).sum(axis=1)
    return {task: np.flatnonzero(chosen == index) for index, task in enumerate(sizes)}


def permutation(seed: int, task: str, n: int, k: int) -> Indices:
    """A random order of a task's n examples for its pass number k, read-only."""
    order = _stream(seed, _PERMUTATION_STREAM, zlib.crc32(task.encode()), k).permutation(n).astype(np.int64, copy=False)
    order.setflags(write=False)
    return order


def group_by_length(order: Indices, lengths: Indices, batch_size: int, first: int, rng: np.random.Generator) -> Indices:
    """`order` (n,) rearranged so that each whole batch holds examples of similar length: still a permutation.

    Without it, half of these tasks' batches would be padding. Within `WINDOW` consecutive batches the examples are sorted by
    their `lengths` and the batches shuffled again, so an example's batch stays random from pass to pass. `first` is the
    index in `order` of the first whole batch; examples before it and after the last whole batch keep their places.
    """
    grouped = order.copy()
    stop = first + (len(order) - first) // batch_size * batch_size
    for start in range(first, stop, WINDOW * batch_size):
        window = slice(start, min(start + WINDOW * batch_size, stop))
        members = order[window]
        batches = members[np.argsort(lengths[members], kind="stable")].reshape(-1, batch_size)
        grouped[window] = rng.permutation(batches).ravel()
    return grouped


def passes(order_of: Callable[[int], Indices], n: int, start: int, stop: int) -> Indices:
    """Positions [start, stop) of the endless concatenation of a task's passes; `order_of(k)` is pass number k, (n,)."""
    numbers = range(start // n, -(-stop // n))
    return np.concatenate([order_of(k)[max(start - k * n, 0) : stop - k * n] for k in numbers])


class Schedule:
    """The tasks and batches of a whole trial. Steps count from 0 and can be read in any order."""

    def __init__(
        self,
        config: MixingConfig,
        sizes: Mapping[str, int],
        batch_size: int,
        seed: int,
        n_steps: int,
        lengths: Mapping[str, Indices] | None = None,
    ) -> None:
        """`sizes` maps the tasks, in the order of the mixture, to their number of training examples n.

        With `lengths`, (n,) for each task, the examples of a batch are of similar length (`group_by_length`).
        Raises `ConfigError` when a task has no examples.
        """
        empty = [task for task, n in sizes.items() if n < 1]
        if empty:
            raise ConfigError(
                [f"{task} has no training examples: give it at least one or leave it out of mixture" for task in empty]
            )
        self.sizes = dict(sizes)
        self.batch_size = batch_size
        self.seed = seed
        self.n_steps = n_steps
        self._lengths = lengths
        self._steps = steps_of_tasks(config, sizes, seed, n_steps)
        self._order = lru_cache(maxsize=2 * len(sizes))(self._make_order)  # holds the passes in use

    def tasks_at(self, step: int) -> tuple[str, ...]:
        """The tasks that train at a step: all of them for `loop_to_max`, otherwise one."""
        assert 0 <= step < self.n_steps
        return tuple(task for task in self.sizes if self._draws(task, step + 1) > self._draws(task, step))

    def batch(self, step: int, task: str) -> Indices:
        """(batch_size,) indices into the task's training split: its batch number c, where c earlier steps drew the task.

        Batch c is positions [c·B, (c+1)·B) of the endless sequence of passes, so a batch is always full and may straddle
        passes, and each pass shows every example exactly once.
        """
        assert 0 <= step < self.n_steps
        start = self._draws(task, step) * self.batch_size
        return passes(lambda k: self._order(task, k), self.sizes[task], start, start + self.batch_size)

    def examples_before(self, step: int) -> int:
        """Training examples seen, over all tasks, before this step; `step = n_steps` gives the whole trial."""
        return sum(self.examples_by_task(step).values())

    def examples_by_task(self, step: int) -> dict[str, int]:
        """Training examples of each task seen before this step."""
        assert 0 <= step <= self.n_steps
        return {task: self.batch_size * self._draws(task, step) for task in self.sizes}

    def _make_order(self, task: str, k: int) -> Indices:
        """The order of a task's examples in its pass number k, (n,)."""
        n = self.sizes[task]
        order = permutation(self.seed, task, n, k)
        if self._lengths is None:
            return order
        rng = _stream(self.seed, _GROUPING_STREAM, zlib.crc32(task.encode()), k)
        return group_by_length(order, self._lengths[task], self.batch_size, -k * n % self.batch_size, rng)

    def _draws(self, task: str, step: int) -> int:
        """Number of steps before this one that trained the task."""
        return int(np.searchsorted(self._steps[task], step))


def n_steps(budget: BudgetConfig, mixing: MixingConfig, sizes: Mapping[str, int], batch_size: int) -> int:
    """Optimiser updates of a budget, at least 1.

    An epoch of `loop_to_max` is one pass over the largest task: n_max / B steps. An epoch of the other strategies is as many
    batches as all tasks have together, Σ n_i / B steps: the usual convention where one task is drawn per step. Under
    `proportional` it is an expected pass over every task, and it gives all these strategies the same work; passes over the
    largest task would take 1 / p_max times the steps, without bound if `ratios` rarely draws it.
    """
    if budget.epochs is not None:
        per_epoch = max(sizes.values()) if mixing.trains_all_tasks else sum(sizes.values())
        # Exact decimals: in floats 0.07 · 100 / 1 is 7.000000000000001, which rounds up to 8.
        steps = Fraction(str(budget.epochs)) * per_epoch / batch_size
    else:
        assert budget.examples is not None
        steps = Fraction(budget.examples, batch_size * (len(sizes) if mixing.trains_all_tasks else 1))
    return max(1, math.ceil(steps))


def evaluation_steps(n_steps: int, n_evaluations: int) -> tuple[int, ...]:
    """Numbers of updates after which the trial is evaluated: evenly spaced, strictly increasing, the last one `n_steps`.

    Raises `ConfigError` when there are fewer updates than evaluations.
    """
    if n_steps < n_evaluations:
        raise ConfigError(
            [
                f"budget.evaluations is {n_evaluations} but the trial has {n_steps} training steps, and each evaluation needs "
                f"a step of its own: set budget.evaluations to at most {n_steps}, or raise budget.epochs or budget.examples"
            ]
        )
    return tuple(i * n_steps // n_evaluations for i in range(1, n_evaluations + 1))


def loss_weights(config: MixingConfig, tasks: Sequence[str]) -> dict[str, float]:
    """The factor of each task's loss in the objective.

    `log_classes` divides by log n_classes, the cross-entropy of a uniform guess; a regression keeps 1. `uncertainty`
    (Kendall et al. 2018) is learned with the network, in loss.py, and is 1 here.
    """
    if config.loss_weights == "explicit":
        return {task: config.weights[task] for task in tasks}
    if config.loss_weights == "log_classes":
        return {task: 1 / math.log(TASKS[task].n_classes) if TASKS[task].n_classes > 1 else 1.0 for task in tasks}
    return dict.fromkeys(tasks, 1.0)


def _stream(seed: int, *key: int) -> np.random.Generator:
    """A generator for a seed and a key, independent of those of other keys."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
