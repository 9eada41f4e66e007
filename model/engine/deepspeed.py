"""Training a loss with DeepSpeed: process group, optimiser, update, checkpoint."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.encoder.network import Batch, PooledBatch
from model.engine.config import TIMEOUT_S, deepspeed_config
from model.engine.schedules import lambda_factor, learning_rate_factor
from model.loss import MultitaskLoss

CHECKPOINT_TAG = "state"
N_VALUES = 1 << 20
"""Length of the self-test's vector: 4 MiB in float32, enough to use the same transport as gradients."""


@dataclass(frozen=True)
class Rank:
    """A process's place in the gang of processes that train a trial."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    """Port of rank 0's rendezvous; 0 selects a free one, for a single rank."""
    collective_timeout_s: float = TIMEOUT_S
    """Limit on the duration of a collective, and so on the wait for a rank that hangs."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")


def join(rank: Rank) -> None:
    """Join the gang's process group, once per process; it is reused by later trials of a warm gang."""
    if torch.distributed.is_initialized():
        return
    deepspeed = import_deepspeed(rank.device.type)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = int(probe.getsockname()[1])
    os.environ.update(
        RANK=str(rank.rank),
        LOCAL_RANK=str(rank.local_rank),
        WORLD_SIZE=str(rank.world_size),
        LOCAL_SIZE=str(rank.world_size),
        MASTER_ADDR=rank.address,
        MASTER_PORT=str(rank.port or free_port),
    )
    if rank.device.type == "cuda":
        torch.cuda.set_device(rank.device)
    limit = timedelta(seconds=rank.collective_timeout_s)
    deepspeed.init_distributed(
        dist_backend="nccl" if rank.device.type == "cuda" else "gloo", auto_mpi_discovery=False, verbose=False, timeout=limit
    )
    # Gradients use DeepSpeed's copy of the world group, which has torch's default limit.
    torch.distributed.distributed_c10d._set_pg_timeout(limit, deepspeed.utils.groups._clone_world_group())


def all_reduce(rank: Rank) -> str:
    """Sum a vector of the rank's number plus 1 over all ranks, in the joined process group. Returns the backend's name.

    Raises RuntimeError if the sum is wrong or the collective fails.
    """
    values = torch.full((N_VALUES,), float(rank.rank + 1), device=rank.device)
    torch.distributed.all_reduce(values)
    expected = rank.world_size * (rank.world_size + 1) / 2
    if not bool((values == expected).all()):
        raise RuntimeError(f"the sum over {rank.world_size} ranks should be {expected:g} and is {float(values.mean()):g}")
    backend = str(torch.distributed.get_backend())
    return backend.upper() if backend == "nccl" else backend


def import_deepspeed(device: str) -> Any:
    """Import DeepSpeed for a device, `cpu` or `cuda`, without its log messages and without compiling its kernels."""
    os.environ.setdefault("DS_ACCELERATOR", device)
    is_hidden = "mlflow" not in sys.modules
    if is_hidden:  # DeepSpeed's unused autotuner would take seconds to import it
        sys.modules["mlflow"] = None  # type: ignore[assignment]
    try:
        import deepspeed
    finally:
        if is_hidden:
            del sys.modules["mlflow"]
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # Reading this table would compile each of DeepSpeed's kernels. None is used; its shared-memory collectives, which take 45 s
    # to build, are no faster than gloo's on one machine.
    deepspeed.ops.__compatible_ops__ = {"deepspeed_shm_comm": False}
    return deepspeed


class TaskAdamW(torch.optim.AdamW):
    """AdamW that does not change the groups of tasks that a step does not train: no momentum, no decay.

    DeepSpeed gives such parameters zero gradients, with which plain AdamW would still move them.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        idle = [parameter for group in self.param_groups if not group["active"] for parameter in group["params"]]
        gradients = [parameter.grad for parameter in idle]
        for parameter in idle:
            parameter.grad = None
        result = super().step(closure)
        for parameter, gradient in zip(idle, gradients, strict=True):
            parameter.grad = gradient
        return result


def parameter_groups(loss: MultitaskLoss) -> list[dict[str, Any]]:
    """AdamW's parameter groups: the encoder's, then those of each task's head and loss weight. Only matrices decay."""
    optim = loss.config.optim
    encoder = list(loss.network.encoder.parameters())
    owners: list[tuple[str | None, float, list[nn.Parameter]]] = [(None, optim.lr, encoder)]
    for task, head in loss.network.heads.items():
        weight = [loss.log_variance[task]] if task in loss.log_variance else []
        owners.append((task, optim.head_lr, [*head.parameters(), *weight]))
    groups = []
    for owner, lr, parameters in owners:
        trained = [p for p in parameters if p.requires_grad]
        matrices, others = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
        settings = {"lr": lr, "peak_lr": lr, "task": owner, "active": True}
        for decay, members in ((optim.weight_decay, matrices), (0.0, others)):
            if members:
                groups.append({"params": members, "weight_decay": decay, **settings})
    return groups


class Engine:
    """A DeepSpeed engine that trains a loss. Call `close` at the end, otherwise ZeRO-2 leaks its buffers."""

    def __init__(self, loss: MultitaskLoss, rank: Rank, n_updates: int) -> None:
        import deepspeed
        from deepspeed.runtime.fp16.loss_scaler import LossScaler
        from deepspeed.runtime.zero.config import ZeroStageEnum
        from deepspeed.utils.tensor_fragment import fragment_address

        self.loss = loss
        self.n_updates = n_updates
        optimizer = TaskAdamW(parameter_groups(loss), lr=loss.config.optim.lr, fused=True)
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=loss, optimizer=optimizer, config=deepspeed_config(loss.config, rank.world_size), dist_init_required=False
        )
        if rank.world_size == 1 and loss.config.engine.zero_stage == 0:
            # A single rank would copy all gradients into a buffer and back for a sum over itself: an eighth of a CPU's step.
            self._engine.enable_backward_allreduce = False
        # DeepSpeed's clipping launches two or three kernels per parameter and synchronises twice. Gradients are summed at this
        # point, so their norm is the same on every rank. ZeRO 1 to 3 clip in their optimisers.
        trained = [parameter for parameter in loss.parameters() if parameter.requires_grad]
        self._engine.clip_fp32_gradients = partial(nn.utils.clip_grad_norm_, trained, loss.config.optim.clip_norm, foreach=True)
        # DeepSpeed would unpickle arbitrary objects from a checkpoint, to whose folder others may be able to write.
        torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])
        self._engine.checkpoint_engine.load = partial(torch.load, weights_only=True)

    def update(self, update: int, shares: Sequence[Sequence[Batch | PooledBatch]], seeds: Sequence[int]) -> dict[str, Tensor]:
        """One optimiser update from a rank's micro-batches and their dropout seeds. Returns mean loss terms, on the device."""
        tasks = {batch.task for batch in shares[0]}
        factor = learning_rate_factor(self.loss.config.optim, update, self.n_updates)
        for group in self._optimizer.param_groups:
            group["lr"] = factor * group["peak_lr"]
            group["active"] = group["task"] is None or group["task"] in tasks
        weight = lambda_factor(self.loss.config.smart, update, self.n_updates)
        terms: dict[str, Tensor] = {}
        for batches, seed in zip(shares, seeds, strict=True):
            self._engine.backward(self._engine(batches, seed, weight))
            for name, value in self.loss.terms.items():
                terms[name] = terms.get(name, 0) + value / len(shares)
            self._engine.step()
        return terms

    @contextmanager
    def whole_weights(self) -> Iterator[None]:
        """Within the context, every rank has all weights; ZeRO-3 otherwise keeps a part on each. All ranks must enter it."""
        if self.loss.config.engine.zero_stage < 3:
            yield
            return
        import deepspeed

        with deepspeed.zero.GatheredParameters(list(self.loss.network.parameters())):
            yield

    @property
    def n_skipped(self) -> int:
        """Updates that ZeRO 1 and 2 skipped because the gradient was not finite; with ZeRO 0 the weights become NaN instead."""
        return int(self._engine.skipped_steps)

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write weights and optimiser state; all ranks must call it."""
        self._engine.save_checkpoint(str(folder), tag=CHECKPOINT_TAG, client_state=state, save_latest=False)

    def load(self, folder: Path) -> dict[str, Any]:
        """Load a checkpoint of `save` with the same number of ranks, and return its `state`. Raises FileNotFoundError."""
        if not (folder / CHECKPOINT_TAG).is_dir():
            raise FileNotFoundError(f"{folder} has no checkpoint")
        _, state = self._engine.load_checkpoint(str(folder), tag=CHECKPOINT_TAG)
        return dict(state)

    def close(self) -> None:
        self._engine.destroy()
