"""A collective over the process group that `engine.join` made, checked against its known result."""

from __future__ import annotations

import torch

from model.engine.deepspeed import Rank

N_VALUES = 1 << 20
"""4 MiB in float32: enough for the transport that gradients take."""


def all_reduce(rank: Rank) -> str:
    """Sum a vector over all ranks, each of which gives its number plus 1. Returns the backend's name.

    Raises RuntimeError when the sum is another, or the collective itself does.
    """
    values = torch.full((N_VALUES,), float(rank.rank + 1), device=rank.device)
    torch.distributed.all_reduce(values)
    expected = rank.world_size * (rank.world_size + 1) / 2
    if not bool((values == expected).all()):
        raise RuntimeError(f"the sum over {rank.world_size} ranks should be {expected:g} and is {float(values.mean()):g}")
    return {"nccl": "NCCL"}.get(torch.distributed.get_backend(), str(torch.distributed.get_backend()))
