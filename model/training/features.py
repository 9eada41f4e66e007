"""Features of a frozen encoder: its pooled vectors of every example, computed once and read at every step.

A frozen encoder stays in eval mode. Without a perturbation its vector of an example is the same at every step, and in every
trial with the same backbone, data and pooling: trials with equal keys share their features.
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
    """Whether a trial can train on features: its encoder is frozen and its input is never perturbed."""
    return config.mode == "pretrain" and not any(map(config.smart.smooths, config.mixture))


def key_of(config: TrialConfig, task: str) -> str:
    """Everything that a task's features depend on, apart from the data and the backbone's files, as JSON."""
    dependencies = {
        "task": task,
        "backbone": config.backbone,
        "max_length": config.max_length,
        "pooling": config.pooling,
        "together": TASKS[task].is_pair and config.pair_encoding == "cross",
        "precision": config.engine.precision,
        "seed": config.seed if config.pooling == "cls" else None,  # seeds a pooler that the checkpoint lacks
        "splits": splits_of(config),
    }
    return json.dumps(dependencies, sort_keys=True)


def splits_of(config: TrialConfig) -> list[str]:
    """The splits that a trial reads, if a task has them."""
    return sorted({"train", "select", *config.watch})


@torch.no_grad()
def compute(network: MultitaskNetwork, data: TokenizedData, config: TrialConfig, task: str) -> TaskFeatures:
    """The features of all examples of a task in the trial's splits, on the host, computed in eval mode."""
    was_training = network.training
    network.eval()
    device, dim = next(network.parameters()).device, int(network.encoder.config.hidden_size)
    features: TaskFeatures = {}
    for split in (split for split in splits_of(config) if split in data.tasks[task]):
        indices = np.arange(len(data.tasks[task][split]))
        pooled = np.empty((network.sides(task), len(indices), dim), dtype=np.float32)
        for chosen in in_length_order(data, config, task, split, indices, eval_tokens(network)):
            batch = batch_to(make_batch(data, config, task, split, chosen), device)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.engine.precision == "bf16"):
                pooled[:, chosen] = network.pool(batch, network.embed(batch.input_ids)).float().cpu().numpy()
        features[split] = pooled
    network.train(was_training)
    network.encoder.eval()
    return features
