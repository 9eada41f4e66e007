"""A network's predictions and metrics on a split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from model import metrics
from model.config import TrialConfig
from model.data.tokenised import TokenizedData
from model.encoder.network import Batch, Features, MultitaskNetwork, PooledBatch, batch_to, predictions
from model.engine.deepspeed import Rank
from model.tasks import TASKS
from model.training.batches import eval_tokens, in_length_order, make_batch, make_pooled_batch

POOLED_TOKENS = 2**20
"""Tokens of the examples that share a batch where the encoder has them behind it: heads alone bear far more."""


@torch.no_grad()
def predict_split(
    network: MultitaskNetwork,
    data: TokenizedData,
    config: TrialConfig,
    task: str,
    split: str,
    indices: np.ndarray,
    features: Features | None = None,
) -> np.ndarray:
    """Predictions (N,) for examples `indices` (N,) of a split, in their order. Leaves the network's mode as it was.

    Examples of similar length share a batch, so that little padding is computed. A prediction is NaN where the logits are not
    all finite: an argmax would hide that the network has diverged.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    positions, parts = [], []
    n_tokens = eval_tokens(network) if features is None else POOLED_TOKENS
    for chosen in in_length_order(data, config, task, split, indices, n_tokens):
        if features is None:
            made: Batch | PooledBatch = make_batch(data, config, task, split, indices[chosen])
        else:
            made = make_pooled_batch(data, features, task, split, indices[chosen])
        with torch.autocast(device.type, torch.bfloat16, enabled=config.engine.precision == "bf16"):
            logits = network.logits(batch_to(made, device))
        diverged = ~logits.isfinite().all(-1)
        positions.append(chosen)
        parts.append(predictions(TASKS[task], logits).double().masked_fill(diverged, torch.nan))
    network.train(was_training)
    if config.mode == "pretrain":
        network.encoder.eval()
    in_order = np.empty(len(indices), dtype=np.float64)
    if parts:
        in_order[np.concatenate(positions)] = torch.cat(parts).cpu().numpy()
    return in_order


def evaluate(
    network: MultitaskNetwork,
    data: TokenizedData,
    config: TrialConfig,
    split: str,
    rank: Rank,
    *,
    tasks: Sequence[str] | None = None,
    limit: int | None = None,
    features: Features | None = None,
) -> dict[str, float]:
    """`task/metric` on a split, the same on every rank; the ranks share the work.

    `limit` takes a fixed part of that many examples of each task (`stratified`).
    """
    found: dict[str, float] = {}
    for task in config.mixture if tasks is None else tasks:
        labels = data.tasks[task][split].labels
        chosen = np.arange(len(labels)) if limit is None else stratified(labels, limit)
        labels, mine = labels[chosen], chosen[rank.rank :: rank.world_size]
        gathered = _gather(predict_split(network, data, config, task, split, mine, features), len(labels), rank)
        found.update(metrics.compute(TASKS[task], gathered, labels))
    return found


def stratified(labels: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.int64]:
    """Positions in `labels` (N,) of a fixed part of them, increasing: `size`, or all N where they are fewer.

    Evenly spaced in the order of the labels, so that each class has its share of the part to within one example, and a
    regression its quantiles. Equal labels keep their order; that of the select split is by hash, so the part is random else.
    """
    size = min(size, len(labels))
    spaced = (2 * np.arange(size) + 1) * len(labels) // (2 * size) if size else np.arange(0)
    return np.sort(np.argsort(labels, kind="stable")[spaced])


def evaluate_watched(
    network: MultitaskNetwork, data: TokenizedData, config: TrialConfig, rank: Rank, features: Features | None = None
) -> dict[str, float]:
    """`split/task/metric` on every split of `config.watch`, for the tasks that have it. With both arms there,
    `cue_gap/cfimdb/accuracy` is clean − inverted: what a model loses where the cue says the opposite."""
    found: dict[str, float] = {}
    for split in config.watch:
        tasks = [task for task in config.mixture if split in data.tasks[task]]
        found |= metrics.on_split(split, evaluate(network, data, config, split, rank, tasks=tasks, features=features))
    for dev in ("", "dev-"):
        clean, inverted = (found.get(f"{dev}{arm}/cfimdb/accuracy") for arm in ("clean", "inverted"))
        if clean is not None and inverted is not None:
            found[f"{dev}cue_gap/cfimdb/accuracy"] = clean - inverted
    return found


def _gather(mine: np.ndarray, n_examples: int, rank: Rank) -> np.ndarray:
    """All ranks' strided parts (N/W,) in one array (N,)."""
    if rank.world_size == 1:
        return mine
    whole = torch.zeros(n_examples, dtype=torch.float64)
    whole[rank.rank :: rank.world_size] = torch.from_numpy(mine)
    whole = whole.to(rank.device)
    torch.distributed.all_reduce(whole)  # each position is filled by one rank and zero on the others
    return whole.cpu().numpy()
