"""What a regulariser sees of a batch, and what it must give. Shapes as in `model.smart.smoothness`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from model.smart import smoothness as smart


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
    """Draws the random start of δ, (S, B, L, D), zero at padding: the same at every call"""
    forward: Callable[[Tensor], Tensor]
    """Another pass: embeddings (S, B, L, D) to logits (B, C)"""
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

    @property
    def divergence(self) -> smart.Divergence:
        """ℓ_s of the paper."""
        return divergence(is_regression=self.is_regression)


@dataclass(frozen=True)
class Variant:
    """A regulariser: where it looks, and how it measures."""

    delta: Callable[[View], Tensor]
    """δ (S, B, L, D), detached; it touches no parameter's `.grad`."""
    smoothness: Callable[[View, Tensor], Tensor]
    """R_s of each example, (B,), at δ, with the gradient of the weights."""
    moves_input: bool = True
    """Whether δ is more than 0. Where it is not, the passes differ by their dropout masks, which are then never shared."""


def divergence(*, is_regression: bool) -> smart.Divergence:
    """ℓ_s: the symmetric KL divergence, or the squared error of a regression."""
    return smart.squared_error if is_regression else smart.symmetric_kl
