"""Out-of-memory errors: how to recognise them, and the same update with smaller micro-batches."""

from __future__ import annotations

from model.config import TrialConfig, parse

ALLOCATOR_MESSAGES = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""Parts of the RuntimeErrors that PyTorch's CPU and CUDA allocators and CUDA's libraries raise."""


class OutOfMemory(Exception):  # noqa: N818  # a state of the rank, not a bug
    """A rank has too little memory for its share of an update. Its text is one line."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a rank's error means that its device or its host is out of memory."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in ALLOCATOR_MESSAGES)


def micro_batch(config: TrialConfig, world_size: int) -> int:
    """Examples of one task in one forward pass of a rank."""
    return config.optim.batch_size // (world_size * config.optim.accumulation)


def with_smaller_micro_batch(config: TrialConfig, world_size: int) -> TrialConfig | None:
    """The same updates from micro-batches of half the size, or the next smaller divisor; None if the size is 1 already."""
    share = config.optim.batch_size // world_size
    twice = 2 * config.optim.accumulation
    finer = next((count for count in range(twice, share + 1) if share % count == 0), None)
    if finer is None:
        return None
    values = config.to_dict()
    return parse({**values, "optim": {**values["optim"], "accumulation": finer}})
