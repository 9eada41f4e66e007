"""Features of a frozen encoder: what its pooling gives for each example, computed once and read at every step.

A frozen encoder stays in eval mode, so where no input is perturbed it gives an example the same vector at every step and in
every trial with the same backbone, data and pooling. Trials with equal keys share their features.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import torch

from model.config import TrialConfig
from model.data.tokenised import TokenizedData
from model.encoder.network import MultitaskNetwork, batch_to
from model.tasks import TASKS
from model.training.batches import eval_tokens, in_length_order, make_batch

TaskFeatures = dict[str, npt.NDArray[np.float32]]
"""By split: (S, N, D), the pooled sides of every example, in the order of the split."""


def reads_features(config: TrialConfig) -> bool:
    """Whether a trial can train on features: its encoder is frozen, and no pass of it sees a perturbed input."""
    smooths = config.smart.enabled and any(config.smart.lambda_of(task) > 0 for task in config.mixture)
    return config.mode == "pretrain" and not smooths


def key_of(config: TrialConfig, task: str) -> str:
    """All that the features of a task depend on, besides the data and the backbone's files."""
    depends = {
        "task": task,
        "backbone": config.backbone,
        "max_length": config.max_length,
        "pooling": config.pooling,
        "together": TASKS[task].is_pair and config.pair_encoding == "cross",
        "precision": config.engine.precision,
        "seed": config.seed if config.pooling == "cls" else None,  # it draws a pooler that the checkpoint lacks
        "splits": splits_of(config),
    }
    return json.dumps(depends, sort_keys=True)


def splits_of(config: TrialConfig) -> list[str]:
    """The splits that a trial reads, as far as a task has them."""
    return sorted({"train", "select", *config.watch})


@torch.no_grad()
def compute(network: MultitaskNetwork, data: TokenizedData, config: TrialConfig, task: str) -> TaskFeatures:
    """The features of every example of the trial's splits of a task, on the host; the network is in eval mode for it."""
    was_training = network.training
    network.eval()
    splits = [split for split in splits_of(config) if split in data.tasks[task]]
    found = {split: _of_split(network, data, config, task, split) for split in splits}
    network.train(was_training)
    network.encoder.eval()
    return found


def _of_split(
    network: MultitaskNetwork, data: TokenizedData, config: TrialConfig, task: str, split: str
) -> npt.NDArray[np.float32]:
    device = next(network.parameters()).device
    everything = np.arange(len(data.tasks[task][split]))
    dim = int(network.encoder.config.hidden_size)
    pooled = np.empty((network.sides(task), len(everything), dim), dtype=np.float32)
    for chosen in in_length_order(data, config, task, split, everything, eval_tokens(network)):
        batch = batch_to(make_batch(data, config, task, split, chosen), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.engine.precision == "bf16"):
            pooled[:, chosen] = network.pool(batch, network.embed(batch.input_ids)).float().cpu().numpy()
    return pooled
