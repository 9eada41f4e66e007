"""Rehearsal of a trial: the seconds of an update, an evaluation and a health measurement, and the update with most memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.encoder.network import batch_to
from model.engine.out_of_memory import micro_batch
from model.training import seeds
from model.training.batches import make_batch, row_lengths
from model.training.evaluate import evaluate
from model.training.health import Stopwatch
from model.training.trial import Training

EVALUATED = 64
"""Examples of each task to evaluate."""


@dataclass(frozen=True)
class Rehearsal:
    """Seconds, on this rank."""

    update_s: float
    """Median of an update."""
    n_updates: int
    example_s: float
    """Mean of an evaluated example over the tasks of the mixture."""
    health_s: float
    """Health measurement of an evaluation."""


def rehearse(training: Training, n_updates: int, *, evaluated: int = EVALUATED) -> Rehearsal:
    """Train `n_updates` further updates and evaluate once. All ranks must call it; the training cannot be used afterwards."""
    watch = Stopwatch(training.rank.device)
    training.loss.train()
    for _ in range(n_updates):
        watch.start()
        training.update(training.step % training.n_steps)
        training.step += 1
        watch.lap()
    updates = watch.laps.copy()
    watch.start()
    evaluate(training.loss.network, training.data, training.config, "select", training.rank, limit=evaluated)
    watch.lap()
    training.measure_health()
    watch.lap()
    sizes = (len(training.data.tasks[task]["select"]) for task in training.config.mixture)
    n_examples = sum(min(evaluated, size) for size in sizes)
    evaluation_s, health_s = watch.laps[-2:]
    return Rehearsal(float(np.median(updates)), n_updates, evaluation_s / n_examples, health_s)


def heaviest_update(training: Training) -> None:
    """One update from the longest training examples of each task that a step may train together.

    Raises the allocator's error if there is too little memory.
    """
    config, rank = training.config, training.rank
    lengths = {task: row_lengths(training.data, config, task, "train") for task in config.mixture}
    together = config.mixture
    if not config.mixing.trains_all_tasks:
        sides = {task: training.loss.network.sides(task) for task in together}
        together = (max(together, key=lambda task: int(lengths[task].max()) * sides[task]),)
    size = micro_batch(config, rank.world_size)
    longest = {task: np.argsort(lengths[task], kind="stable")[-size:] for task in together}
    batches = [
        batch_to(make_batch(training.data, config, task, "train", chosen), rank.device) for task, chosen in longest.items()
    ]
    training.loss.train()
    shares = [batches] * config.optim.accumulation
    training.engine.update(0, shares, [int(seeds.mix(config.seed, seeds.DROPOUT, 0, rank.rank, i)) for i in range(len(shares))])
