"""An encoder's pass without padding, for a CPU: linear maps, norms and dropouts process only the tokens, in one row.

Only attention needs separate sequences: for it the tokens are copied into a padded rectangle and back. Tokens of different
sequences do not interact, so the outputs are those of the padded pass.

Shape legend: N sequences, L positions of each, T tokens in total, D dimensions, H heads of d dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from model.encoder.dropout import dropout as drop

ATTENTION = "sdpa_unpadded"
"""The name of this attention in transformers. Without a `layout` it equals `sdpa`."""


@dataclass(frozen=True)
class Layout:
    """The mapping between N padded sequences and a row of their T tokens, those of the first sequence first."""

    places: Tensor
    """(T,) int64, the position of each token in N·L."""
    tokens: Tensor
    """(N·L,) int64, the token at each position; arbitrary at padding."""
    positions: Tensor
    """(1, T) int64, each token's position in its sequence."""
    bias: Tensor
    """(N, 1, 1, L) float32, added to the attention scores of every position: 0 at tokens, −∞ at padding."""

    @classmethod
    def of(cls, lengths: np.ndarray, width: int) -> Layout:
        """The layout of sequences of `lengths` (N,) tokens, 1 to `width` each, padded at the end to `width` positions."""
        is_token = np.arange(width) < lengths.reshape(-1, 1)
        places = np.flatnonzero(is_token)
        tokens = np.maximum(np.cumsum(is_token) - 1, 0)
        bias = torch.from_numpy(np.where(is_token, np.float32(0), np.float32(-np.inf)))[:, None, None]
        return cls(torch.from_numpy(places), torch.from_numpy(tokens), torch.from_numpy(places % width)[None], bias)

    def unpad(self, padded: Tensor) -> Tensor:
        """Remove the padding, (N, L, D) → (T, D)."""
        return _Unpad.apply(padded.reshape(-1, padded.shape[-1]), self)  # type: ignore[no-any-return, no-untyped-call]

    def pad(self, row: Tensor) -> Tensor:
        """Restore the padding, (T, D) → (N, L, D). Values at padding are finite and have no gradient."""
        padded: Tensor = _Pad.apply(row, self)  # type: ignore[no-untyped-call]
        return padded.view(len(self.bias), self.bias.shape[-1], -1)


class _Unpad(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, padded: Tensor, layout: Layout) -> Tensor:
        context.layout = layout
        return padded.index_select(0, layout.places)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        layout = context.layout
        padded = gradient.new_zeros(len(layout.tokens), gradient.shape[-1])
        return padded.index_copy_(0, layout.places, gradient), None


class _Pad(torch.autograd.Function):
    # torch's gradient of `index_select` adds row by row, which is not needed here: each row occurs once.
    @staticmethod
    def forward(context: Any, row: Tensor, layout: Layout) -> Tensor:
        context.layout = layout
        return row.index_select(0, layout.tokens)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, context.layout.places), None


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    layout: Layout | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' `sdpa` for a row of tokens: query, key and value (1, H, T, d) to (1, T, H, d)."""
    if layout is None:
        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
    rows = (layout.pad(heads.transpose(1, 2).flatten(2)[0]) for heads in (query, key, value))  # (N, L, H·d)
    q, k, v = (row.view(*row.shape[:2], query.shape[1], -1).transpose(1, 2) for row in rows)  # (N, H, L, d)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    bias = layout.bias.to(query.dtype).expand(-1, 1, layout.bias.shape[-1], -1)
    if dropout > 0:
        attended = drop((scale * q @ k.transpose(-1, -2) + bias).softmax(-1), dropout) @ v  # as torch computes it with dropout
    else:
        attended = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    return layout.unpad(attended.transpose(1, 2).flatten(2)).view(1, -1, query.shape[1], query.shape[-1]), None


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
