"""Assemble a batch of token ids from a tokenised split: special tokens, segment ids, padding. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.data.tokenised import Ragged, TokenizedSplit

Int64 = npt.NDArray[np.int64]
Segments = Sequence[npt.NDArray[np.int32]]
"""One text, or two for a pair in one sequence."""


@dataclass(frozen=True)
class Encoded:
    """One input of the encoder; all arrays are (batch, seq) int64."""

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
) -> list[Encoded]:
    """The examples at `indices` as encoder inputs, padded to the longest of the batch and never above max_length.

    A sentence gives one `Encoded`, [CLS] a [SEP]. A pair gives one with `cross`, [CLS] a [SEP] b [SEP] cut longest first, and
    otherwise two, one for each side.
    """
    together = [split.texts] if cross else [(text,) for text in split.texts]
    return [_encode(_gather(texts, indices, max_length), cls_id, sep_id, pad_id) for texts in together]


def longest_first(n_a: int, n_b: int, room: int) -> tuple[int, int]:
    """Tokens of a and of b to keep so that both fit into `room`: the longer is cut down to the shorter, then both alike.

    The odd token goes to the longer one, as in the `tokenizers` library; of two equally long ones to b.
    """
    if n_a + n_b <= room:
        return n_a, n_b
    short = min(n_a, n_b, room // 2)
    return (room - short, short) if n_a > n_b else (short, room - short)


def _gather(texts: Sequence[Ragged], indices: Sequence[int] | npt.NDArray[np.integer], max_length: int) -> list[Segments]:
    """The segments of each example, cut to fit max_length with [CLS] and one [SEP] for each segment."""
    room = max_length - 1 - len(texts)
    examples: list[Segments] = []
    for i in indices:
        segments = [text[int(i)] for text in texts]
        kept = (room,) if len(segments) == 1 else longest_first(len(segments[0]), len(segments[1]), room)
        examples.append([segment[:n] for segment, n in zip(segments, kept, strict=True)])
    return examples


def _encode(examples: Sequence[Segments], cls_id: int, sep_id: int, pad_id: int) -> Encoded:
    seq = max((1 + sum(len(segment) + 1 for segment in segments) for segments in examples), default=0)
    input_ids = np.full((len(examples), seq), pad_id, dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    token_type_ids = np.zeros_like(input_ids)
    for row, segments in enumerate(examples):
        input_ids[row, 0] = cls_id
        end = 1
        for kind, segment in enumerate(segments):
            begin, end = end, end + len(segment) + 1
            input_ids[row, begin : end - 1] = segment
            input_ids[row, end - 1] = sep_id
            token_type_ids[row, begin:end] = kind
        attention_mask[row, :end] = 1
    return Encoded(input_ids, attention_mask, token_type_ids)
