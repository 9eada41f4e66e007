"""DeepSpeed around a trial's loss: process group, optimiser, step, checkpoint."""

from __future__ import annotations

import logging
import os
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

from model.config import TrialConfig
from model.encoder.network import Batch, PooledBatch
from model.engine.collective_error import TIMEOUT_S
from model.engine.schedules import lambda_factor, learning_rate_factor
from model.loss import MultitaskLoss

CHECKPOINT_TAG = "state"


@dataclass(frozen=True)
class Rank:
    """A process's place in its gang."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    address: str = "127.0.0.1"
    port: int = 0
    """Port of rank 0's rendezvous; 0 lets a lone rank choose a free one."""
    collective_timeout_s: float = TIMEOUT_S
    """How long a collective may take, and with it the wait for a rank that hangs."""

    @property
    def device(self) -> torch.device:
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")


def join(rank: Rank) -> None:
    """Enter the gang's process group, once per process: it outlives the trials of a warm gang."""
    if torch.distributed.is_initialized():
        return
    deepspeed = import_deepspeed(rank.device.type)
    os.environ.update(
        RANK=str(rank.rank),
        LOCAL_RANK=str(rank.local_rank),
        WORLD_SIZE=str(rank.world_size),
        LOCAL_SIZE=str(rank.world_size),
        MASTER_ADDR=rank.address,
        MASTER_PORT=str(rank.port or _free_port()),
    )
    if rank.device.type == "cuda":
        torch.cuda.set_device(rank.device)
    limit = timedelta(seconds=rank.collective_timeout_s)
    deepspeed.init_distributed(
        dist_backend="nccl" if rank.device.type == "cuda" else "gloo", auto_mpi_discovery=False, verbose=False, timeout=limit
    )
    # Gradients go through DeepSpeed's own copy of the world, which is made with torch's limit.
    torch.distributed.distributed_c10d._set_pg_timeout(limit, deepspeed.utils.groups._clone_world_group())


def import_deepspeed(device: str) -> Any:
    """DeepSpeed for a device, `cpu` or `cuda`, kept off standard output and away from compilers."""
    os.environ.setdefault("DS_ACCELERATOR", device)
    with _hidden("mlflow"):  # its autotuner, which nobody runs here, would take seconds to load it
        import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # Reading this table would try a compiler on each of its own kernels. None is used; of its shared-memory collectives,
    # which take 45 s to build, gloo's serve as well on one machine.
    deepspeed.ops.__compatible_ops__ = {"deepspeed_shm_comm": False}
    return deepspeed


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Within, an import of a module that was not imported yet fails as where it is not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def load_tensors(path: str, map_location: Any = None, *, also: Sequence[type] = ()) -> Any:
    """A file of `torch.save` that holds tensors, plain values and objects of the classes `also`; runs no code of its own.

    Raises `pickle.UnpicklingError` where it holds anything else: a folder of checkpoints may be open to others.
    """
    with torch.serialization.safe_globals(list(also)):
        return torch.load(path, map_location=map_location, weights_only=True)


class TaskAdamW(torch.optim.AdamW):
    """AdamW that leaves the groups of tasks a step does not use as they are: no momentum, no decay.

    DeepSpeed hands such parameters zero gradients, under which plain AdamW would still move them.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        idle = [parameter for group in self.param_groups if not group["active"] for parameter in group["params"]]
        held = [parameter.grad for parameter in idle]
        for parameter in idle:
            parameter.grad = None
        result = super().step(closure)
        for parameter, gradient in zip(idle, held, strict=True):
            parameter.grad = gradient
        return result


def parameter_groups(loss: MultitaskLoss) -> list[dict[str, Any]]:
    """AdamW's groups, one owner at a time: the encoder, then each task's head and loss weight. Only matrices decay."""
    optim = loss.config.optim
    encoder = list(loss.network.encoder.parameters())
    owners: list[tuple[str | None, float, list[nn.Parameter]]] = [(None, optim.lr, encoder)]
    for task, head in loss.network.heads.items():
        weight = [loss.log_variance[task]] if task in loss.log_variance else []
        owners.append((task, optim.head_lr, [*head.parameters(), *weight]))
    groups = []
    for owner, lr, parameters in owners:
        trained = [p for p in parameters if p.requires_grad]
        for decay, members in (
            (optim.weight_decay, [p for p in trained if p.ndim > 1]),
            (0.0, [p for p in trained if p.ndim <= 1]),
        ):
            if members:
                groups.append(
                    {"params": members, "lr": lr, "peak_lr": lr, "weight_decay": decay, "task": owner, "active": True}
                )
    return groups


class Engine:
    """A DeepSpeed engine over a trial's loss. `close` must be called: ZeRO-2 leaks its buffers otherwise."""

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
            # A lone rank would copy all gradients into one buffer and back, to sum over itself: an eighth of a CPU's step.
            self._engine.enable_backward_allreduce = False
        # DeepSpeed's own takes two or three kernels for each parameter and waits twice for the device. Gradients are summed by
        # now, so their norm is the same on every rank. ZeRO 1 to 3 clip in their optimisers.
        trained = [parameter for parameter in loss.parameters() if parameter.requires_grad]
        self._engine.clip_fp32_gradients = partial(nn.utils.clip_grad_norm_, trained, loss.config.optim.clip_norm, foreach=True)
        # DeepSpeed would unpickle whatever a checkpoint holds.
        self._engine.checkpoint_engine.load = partial(load_tensors, also=(LossScaler, ZeroStageEnum, fragment_address))

    def update(self, update: int, shares: Sequence[Sequence[Batch | PooledBatch]], seeds: Sequence[int]) -> dict[str, Tensor]:
        """One optimiser update from a rank's micro-batches. Returns the mean loss terms of this rank, on the device."""
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
        """Within, every rank holds all weights: ZeRO-3 keeps only a part on each. Every rank enters it."""
        if self.loss.config.engine.zero_stage < 3:
            yield
            return
        import deepspeed

        with deepspeed.zero.GatheredParameters(list(self.loss.network.parameters())):
            yield

    @property
    def n_skipped(self) -> int:
        """Updates that ZeRO 1 and 2 left out because the gradient was not finite; ZeRO 0 makes the weights NaN instead."""
        return int(self._engine.skipped_steps)

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        """Write weights and optimiser state; every rank calls it."""
        self._engine.save_checkpoint(str(folder), tag=CHECKPOINT_TAG, client_state=state, save_latest=False)

    def load(self, folder: Path) -> dict[str, Any]:
        """Read back what `save` wrote, with the same number of ranks, and return its `state`."""
        if not (folder / CHECKPOINT_TAG).is_dir():
            raise FileNotFoundError(f"{folder} holds no checkpoint")
        _, state = self._engine.load_checkpoint(str(folder), tag=CHECKPOINT_TAG)
        return dict(state)

    def close(self) -> None:
        self._engine.destroy()


def deepspeed_config(config: TrialConfig, world_size: int) -> dict[str, Any]:
    """DeepSpeed's JSON configuration. bf16 is autocast inside the loss: the weights and the teacher stay float32."""
    return {
        "train_micro_batch_size_per_gpu": config.optim.batch_size // world_size // config.optim.accumulation,
        "gradient_accumulation_steps": config.optim.accumulation,
        "gradient_clipping": config.optim.clip_norm,
        "zero_optimization": {"stage": config.engine.zero_stage},
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 2**31,
    }
