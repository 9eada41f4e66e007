"""Compare two trainings' weights."""

from __future__ import annotations

import torch
from torch import Tensor

from model.training.trial import Training


def weights_of(training: Training) -> dict[str, Tensor]:
    """Student, loss weights and teacher."""
    weights = {name: tensor.clone() for name, tensor in training.loss.state_dict().items()}
    if training.loss.teacher is not None:
        weights |= {f"teacher.{name}": tensor.clone() for name, tensor in training.loss.teacher.network.state_dict().items()}
    return weights


def assert_same_weights(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
