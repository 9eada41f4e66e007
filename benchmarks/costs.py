"""Computes seconds and compute of trials from their configuration, as `--dry-run` does, and the noise of their evaluations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from model import mixing
from model.config import TrialConfig
from model.data.source import DataSummary
from model.smart.config import cost_in_plain_steps
from tuner.search.preflight import estimate

SIZES = {"sst": (7300, 750, 1100), "quora": (14600, 1600, 2000), "sts": (5000, 600, 850), "cfimdb": (1400, 150, 250)}
"""Examples of train, select and dev, approximately those of the SMART Multitask MinBERT paper."""
WORDS = {"sst": 17.0, "quora": 22.0, "sts": 20.0, "cfimdb": 180.0}
"""Approximate mean words of an example."""
CPU_FLOPS, GPU_FLOPS = 2e10, 1e13
"""Operations per second of a slot: of one core as measured in docs/log.md, and of a GPU in fp32 with padding, about."""
BERT_BASE = 84_934_656
"""Parameters of the layers of bert-base, for backbones that are not on this machine."""


def summary() -> DataSummary:
    """The data summary that the cost of generated trials is computed from."""
    rows = {task: dict(zip(("train", "select", "dev"), sizes, strict=True)) for task, sizes in SIZES.items()}
    return DataSummary("generated curves", True, dict.fromkeys(SIZES, ""), rows, dict.fromkeys(SIZES, 0), dict(WORDS))


def n_steps(config: TrialConfig, data: DataSummary) -> int:
    """Optimiser updates of a trial, at least one for each evaluation."""
    sizes = {task: data.rows[task]["train"] for task in config.mixture}
    steps = mixing.n_steps(config.budget, config.mixing, sizes, config.optim.batch_size)
    return max(steps, config.budget.evaluations)


def seconds(config: TrialConfig, data: DataSummary, flops_per_s: float) -> tuple[float, ...]:
    """Seconds of training and evaluation up to each evaluation; the last one is on all of select."""
    backbone = _layer_parameters(config.backbone)
    total = estimate.flops(config, data, backbone)
    early, last = (_evaluation_flops(config, data, backbone, early=kind) for kind in (True, False))
    n = config.budget.evaluations
    training = total - (n - 1) * early - last
    cumulative = [training * index / n + early * index for index in range(1, n)]
    return tuple(flops / flops_per_s for flops in (*cumulative, total))


def compute(config: TrialConfig, data: DataSummary) -> tuple[float, ...]:
    """Tokens in plain steps up to each evaluation, as in `Evaluation.compute`."""
    examples = estimate.training_examples(config, data)
    tokens = sum(n * (2 + estimate.TOKENS_PER_WORD * data.words[task]) for task, n in examples.items())
    n = config.budget.evaluations
    return tuple(tokens * cost_in_plain_steps(config.smart) * index / n for index in range(1, n + 1))


def sampling_deviation(scores: np.ndarray, config: TrialConfig, tasks: Sequence[str]) -> np.ndarray:
    """Standard deviation of each evaluation's score over the choice of its examples, for (n_evaluations,) scores without noise.

    Of the mean over `tasks`: binomial, `sqrt(p (1 − p) / n)`, for a task with n examples, which approximates correlations too.
    NaN stays NaN.
    """
    early, last = (_inverse_examples(config, tasks, early=kind) for kind in (True, False))
    inverse = np.full(len(scores), early)
    inverse[-1] = last
    p = np.clip(scores, 0.0, 1.0)
    deviations: np.ndarray = np.sqrt(p * (1 - p) * inverse) / len(tasks)
    return deviations


def sampling_correlation(config: TrialConfig, tasks: Sequence[str]) -> float:
    """Correlation of a model's scores on the early examples and on all of select: `sqrt(n_early / n_select)`."""
    return math.sqrt(_inverse_examples(config, tasks, early=False) / _inverse_examples(config, tasks, early=True))


def _inverse_examples(config: TrialConfig, tasks: Sequence[str], *, early: bool) -> float:
    """Sum over tasks of 1 / examples of an evaluation."""
    limit = config.budget.early_eval_examples if early else None
    return sum(1 / min(limit or SIZES[task][1], SIZES[task][1]) for task in tasks)


@cache
def _layer_parameters(backbone: str) -> int:
    return estimate.layer_parameters(backbone) or BERT_BASE


def _evaluation_flops(config: TrialConfig, data: DataSummary, n_parameters: int, *, early: bool) -> float:
    """Operations of one evaluation, 2 per parameter and token, counted as in `estimate.flops`."""
    limit = config.budget.early_eval_examples if early else None
    tokens = 0.0
    for task in config.mixture:
        n_select = data.rows[task]["select"]
        n_watched = sum(data.rows[task].get(split, 0) for split in config.watch)
        tokens += (min(limit or n_select, n_select) + n_watched) * (2 + estimate.TOKENS_PER_WORD * data.words[task])
    return 2 * n_parameters * tokens
