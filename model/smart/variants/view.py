"""The interface of a regulariser: what it gets of a batch and what it computes. Shapes as in `model.smart.smoothness`.

Neither this module nor the variants import torch until they compute: the schema reads the variants' names and facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from model.smart.smoothness import Divergence


@dataclass(frozen=True)
class View:
    """One task's batch after its clean pass."""

    embeddings: Tensor
    """(S, B, L, D) word embeddings, with their gradient"""
    clean: Tensor
    """(B, C) logits of the clean pass, with their gradient"""
    mask: Tensor
    """(S, B, L), 1 at tokens and 0 at padding"""
    start: Callable[[], Tensor]
    """Draws the random start of δ, (S, B, L, D), zero at padding; every call returns the same"""
    forward: Callable[[Tensor], Tensor]
    """Another pass: embeddings (S, B, L, D) to logits (B, C)"""
    divergence: Divergence
    """ℓ_s of the paper"""
    is_regression: bool
    epsilon: float
    eta: float
    steps: int

    def logits_at(self, delta: Tensor) -> Tensor:
        """f(x + δ), with the gradient of the weights."""
        return self.forward(self.embeddings + delta)

    def inner_logits_at(self, delta: Tensor) -> Tensor:
        """f(x + δ) for the search of δ: no gradient reaches the word embeddings."""
        return self.forward(self.embeddings.detach() + delta)


@dataclass(frozen=True)
class Variant:
    """A regulariser R_s."""

    description: str
    """A phrase for the reference."""
    delta: Callable[[View], Tensor]
    """δ (S, B, L, D), detached; it touches no parameter's `.grad`."""
    smoothness: Callable[[View, Tensor], Tensor]
    """R_s of each example, (B,), at δ, with the gradient of the weights."""
    takes_steps: bool = False
    """Whether δ is found by `smart.steps` gradient steps."""
    is_bounded: bool = False
    """Whether δ is projected to ‖δ‖∞ ≤ ε."""
    moves_input: bool = True
    """Whether δ is other than 0. If it is not, the passes differ by their dropout masks alone, which are then never shared."""
