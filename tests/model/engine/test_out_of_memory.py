"""Out-of-memory errors of the real allocators, and the same update with smaller micro-batches."""

from __future__ import annotations

import pytest
import torch

from model.config import TrialConfig, parse
from model.engine.config import micro_batch, with_smaller_micro_batch
from model.engine.errors import is_out_of_memory

TOO_MUCH = 1 << 60


def config(batch_size: int, accumulation: int = 1) -> TrialConfig:
    return parse({"mixture": ["sst"], "optim": {"batch_size": batch_size, "accumulation": accumulation}})


def test_the_error_of_the_cpu_allocator_is_recognised() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(TOO_MUCH, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)


def test_a_memory_error_is_recognised() -> None:
    with pytest.raises(MemoryError) as refused:
        bytearray(TOO_MUCH)
    assert is_out_of_memory(refused.value)


@pytest.mark.gpu
def test_the_error_of_the_cuda_allocator_is_recognised() -> None:
    with pytest.raises(torch.OutOfMemoryError) as refused:
        torch.empty(TOO_MUCH // 2**10, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(refused.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), OSError(28, "No space")])
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("batch_size", "world_size", "accumulations"),
    [(16, 1, [2, 4, 8, 16]), (16, 2, [2, 4, 8]), (12, 1, [2, 4, 12]), (15, 1, [3, 15]), (6, 2, [3]), (1, 1, []), (4, 4, [])],
)
def test_micro_batches_halve_to_one(batch_size: int, world_size: int, accumulations: list[int]) -> None:
    """Each following size is the largest divisor of a rank's share that is at most half as large."""
    current, found = config(batch_size), []
    while (smaller := with_smaller_micro_batch(current, world_size)) is not None:
        assert micro_batch(smaller, world_size) <= micro_batch(current, world_size) / 2
        assert smaller.gang_problems(world_size) == []
        assert smaller.optim.model_copy(update={"accumulation": 1}) == config(batch_size).optim, "all else is the same"
        found.append(smaller.optim.accumulation)
        current = smaller
    assert found == accumulations
    assert micro_batch(current, world_size) == 1
