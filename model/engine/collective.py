"""Collectives between ranks: a self-test, and recognising one that failed. Importing this module does not load torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.engine.deepspeed import Rank

GLOO_SOURCE = "gloo/transport"
"""The source file that gloo names in its RuntimeErrors, for a peer's time-out as well as for a broken connection."""
GLOO_TIMEOUT = "Timed out"
_SOURCE_PREFIX = re.compile(r"^\[[^]]*\] ")
N_VALUES = 1 << 20
"""Length of the self-test's vector: 4 MiB in float32, enough to use the same transport as gradients."""


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


def all_reduce(rank: Rank) -> str:
    """Sum a vector of the rank's number plus 1 over all ranks, in the joined process group. Returns the backend's name.

    Raises RuntimeError if the sum is wrong or the collective fails.
    """
    import torch

    values = torch.full((N_VALUES,), float(rank.rank + 1), device=rank.device)
    torch.distributed.all_reduce(values)
    expected = rank.world_size * (rank.world_size + 1) / 2
    if not bool((values == expected).all()):
        raise RuntimeError(f"the sum over {rank.world_size} ranks should be {expected:g} and is {float(values.mean()):g}")
    backend = str(torch.distributed.get_backend())
    return backend.upper() if backend == "nccl" else backend
