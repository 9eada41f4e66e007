"""Running out of memory: how it is known, and how the same update fits into less of it."""

from __future__ import annotations

from model.config import TrialConfig, parse

ALLOCATORS_SAY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""PyTorch's allocators of the CPU and of CUDA, and CUDA's libraries, raise plain RuntimeErrors with these words."""


class OutOfMemory(Exception):  # noqa: N818  # the state of a rank, not a mistake
    """A rank has no memory for its share of an update. Its text is one line."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a rank says that there is no memory, on its device or its host."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ALLOCATORS_SAY)


def micro_batch(config: TrialConfig, world_size: int) -> int:
    """Examples of one task in one forward pass of a rank."""
    return config.optim.batch_size // (world_size * config.optim.accumulation)


def with_smaller_micro_batch(config: TrialConfig, world_size: int) -> TrialConfig | None:
    """The same updates from micro-batches of half the size, or the next smaller that divides; None where it is 1 already."""
    share = config.optim.batch_size // world_size
    twice = 2 * config.optim.accumulation
    finer = next((count for count in range(twice, share + 1) if share % count == 0), None)
    if finer is None:
        return None
    values = config.to_dict()
    return parse({**values, "optim": {**values["optim"], "accumulation": finer}})
