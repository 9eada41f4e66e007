"""Batches of tokenised examples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.config import TrialConfig
from model.data.collate import assemble
from model.data.tokenised import TokenizedData
from model.encoder.network import Batch, Features, MultitaskNetwork, PooledBatch
from model.mixing import Schedule
from model.tasks import TASKS
from model.training import seeds

EVAL_TOKENS = 8192
"""Largest number of tokens of an evaluation batch, padding included; without gradients more fit than in training."""
CACHED_VALUES = 3 * 2**20
"""float32 values of an encoder's widest layer in an evaluation batch on a CPU; more exceed its caches (docs/log.md)."""
N_SPECIAL = 3
"""Largest number of special tokens of a sequence: [CLS], and a [SEP] after each of two texts."""


def make_batch(
    data: TokenizedData, config: TrialConfig, task: str, split: str, indices: np.ndarray, *, noise_step: int = 0
) -> Batch:
    """Examples `indices` (B,) of a task's split as a batch; the two sides of a separately encoded pair are equally wide."""
    encoded = assemble(
        data.tasks[task][split],
        indices,
        cross=config.pair_encoding == "cross",
        cls_id=data.cls_id,
        sep_id=data.sep_id,
        pad_id=data.pad_id,
        max_length=config.max_length,
    )
    return Batch(
        task=task,
        input_ids=torch.from_numpy(encoded.input_ids),
        mask=torch.from_numpy(encoded.attention_mask),
        token_types=torch.from_numpy(encoded.token_type_ids),
        labels=_labels(data, task, split, indices),
        lengths=encoded.attention_mask.sum(-1),
        seeds=seeds.mix(config.seed, seeds.NOISE, noise_step, list(TASKS).index(task), indices),
    )


def batch_of(
    data: TokenizedData,
    config: TrialConfig,
    features: Features | None,
    task: str,
    split: str,
    indices: np.ndarray,
    *,
    noise_step: int = 0,
) -> Batch | PooledBatch:
    """Examples `indices` (B,) of a task's split as a batch, of their features if these are given."""
    if features is None:
        return make_batch(data, config, task, split, indices, noise_step=noise_step)
    pooled = torch.from_numpy(features[task][split][:, indices])
    return PooledBatch(task, pooled, _labels(data, task, split, indices))


def _labels(data: TokenizedData, task: str, split: str, indices: np.ndarray) -> Tensor:
    labels = torch.from_numpy(data.tasks[task][split].labels[indices])
    return labels if TASKS[task].kind == "regression" else labels.long()


def row_lengths(data: TokenizedData, config: TrialConfig, task: str, split: str) -> npt.NDArray[np.int64]:
    """(n,) width of each example of a split in tokens: of both texts together with `cross`, else of the longer one."""
    texts = np.stack([text.lengths for text in data.tasks[task][split].texts])
    widths: npt.NDArray[np.int64] = texts.sum(0) if config.pair_encoding == "cross" else texts.max(0)
    return widths


def eval_tokens(network: MultitaskNetwork) -> int:
    """Largest number of tokens of an evaluation batch of a network."""
    if next(network.parameters()).device.type != "cpu":
        return EVAL_TOKENS
    architecture = network.encoder.config
    return min(EVAL_TOKENS, CACHED_VALUES // int(getattr(architecture, "intermediate_size", 4 * architecture.hidden_size)))


def in_length_order(
    data: TokenizedData, config: TrialConfig, task: str, split: str, indices: np.ndarray, tokens: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Batches of positions in `indices` (N,), each once, the longest examples first, so that similar lengths share a batch.

    A batch has as many examples as fit into `tokens`, padding included, and at least one.
    """
    n_sides = 1 if config.pair_encoding == "cross" else len(data.tasks[task][split].texts)
    lengths = row_lengths(data, config, task, split)[indices]
    n_tokens = np.minimum(lengths + N_SPECIAL, config.max_length) * n_sides
    order = np.argsort(-n_tokens, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // int(n_tokens[order[start]]))
        yield order[start : start + size]
        start += size


def mean_tokens(data: TokenizedData, config: TrialConfig, task: str) -> float:
    """Mean tokens of a task's encoded training examples, with special tokens and without padding."""
    texts = np.stack([text.lengths for text in data.tasks[task]["train"].texts])
    sequences = texts.sum(0, keepdims=True) if config.pair_encoding == "cross" else texts
    n_special = 1 + len(texts) // len(sequences)  # [CLS], and a [SEP] after each text
    return float(np.minimum(sequences + n_special, config.max_length).sum(0).mean())


def micro_batches(
    data: TokenizedData,
    config: TrialConfig,
    schedule: Schedule,
    step: int,
    rank: int,
    world_size: int,
    features: Features | None = None,
) -> list[list[Batch | PooledBatch]]:
    """A rank's share of a step: for each accumulation step, the batches of the tasks that the step trains.

    The global batch is split into contiguous equal parts by rank and then by micro-batch, so that the examples of a step do not
    depend on the number of ranks and micro-batches.
    """
    accumulation = config.optim.accumulation
    shares: list[list[Batch | PooledBatch]] = [[] for _ in range(accumulation)]
    for task in schedule.tasks_at(step):
        of_rank = np.split(schedule.batch(step, task), world_size)[rank]
        for share, indices in zip(shares, np.split(of_rank, accumulation), strict=True):
            share.append(batch_of(data, config, features, task, "train", indices, noise_step=step))
    return shares
