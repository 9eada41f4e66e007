"""Collectives that break: how it is known that a rank was waited for in vain, or was lost."""

from __future__ import annotations

import re

GLOO_SAYS = "gloo/transport"
"""The source that gloo names in its plain RuntimeErrors, whether a peer was silent for too long or its connection broke."""
LATE = "Timed out"
_WHERE = re.compile(r"^\[[^]]*\] ")
TIMEOUT_S = 600.0
"""How long a collective may take where nobody says."""


class CollectiveError(Exception):
    """A rank had to give up a collective. Its text is one line."""


def is_broken_collective(error: BaseException) -> bool:
    """Whether a rank's error says that the others did not answer. Where NCCL finds that, it ends the process instead."""
    import torch

    broken = isinstance(error, RuntimeError) and GLOO_SAYS in str(error)
    return broken or isinstance(error, torch.distributed.DistError)


def in_words(error: BaseException, limit_s: float) -> str:
    """Such an error for the record."""
    if LATE in str(error):
        return f"a rank did not answer the others for {limit_s:g} s (--collective-timeout)"
    first = str(error).partition("\n")[0]
    return f"the ranks lost each other ({_WHERE.sub('', first)})"
