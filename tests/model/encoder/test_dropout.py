"""Dropout with 16 bits per element has the probability, scale, gradient and generator of torch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from model.encoder.dropout import GRAIN, Dropout, dropout, replace_dropout

N = 400_003
"""Not a multiple of the four elements that share a draw."""


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_each_element_is_kept_with_its_probability(p: float) -> None:
    torch.manual_seed(0)
    kept = (dropout(torch.ones(N), p) != 0).numpy()
    assert stats.binomtest(int(kept.sum()), N, 1 - p).pvalue > 1e-3
    # Neither the four elements of a draw nor neighbours know of each other.
    for lag in (1, 2, 3, 4):
        assert abs(np.corrcoef(kept[:-lag], kept[lag:])[0, 1]) < 4 / np.sqrt(N)
    for lane in range(4):
        assert stats.binomtest(int(kept[lane::4].sum()), len(kept[lane::4]), 1 - p).pvalue > 1e-3


@pytest.mark.parametrize("p", [0.1, 0.25, 2 / GRAIN])
def test_what_is_kept_is_scaled_so_that_the_expectation_stays(p: float) -> None:
    torch.manual_seed(0)
    found = dropout(torch.full((1000, 3), 2.0, dtype=torch.float64), p)
    torch.testing.assert_close(found.max(), torch.tensor(2.0 / (1 - p), dtype=torch.float64), rtol=1 / GRAIN, atol=0.0)
    assert set(found.unique().tolist()) <= {0.0, float(found.max())}
    # Exactly 1 / (1 − p) of the probability that is drawn with, not of the one asked for.
    assert float(found.max()) == 2.0 * GRAIN / (GRAIN - round(p * GRAIN))


def test_the_gradient_has_the_mask_of_the_output() -> None:
    tensor = torch.randn(50, 7, requires_grad=True)
    found = dropout(tensor, 0.4)
    found.sum().backward()
    torch.testing.assert_close(tensor.grad * tensor.detach(), found.detach())


def test_it_draws_from_the_seeded_generator_whatever_the_number_of_threads() -> None:
    tensor = torch.randn(300, 300)
    found = []
    n_threads = torch.get_num_threads()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(3)
            found.append(dropout(tensor, 0.1))
    finally:
        torch.set_num_threads(n_threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])
    assert not torch.equal(dropout(tensor, 0.1), found[0])


def test_evaluation_and_a_probability_of_0_change_nothing_and_draw_nothing() -> None:
    tensor = torch.randn(5, 5)
    before = torch.get_rng_state()
    assert torch.equal(Dropout(0.3).eval()(tensor), tensor)
    assert torch.equal(Dropout(0.0).train()(tensor), tensor)
    assert torch.equal(before, torch.get_rng_state())


def test_replace_dropout_replaces_every_dropout_of_a_module_only() -> None:
    module = nn.Sequential(nn.Dropout(0.2), nn.ModuleDict({"inner": nn.Dropout(0.4), "channels": nn.Dropout1d(0.1)}))
    replace_dropout(module)
    assert [(type(child), child.p) for child in module.modules() if hasattr(child, "p")] == [
        (Dropout, 0.2),
        (Dropout, 0.4),
        (nn.Dropout1d, 0.1),
    ]


def test_bf16_stays_bf16() -> None:
    assert dropout(torch.ones(4, 4, dtype=torch.bfloat16), 0.5).dtype is torch.bfloat16
