"""Errors of ranks: how to recognise that memory ran out or a collective failed. Importing this module does not load torch."""

from __future__ import annotations

import re

ALLOCATOR_MESSAGES = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""Parts of the RuntimeErrors that PyTorch's CPU and CUDA allocators and CUDA's libraries raise."""
GLOO_SOURCE = "gloo/transport"
"""The source file that gloo names in its RuntimeErrors, for a peer's time-out as well as for a broken connection."""
GLOO_TIMEOUT = "Timed out"
_SOURCE_PREFIX = re.compile(r"^\[[^]]*\] ")


class OutOfMemory(Exception):  # noqa: N818  # a state of the rank, not a bug
    """A rank has too little memory for its share of an update. Its text is one line."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a rank's error means that its device or its host is out of memory."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error) for message in ALLOCATOR_MESSAGES)


class CollectiveError(Exception):
    """A collective of a rank failed. Its text is one line."""


def is_broken_collective(error: BaseException) -> bool:
    """Whether a rank's error means that other ranks did not answer. NCCL ends the process instead of raising."""
    import torch

    is_gloo = isinstance(error, RuntimeError) and GLOO_SOURCE in str(error)
    return is_gloo or isinstance(error, torch.distributed.DistError)


def describe_error(error: BaseException, limit_s: float) -> str:
    """An error that `is_broken_collective` recognises, as one line; limit_s: the limit that was in force."""
    if GLOO_TIMEOUT in str(error):
        return f"a rank did not answer the others for {limit_s:g} s (--collective-timeout)"
    first_line = str(error).partition("\n")[0]
    return f"the ranks lost connection ({_SOURCE_PREFIX.sub('', first_line)})"
