"""The network: one encoder with a head for each task.

Shape legend: S sides (2 for a pair encoded separately, else 1), B examples, L tokens, D dimensions, C outputs of a head.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.config import PairEncoding, TrialConfig
from model.encoder import backbone, unpadded
from model.encoder.dropout import Dropout, replace_dropout
from model.tasks import TASKS, Task


@dataclass(frozen=True)
class Batch:
    """Examples of one task, padded to the longest."""

    task: str
    input_ids: Tensor
    """(S, B, L) int64"""
    mask: Tensor
    """(S, B, L) int64, 1 at tokens and 0 at padding"""
    token_types: Tensor
    """(S, B, L) int64, the segment of each token"""
    labels: Tensor
    """(B,) int64 classes or float32 values"""
    lengths: np.ndarray
    """(S, B) tokens of each side, on the host: computing them from `mask` would synchronise with the device"""
    seeds: np.ndarray
    """(B,) uint64, the seed of each example's noise in this step"""

    @property
    def is_full(self) -> bool:
        """Whether there is no padding."""
        return bool((self.lengths == self.mask.shape[-1]).all())

    @cached_property
    def layout(self) -> unpadded.Layout:
        """The layout of the tokens of all sides in one row, on the CPU."""
        return unpadded.Layout.of(self.lengths.ravel(), self.mask.shape[-1])


@dataclass(frozen=True)
class PooledBatch:
    """Examples of one task, pooled by a frozen encoder (`model.training.features`)."""

    task: str
    pooled: Tensor
    """(S, B, D) float32"""
    labels: Tensor
    """(B,) int64 classes or float32 values"""


Features = Mapping[str, Mapping[str, npt.NDArray[np.float32]]]
"""By task and split: (S, N, D), the pooled sides of every example."""


class CosineHead(nn.Module):
    """An affine map of the cosine of two pooled vectors, (B, D) twice to (B, C).

    Initialised to the decision of an untrained bi-encoder: a regression is `top · cos`, classes have slopes of ±5 around
    cos = 0.75.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        if task.kind == "regression":
            self.scale = nn.Parameter(torch.tensor([float(task.label_range[1])]))
            self.bias = nn.Parameter(torch.zeros(1))
        else:
            self.scale = nn.Parameter(torch.linspace(-5.0, 5.0, task.n_classes))
            self.bias = nn.Parameter(-0.75 * self.scale.detach())

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        cosine = nn.functional.cosine_similarity(left, right, dim=-1)
        return cosine.unsqueeze(-1) * self.scale + self.bias


class MultitaskNetwork(nn.Module):
    """The encoder and its heads. `forward` maps a batch and its word embeddings, perturbed or not, to logits (B, C).

    Under bf16 autocast the encoder computes in bf16 and the heads in the precision of their weights, float32.
    """

    encoder: Any
    """An encoder of transformers, an `nn.Module` without types for mypy."""

    def __init__(
        self, encoder: Any, tasks: Sequence[Task], *, pair_encoding: PairEncoding, pooling: str, dropout: float
    ) -> None:
        super().__init__()
        has_pooler = getattr(encoder, "pooler", None) is not None
        self.has_pooler = has_pooler and pooling == "cls"
        """Whether `pooling: cls` is the pooler's output; for an encoder without one it is the first token's hidden state."""
        self.drops_pooler = hasattr(encoder, "pooler") and pooling == "mean"
        if self.drops_pooler:
            encoder.pooler = None  # otherwise its unused weights would decay
        self.has_segments = backbone.n_segments(encoder) >= 2
        # Other families count positions differently, or attend in another way.
        if encoder.config.model_type == "bert" and encoder.config._attn_implementation == "sdpa":
            encoder.set_attn_implementation(unpadded.ATTENTION)
        replace_dropout(encoder)
        self.encoder = encoder
        self.pooling = pooling
        self.pair_encoding = pair_encoding
        self.dropout = Dropout(dropout)
        dim = int(encoder.config.hidden_size)
        self.heads = nn.ModuleDict({task.name: _head(task, pair_encoding, dim) for task in tasks})

    def sides(self, task: str) -> int:
        """S of a task: 2 if the sentences of its pairs are encoded separately."""
        return 2 if TASKS[task].is_pair and self.pair_encoding != "cross" else 1

    def embed(self, input_ids: Tensor) -> Tensor:
        """Word embeddings, to which δ is added. (S, B, L) → (S, B, L, D) float32."""
        return self.encoder.get_input_embeddings()(input_ids)  # type: ignore[no-any-return]

    def forward(self, batch: Batch, embeddings: Tensor) -> Tensor:
        """Logits from word embeddings. (S, B, L, D) → (B, C)."""
        return self.score(batch.task, self.pool(batch, embeddings))

    def logits(self, batch: Batch | PooledBatch) -> Tensor:
        """Logits of a batch without δ, (B, C); for a pooled batch only the head is computed."""
        if isinstance(batch, PooledBatch):
            return self.score(batch.task, batch.pooled)
        return self(batch, self.embed(batch.input_ids))  # type: ignore[no-any-return]

    def pool(self, batch: Batch, embeddings: Tensor) -> Tensor:
        """Pooled vectors from word embeddings, (S, B, L, D) → (S, B, D). Both sides of a pair share one pass of the encoder.

        The encoder itself adds position and type embeddings and applies its LayerNorm.
        """
        output = self.encode(batch, embeddings)
        if self.pooling == "mean":
            pooled = mean_pool(output.last_hidden_state, batch.mask.view(-1, batch.mask.shape[-1]))
        else:
            pooled = output.pooler_output if self.has_pooler else output.last_hidden_state[:, 0]
        return pooled.view(*embeddings.shape[:2], -1).to(embeddings.dtype)

    def encode(self, batch: Batch, embeddings: Tensor) -> Any:
        """The encoder's output for the S·B sequences of a batch, from word embeddings (S, B, L, D)."""
        length = embeddings.shape[2]
        mask = batch.mask.view(-1, length)
        types = batch.token_types.view(-1, length)
        words = embeddings.flatten(0, 1)
        if self._unpads(batch):
            return self._without_padding(batch, words, types)
        segments = {"token_type_ids": types} if self.has_segments else {}
        return self.encoder(inputs_embeds=words, attention_mask=self._attention_mask(batch, mask), **segments)

    def _unpads(self, batch: Batch) -> bool:
        """Whether to remove padding in this pass: on a GPU the copies cost a small encoder more than the padding."""
        return (
            self.encoder.config._attn_implementation == unpadded.ATTENTION
            and batch.mask.device.type == "cpu"
            and not batch.is_full
        )

    def _without_padding(self, batch: Batch, words: Tensor, types: Tensor) -> Any:
        """The encoder's output, equal to the padded pass except at padding."""
        layout = batch.layout
        output = self.encoder(
            inputs_embeds=layout.unpad(words)[None],
            attention_mask=layout.bias,
            token_type_ids=types.view(1, -1)[:, layout.places],
            position_ids=layout.positions,
            layout=layout,
        )
        output.last_hidden_state = layout.pad(output.last_hidden_state[0])
        if self.pooling == "cls":
            output.pooler_output = self.encoder.pooler(output.last_hidden_state)
        return output

    def _attention_mask(self, batch: Batch, mask: Tensor) -> Tensor | None:
        """The mask that transformers would derive from `mask` (N, L): (N, 1, L, L), or None without padding.

        transformers would read its values, and so synchronise with the device in every pass; here the lengths are known.
        """
        if self.encoder.config._attn_implementation != unpadded.ATTENTION:
            return mask  # other families than BERT derive their own, such as those of sliding windows
        if batch.is_full:
            return None
        length = mask.shape[1]
        return mask.bool()[:, None, None, :].expand(-1, 1, length, -1)

    def score(self, task: str, pooled: Tensor) -> Tensor:
        """The head of a task on its pooled sides. (S, B, D) → (B, C)."""
        head = self.heads[task]
        # Not in bf16: rounded logits would often be equal with and without δ, and its gradient and R_s exactly 0.
        with torch.autocast(pooled.device.type, enabled=False):
            if isinstance(head, CosineHead):
                return head(pooled[0], pooled[1])  # type: ignore[no-any-return]
            return head(self.dropout(torch.cat(tuple(pooled), dim=-1)))  # type: ignore[no-any-return]


B = TypeVar("B", Batch, PooledBatch, Batch | PooledBatch)


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens that are not padding. (N, L, D), (N, L) → (N, D)."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp_min(1)


def _head(task: Task, pair_encoding: PairEncoding, dim: int) -> nn.Module:
    if not task.is_pair or pair_encoding == "cross":
        return nn.Linear(dim, task.n_classes)
    return CosineHead(task) if pair_encoding == "cosine" else nn.Linear(2 * dim, task.n_classes)


def build(config: TrialConfig, encoder: Any = None) -> MultitaskNetwork:
    """The network of a configuration, with pretrained encoder weights and heads initialised from `config.seed`.

    `encoder` replaces the backbone (in tests, or if weights are loaded afterwards). Weights that a checkpoint lacks, such as a
    pooler, are initialised from the seed too, so that all ranks and the teacher start from the same network.
    """
    with torch.random.fork_rng(devices=[]):
        if encoder is None:
            torch.default_generator.manual_seed(config.seed)
            encoder = backbone.load_encoder(config.backbone, dropout=config.optim.dropout)
        torch.default_generator.manual_seed(config.seed)
        network = MultitaskNetwork(
            encoder,
            [TASKS[name] for name in config.mixture],
            pair_encoding=config.pair_encoding,
            pooling=config.pooling,
            dropout=config.optim.dropout,
        )
    if config.mode == "pretrain":
        network.encoder.requires_grad_(False)
    return network


def predictions(task: Task, logits: Tensor) -> Tensor:
    """Class ids (B,) int64 for a classification; values (B,) float32, clipped to the label range, for a regression."""
    if task.kind == "classification":
        return logits.argmax(-1)
    return logits[:, 0].float().clamp(*task.label_range)


def batch_to(batch: B, device: torch.device) -> B:
    """The batch on a device, copied asynchronously."""
    moved: dict[str, Any] = {name: to_device(value, device) for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return dataclasses.replace(batch, **moved)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, copied asynchronously: to a GPU from pinned memory, without which the copy would block."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
