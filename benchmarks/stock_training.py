"""A training as a user of stock Ray writes it; `benchmarks.stock_ray` launches it for each trial.

Batches in random order from a `DataLoader`, padded to their longest, AdamW (fused) with linear warm-up and decay, and the loss
of `smart-pytorch` where the configuration has SMART. That has no ε to project on and no teacher, so its SMART steps are cheaper
than ours. Network, schedule and metrics are the project's own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from model.config import TrialConfig
    from model.data.tokenised import TokenizedData
    from model.encoder.network import Batch, MultitaskNetwork
    from tuner.config.objective import Objective

METRIC = "score"
EVAL_BATCH = 64


def loaders(config: TrialConfig, data: TokenizedData, split: str, limit: int | None, batch_size: int) -> dict[str, Any]:
    """A `DataLoader` for each task: in random order for training, else as the split lies."""
    from torch.utils.data import DataLoader

    from model.training.batches import make_batch

    def loader(task: str) -> Any:
        def collate(indices: list[int]) -> Batch:
            import numpy as np

            return make_batch(data, config, task, split, np.array(indices))

        is_train = split == "train"
        indices = range(len(data.tasks[task][split]))[:limit]
        return DataLoader(indices, batch_size, shuffle=is_train, drop_last=is_train, collate_fn=collate)  # type: ignore[arg-type]

    return {task: loader(task) for task in config.mixture}


def endless(loader: Any) -> Iterator[Batch]:
    while True:
        yield from loader


def step_loss(network: MultitaskNetwork, config: TrialConfig, batch: Batch) -> Tensor:
    """Cross-entropy or squared error, and smart-pytorch's term."""
    from smart_pytorch import SMARTLoss, kl_loss, sym_kl_loss
    from torch.nn import functional

    embeddings = network.embed(batch.input_ids)
    logits: Tensor = network(batch, embeddings)
    is_regression = logits.shape[-1] == 1
    loss = functional.mse_loss(logits[:, 0], batch.labels) if is_regression else functional.cross_entropy(logits, batch.labels)
    smart = config.smart
    if not smart.enabled:
        return loss
    losses = (functional.mse_loss, functional.mse_loss) if is_regression else (kl_loss, sym_kl_loss)
    regulariser = SMARTLoss(
        lambda moved: network(batch, moved), *losses, num_steps=smart.steps, step_size=smart.eta, noise_var=smart.sigma
    )
    term: Tensor = regulariser(embeddings, logits)
    return loss + smart.lambda_ * (term if is_regression else term / len(logits))


def evaluate(network: MultitaskNetwork, config: TrialConfig, data: TokenizedData, limit: int | None) -> dict[str, float]:
    import numpy as np
    import torch

    from model import metrics
    from model.encoder.network import batch_to, predictions
    from model.tasks import TASKS

    device = next(network.parameters()).device
    network.eval()
    found: dict[str, float] = {}
    for task, loader in loaders(config, data, "select", limit, EVAL_BATCH).items():
        with torch.no_grad():
            parts = [predictions(TASKS[task], network.logits(batch_to(batch, device))).cpu().numpy() for batch in loader]
        found |= metrics.compute(TASKS[task], np.concatenate(parts), data.tasks[task]["select"].labels[:limit])
    network.train()
    return found


def optimizer_of(network: MultitaskNetwork, config: TrialConfig) -> Any:
    import torch

    optim = config.optim
    groups = [
        {"params": network.encoder.parameters(), "lr": optim.lr},
        {"params": network.heads.parameters(), "lr": optim.head_lr},
    ]
    return torch.optim.AdamW(groups, lr=optim.lr, weight_decay=optim.weight_decay, fused=True)


def train_fn_per_worker(given: dict[str, Any]) -> None:
    """One training, as Ray Train calls it on a worker."""
    import ray
    import ray.train.torch
    import torch
    from transformers import get_linear_schedule_with_warmup

    from model import mixing
    from model.config import parse
    from model.encoder.network import batch_to, build

    config, data = parse(given["config"]), ray.get(given["data"])
    torch.manual_seed(config.seed)
    network = ray.train.torch.prepare_model(build(config))
    device = ray.train.torch.get_device()
    sizes = {task: len(data.tasks[task]["train"]) for task in config.mixture}
    n_steps = mixing.n_steps(config.budget, config.mixing, sizes, config.optim.batch_size)
    schedule = mixing.Schedule(config.mixing, sizes, config.optim.batch_size, config.seed, n_steps)
    ends = mixing.evaluation_steps(n_steps, config.budget.evaluations)
    optimizer = optimizer_of(network, config)
    rates = get_linear_schedule_with_warmup(optimizer, int(config.optim.warmup * n_steps), n_steps)
    train = {task: endless(loader) for task, loader in loaders(config, data, "train", None, config.optim.batch_size).items()}
    network.train()
    with Path(given["steps"]).open("ab", buffering=0) as steps:
        steps.write(f"{time.time()}\n".encode())
        for step in range(n_steps):
            optimizer.zero_grad()
            for task in schedule.tasks_at(step):
                step_loss(network, config, batch_to(next(train[task]), device)).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.optim.clip_norm)
            optimizer.step()
            rates.step()
            steps.write(f"{time.time()}\n".encode())
            if step + 1 in ends:
                report(network, config, data, given["objective"], ends.index(step + 1) + 1)


def report(network: MultitaskNetwork, config: TrialConfig, data: TokenizedData, objective: Objective, index: int) -> None:
    """Evaluate and tell; the last time with the model."""
    import ray.train
    import torch

    is_last = index == config.budget.evaluations
    found = evaluate(network, config, data, None if is_last else config.budget.early_eval_examples)
    told = {METRIC: objective.score(found), "index": index, "is_last": is_last, "evaluated_at": time.time()}
    if not is_last:
        ray.train.report(told)
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.save(network.state_dict(), Path(folder, "model.pt"))
        ray.train.report(told, checkpoint=ray.train.Checkpoint.from_directory(folder))
