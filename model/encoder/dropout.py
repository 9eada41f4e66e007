"""Faster dropout on a CPU, where torch's takes a tenth of a step: it draws a number of a serial generator for each element."""

from __future__ import annotations

import torch
from torch import Tensor, nn

GRAIN = 2**16
"""Probabilities on a CPU are multiples of 1 / GRAIN: each element uses 16 bits of a 64-bit draw."""


class Dropout(nn.Dropout):
    """`nn.Dropout`, with different masks for the same seed on a CPU."""

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p) if self.training else input


def dropout(tensor: Tensor, p: float) -> Tensor:
    """Set each element to 0 with probability `p`, 0 ≤ p < 1, else divide it by 1 − p, so that the expectation stays.

    The only randomness is torch's generator of the device.
    """
    if tensor.device.type != "cpu":
        return nn.functional.dropout(tensor, p)
    threshold = round(p * GRAIN)
    if threshold == 0:
        return tensor
    n = tensor.numel()
    draws = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[:n].view(tensor.shape)
    kept = (bits >= threshold - GRAIN // 2).to(tensor.dtype)
    return tensor * kept.mul_(GRAIN / (GRAIN - threshold))


def replace_dropout(module: nn.Module) -> None:
    """Replace each `nn.Dropout` within a module by `Dropout`."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p))
