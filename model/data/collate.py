"""Assemble a batch of token ids from a tokenised split: special tokens, segment ids, padding. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.data.tokenised import Ragged, TokenizedSplit

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Encoded:
    """Inputs of the encoder, (sides, batch, seq) int64 each. A pair encoded separately has two sides, all else one."""

    input_ids: Int64
    attention_mask: Int64
    """1 at tokens, 0 at padding."""
    token_type_ids: Int64
    """0 for the first sentence and for padding, 1 for the second with its [SEP]."""


def assemble(
    split: TokenizedSplit,
    indices: Sequence[int] | npt.NDArray[np.integer],
    *,
    cross: bool,
    cls_id: int,
    sep_id: int,
    pad_id: int,
    max_length: int,
) -> Encoded:
    """The examples at `indices` (B,) as encoder inputs, padded to the longest of the batch and never above max_length.

    A sentence is [CLS] a [SEP]. A pair is [CLS] a [SEP] b [SEP] with `cross`, truncated longest first, else a sentence on each
    of two sides.
    """
    rows = np.asarray(indices, dtype=np.int64)
    sides: Sequence[Sequence[Ragged]] = [split.texts] if cross else [(text,) for text in split.texts]
    lengths = [_lengths(texts, rows, max_length) for texts in sides]
    seq = max(int((1 + (kept + 1).sum(0)).max(initial=1)) for kept in lengths)
    input_ids = np.full((len(sides), len(rows), seq), pad_id, dtype=np.int64)
    attention_mask, token_type_ids = np.zeros_like(input_ids), np.zeros_like(input_ids)
    input_ids[:, :, 0] = cls_id
    columns = np.arange(seq)
    for side, (texts, kept) in enumerate(zip(sides, lengths, strict=True)):
        end = np.ones((len(rows), 1), dtype=np.int64)
        for segment, (text, n) in enumerate(zip(texts, kept[:, :, None], strict=True)):
            begin, end = end, end + n + 1  # its [SEP] included
            in_segment = (columns >= begin) & (columns < end)
            token_type_ids[side][in_segment] = segment
            input_ids[side][in_segment] = sep_id
            tokens = in_segment & (columns < end - 1)
            input_ids[side][tokens] = text.values[(text.offsets[rows, None] - begin + columns)[tokens]]
        attention_mask[side] = columns < end
    return Encoded(input_ids, attention_mask, token_type_ids)


def longest_first(n_a: Int64, n_b: Int64, room: int) -> tuple[Int64, Int64]:
    """Tokens of a and of b to keep so that both fit into `room`: the longer is cut to the length of the shorter, then both.

    The odd token goes to the longer one, as in the `tokenizers` library, or to b if both are equally long.
    """
    short = np.minimum(np.minimum(n_a, n_b), room // 2)
    kept_a = np.where(n_a > n_b, room - short, short)
    fits = n_a + n_b <= room
    return np.where(fits, n_a, kept_a), np.where(fits, n_b, room - kept_a)


def _lengths(texts: Sequence[Ragged], rows: Int64, max_length: int) -> Int64:
    """(segments, B): tokens to keep of each segment, so that they fit into max_length with [CLS] and a [SEP] after each."""
    room = max_length - 1 - len(texts)
    whole = [text.offsets[rows + 1] - text.offsets[rows] for text in texts]
    return np.stack([np.minimum(whole[0], room)] if len(whole) == 1 else longest_first(whole[0], whole[1], room))
