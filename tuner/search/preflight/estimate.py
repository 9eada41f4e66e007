"""Estimates, without measuring, of a trial's examples, operations, memory and size; and the choice of what is measured."""

from __future__ import annotations

import timeit
from collections.abc import Sequence

import numpy as np

from model import mixing
from model.config import TrialConfig
from model.data.source import DataSummary
from model.encoder import backbone
from model.engine.config import micro_batch
from model.smart.config import cost_in_plain_steps

TOKENS_PER_WORD = 1.3
"""WordPiece tokens of an English word, about."""
EFFICIENCY = (0.7, 0.35)
"""Share of the matrix-multiplication rate that a trial reaches: at best, and with much padding."""


def n_steps(config: TrialConfig, summary: DataSummary) -> int:
    """Updates of a trial."""
    sizes = {task: summary.rows[task]["train"] for task in config.mixture}
    return mixing.n_steps(config.budget, config.mixing, sizes, config.optim.batch_size)


def training_examples(config: TrialConfig, summary: DataSummary) -> dict[str, float]:
    """Expected number of training examples of each task in a trial."""
    sizes = {task: summary.rows[task]["train"] for task in config.mixture}
    seen = n_steps(config, summary) * config.optim.batch_size
    every = config.mixing.trains_all_tasks
    shares = dict.fromkeys(sizes, 1.0) if every else mixing.probabilities(config.mixing, sizes, 0.5)
    return {task: seen * shares[task] for task in sizes}


def evaluated_examples(config: TrialConfig, summary: DataSummary) -> dict[str, float]:
    """Examples of select and of the watched splits in all evaluations of a trial, by task."""
    budget = config.budget
    early = budget.early_eval_examples
    sizes = {task: summary.rows[task]["select"] for task in config.mixture}
    watched = {task: sum(summary.rows[task].get(split, 0) for split in config.watch) for task in config.mixture}
    return {
        task: (budget.evaluations - 1) * min(early or n, n) + float(n) + budget.evaluations * watched[task]
        for task, n in sizes.items()
    }


def flops(config: TrialConfig, summary: DataSummary, n_parameters: int) -> float:
    """Floating-point operations of a trial: 6 per parameter and token for a plain training step, 2 for a forward pass.

    `n_parameters` counts the encoder's layers without the embeddings.
    """
    per_task = {task: 2 + TOKENS_PER_WORD * summary.words[task] for task in config.mixture}
    trained = sum(n * per_task[task] for task, n in training_examples(config, summary).items())
    evaluated = sum(n * per_task[task] for task, n in evaluated_examples(config, summary).items())
    return n_parameters * (6 * trained * cost_in_plain_steps(config.smart) + 2 * evaluated)


def work(config: TrialConfig, summary: DataSummary) -> float:
    """Expected work of an update: tokens × the cost of a step in plain steps."""
    examples = training_examples(config, summary)
    lengths = {task: min(2 + TOKENS_PER_WORD * summary.words[task], 2 * config.max_length) for task in examples}
    tokens = sum(n * lengths[task] for task, n in examples.items())
    frozen = 1 / 3 if config.mode == "pretrain" else 1.0  # no backward pass through the encoder
    return tokens / n_steps(config, summary) * cost_in_plain_steps(config.smart) * frozen


def memory(config: TrialConfig, n_workers: int) -> float:
    """Activations in memory during an update, in arbitrary units: tokens of a micro-batch × graphs."""
    together = len(config.mixture) if config.mixing.trains_all_tasks else 1
    graphs = 1 + config.smart.is_smoothing
    sides = 1 if config.pair_encoding == "cross" else 2
    return micro_batch(config, n_workers) * sides * config.max_length * together * graphs


def largest(samples: Sequence[TrialConfig], n_workers: int) -> TrialConfig:
    """The configuration that needs most memory; of equals one with a teacher."""
    return max(samples, key=lambda sample: (memory(sample, n_workers), sample.smart.enabled and sample.smart.mu > 0))


def along_the_cost(samples: Sequence[TrialConfig], summary: DataSummary) -> list[TrialConfig]:
    """For each pair encoding the median, the most and the least expensive configuration by `work`; medians first."""
    by_encoding: dict[str, list[TrialConfig]] = {}
    for sample in sorted(samples, key=lambda sample: work(sample, summary)):
        by_encoding.setdefault(sample.pair_encoding, []).append(sample)
    triples = [(ordered[len(ordered) // 2], ordered[-1], ordered[0]) for _, ordered in sorted(by_encoding.items())]
    chosen: list[TrialConfig] = []
    for candidates in zip(*triples, strict=True):
        chosen += [candidate for candidate in candidates if candidate not in chosen]
    return chosen


def layer_parameters(name: str) -> int | None:
    """Number of parameters of a backbone's layers; None for one that is not on this machine, or does not name its sizes."""
    architecture = backbone.architecture(name)
    if architecture is None or not {"hidden_size", "intermediate_size", "num_hidden_layers"} <= set(architecture):
        return None
    hidden = architecture["hidden_size"]
    per_layer = 4 * hidden * hidden + 2 * hidden * architecture["intermediate_size"]
    return int(architecture["num_hidden_layers"] * per_layer)


def checkpoint_bytes(name: str) -> int | None:
    """Largest size of a checkpoint: weights, AdamW's two moments and a teacher in float32. None as for `layer_parameters`."""
    architecture, in_layers = backbone.architecture(name), layer_parameters(name)
    if architecture is None or in_layers is None:
        return None
    embedded = architecture["vocab_size"] + max(0, architecture.get("max_position_embeddings") or 0)
    return int(16 * (in_layers + embedded * architecture["hidden_size"]))


def matmul_rate(size: int = 1024) -> float:
    """Operations per second of this machine in float32 matrix multiplication, measured for about half a second."""
    matrix = np.ones((size, size), dtype=np.float32)
    n_done, seconds = timeit.Timer(lambda: matrix @ matrix).autorange()
    return n_done * 2.0 * size**3 / seconds
