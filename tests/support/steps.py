"""One step of a tiny trial without DeepSpeed: its loss, its batches, its gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.config import TrialConfig
from model.encoder.network import Batch, build
from model.loss import MultitaskLoss
from model.training.batches import make_batch
from tests.support import tiny

WIDE = {"epsilon": 1e-2, "sigma": 1e-2, "eta": 1e-3, "mu": 0.0}
"""A perturbation large enough to measure, whose one step does not reach the bound everywhere."""


def loss_of(backbone: Path, *, double: bool = False, dropout: float = 0.0, **settings: Any) -> MultitaskLoss:
    """The loss of a trial in training mode, in float64 on request. `dropout` replaces the one of `optim`.

    σ = 0, which users are refused, makes δ = 0 here.
    """
    optim = {"batch_size": 8, "lr": 1e-3, **settings.pop("optim", {}), "dropout": dropout}
    smart = dict(settings.pop("smart", {}))
    sigma = smart.pop("sigma", 1e-5)
    config = tiny.config(backbone, optim=optim, smart=smart, **settings)
    config = config.model_copy(update={"smart": config.smart.model_copy(update={"sigma": sigma})})
    loss = MultitaskLoss(build(config), config)
    if double:
        loss.double()
        if loss.teacher is not None:
            loss.teacher.network.double()
    return loss.train()


def batch_of(config: TrialConfig, task: str, indices: Iterable[int] = range(6)) -> Batch:
    """Training examples of a task as the trial sees them in step 0."""
    return make_batch(tiny.data(), config, task, "train", np.array(list(indices)))


def batches_of(config: TrialConfig, indices: Iterable[int] = range(6)) -> list[Batch]:
    """A batch of each task of the mixture."""
    chosen = list(indices)
    return [batch_of(config, task, chosen) for task in config.mixture]


def padded(batch: Batch, extra: int) -> Batch:
    """The batch with `extra` columns of padding."""
    wide = {name: nn.functional.pad(getattr(batch, name), (0, extra)) for name in ("input_ids", "mask", "token_types")}
    return dataclasses.replace(batch, **wide)


def gradients(loss: MultitaskLoss) -> dict[str, Tensor]:
    """Copies of the gradients that are not None, by parameter."""
    return {name: p.grad.clone() for name, p in loss.named_parameters() if p.grad is not None}


def run(loss: MultitaskLoss, batches: Sequence[Batch], seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a step, detached, and its gradients."""
    loss.zero_grad()
    value = loss(batches, seed)
    value.backward()
    return value.detach(), gradients(loss)


def smoothness(loss: MultitaskLoss, batch: Batch) -> Tensor:
    """R_s of each example, (B,), differentiable; dropout must be 0, for the masks are not shared here."""
    embeddings = loss.network.embed(batch.input_ids)
    return loss._smoothness(batch, embeddings, loss.network(batch, embeddings), None)


def shift(module: nn.Module, scale: float, seed: int = 0) -> None:
    """Move every parameter by N(0, scale²)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=generator)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Bit for bit the same gradients of the same parameters."""
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []
