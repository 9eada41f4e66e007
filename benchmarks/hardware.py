"""What a benchmark knows of an encoder and of a device: their arithmetic, and a clock that waits for the device."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

    from model.training.trial import Training

RATE_S = 1.0
"""How long a matrix product is measured."""
STATED = {"fp32": 67e12, "tf32": 494.7e12, "bf16": 989.4e12}
"""Operations per second of a dense product on an H100 or H200 (SXM), by NVIDIA's datasheet."""


@dataclass(frozen=True)
class Shape:
    """A BERT, as far as its arithmetic goes."""

    layers: int
    hidden: int
    heads: int
    intermediate: int

    @property
    def weights(self) -> int:
        """Entries of the matrices that every token is multiplied by: in a layer four of attention, two of the rest."""
        return self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.intermediate)

    def forward_flops(self, lengths: np.ndarray) -> float:
        """Operations of one forward pass over sequences of these lengths, of any shape; a product and a sum are two.

        Lookups, norms, activations, softmax, pooler and heads are left out: below 2 % of a BERT-base.
        """
        n = np.asarray(lengths, dtype=float)
        return float((2 * self.weights * n + 4 * self.layers * self.hidden * n**2).sum())

    @classmethod
    def of(cls, config: Any) -> Shape:
        """That of a transformers configuration."""
        return cls(config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size)


SHAPES = {
    "bert-base": Shape(12, 768, 12, 3072),
    "minilm": Shape(6, 384, 12, 1536),  # that of the embedded backbone
    "tiny": Shape(2, 32, 2, 64),
}


def write_backbone(shape: Shape, folder: Path) -> Path:
    """A randomly drawn BERT of a shape with the embedded backbone's tokenizer, in the form of a hub folder."""
    import torch
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    from model.encoder import backbone

    logging.disable_progress_bar()
    config = BertConfig(
        vocab_size=30522,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    backbone.load_tokenizer("embedded").save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Work:
    """What plain updates do, all together."""

    examples: int
    useful_tokens: int
    padded_tokens: int
    """Padding included."""
    useful_flops: float
    """Three forward passes' worth on tokens that are no padding."""
    padded_flops: float


def work_of(training: Training, steps: range) -> Work:
    """The work of a training's updates, as plain ones: counted from their batches."""
    from model.encoder.network import Batch
    from model.training.batches import micro_batches

    shape = Shape.of(training.loss.network.encoder.config)
    examples = useful = padded = 0
    useful_flops = padded_flops = 0.0
    for step in steps:
        for share in micro_batches(training.data, training.config, training.schedule, step, 0, 1):
            for batch in share:
                assert isinstance(batch, Batch)
                widths = np.full_like(batch.lengths, batch.input_ids.shape[-1])
                examples += len(batch.labels)
                useful += int(batch.lengths.sum())
                padded += int(widths.sum())
                useful_flops += 3 * shape.forward_flops(batch.lengths)
                padded_flops += 3 * shape.forward_flops(widths)
    return Work(examples, useful, padded, useful_flops, padded_flops)


def now(device: torch.device) -> float:
    """Seconds on the host's clock, when the device has done what it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def matmul_rate(
    n_rows: int, n_in: int, n_out: int, device: torch.device, precision: str = "fp32", seconds: float = RATE_S
) -> float:
    """Operations per second of a matrix product (rows, in) × (in, out) of random numbers; `precision` as in `STATED`."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left = torch.randn(n_rows, n_in, device=device, dtype=dtype)
    right = torch.randn(n_in, n_out, device=device, dtype=dtype)
    with_tf32(precision == "tf32")
    for _ in range(3):
        left @ right
    began, n = now(device), 0
    while time.perf_counter() - began < seconds:
        for _ in range(10 if device.type == "cuda" else 1):
            left @ right
        n += 10 if device.type == "cuda" else 1
        now(device)
    ended = now(device)
    with_tf32(False)
    return n * 2.0 * n_rows * n_in * n_out / (ended - began)


def with_tf32(on: bool) -> None:
    """Whether float32 matrix products on a GPU keep 10 bits of their factors' 23."""
    import torch

    torch.set_float32_matmul_precision("high" if on else "highest")
