"""How much work a search is, from arithmetic alone: floating-point operations, and seconds at a measured rate."""

from __future__ import annotations

import time

from model import mixing
from model.config import TrialConfig
from model.data.source import DataSummary
from model.encoder import backbone
from model.smart.config import cost_in_plain_steps

TOKENS_PER_WORD = 1.3
"""WordPiece tokens of an English word, about."""
EFFICIENCY = (0.7, 0.35)
"""Share of the matrix-multiplication rate that a trial reaches: at best, and with much padding."""


def training_examples(config: TrialConfig, summary: DataSummary) -> dict[str, float]:
    """Training examples that a configuration sees of each task, in expectation."""
    sizes = {task: summary.rows[task]["train"] for task in config.mixture}
    n_steps = mixing.n_steps(config.budget, config.mixing, sizes, config.optim.batch_size)
    seen = n_steps * config.optim.batch_size
    if config.mixing.trains_all_tasks:
        return {task: float(seen) for task in sizes}
    halfway = mixing.probabilities(config.mixing, sizes, 0.5)
    return {task: seen * halfway[task] for task in sizes}


def evaluated_examples(config: TrialConfig, summary: DataSummary) -> dict[str, float]:
    """Examples of the select split, and of those that it watches, that all evaluations of a trial look at, by task."""
    budget = config.budget
    early = budget.early_eval_examples
    sizes = {task: summary.rows[task]["select"] for task in config.mixture}
    watched = {task: sum(summary.rows[task].get(split, 0) for split in config.watch) for task in config.mixture}
    return {
        task: (budget.evaluations - 1) * min(early or n, n) + float(n) + budget.evaluations * watched[task]
        for task, n in sizes.items()
    }


def flops(config: TrialConfig, summary: DataSummary, n_parameters: int) -> float:
    """Operations of a trial: 6 per parameter and token for a plain training step, 2 for a forward pass.

    `n_parameters` are those that each token is multiplied with: the encoder's layers, without the embeddings.
    """
    per_task = {task: 2 + TOKENS_PER_WORD * summary.words[task] for task in config.mixture}
    trained = sum(n * per_task[task] for task, n in training_examples(config, summary).items())
    evaluated = sum(n * per_task[task] for task, n in evaluated_examples(config, summary).items())
    return n_parameters * (6 * trained * cost_in_plain_steps(config.smart) + 2 * evaluated)


def layer_parameters(name: str) -> int | None:
    """Parameters of a backbone's layers; None for one that is not on this machine."""
    architecture = backbone.architecture(name)
    if architecture is None:
        return None
    hidden = architecture["hidden_size"]
    per_layer = 4 * hidden * hidden + 2 * hidden * architecture["intermediate_size"]
    return int(architecture["num_hidden_layers"] * per_layer)


def checkpoint_bytes(name: str) -> int | None:
    """Bytes of a checkpoint at most: weights, AdamW's two moments and a teacher in float32. None as for `layer_parameters`."""
    architecture, in_layers = backbone.architecture(name), layer_parameters(name)
    if architecture is None or in_layers is None:
        return None
    embedded = architecture["vocab_size"] + architecture["max_position_embeddings"]
    return int(16 * (in_layers + embedded * architecture["hidden_size"]))


def matmul_rate(size: int = 1024, seconds: float = 0.3) -> float:
    """Operations per second of this machine's cores in float32 matrix multiplication."""
    import numpy as np

    matrix = np.ones((size, size), dtype=np.float32)
    matrix @ matrix
    began, n_done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        matrix @ matrix
        n_done += 1
    return n_done * 2.0 * size**3 / (time.perf_counter() - began)
