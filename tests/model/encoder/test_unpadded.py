"""Passes without padding compute only the tokens and equal the padded pass."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import RobertaConfig, RobertaModel

from model.encoder import unpadded
from model.encoder.network import MultitaskNetwork
from model.encoder.unpadded import Layout
from model.tasks import TASKS
from tests.support import steps

SEQUENCES = st.lists(st.integers(1, 6), min_size=1, max_size=5)


def is_token(lengths: list[int], width: int) -> Tensor:
    """(N, L)"""
    return torch.arange(width) < torch.tensor(lengths)[:, None]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(SEQUENCES, st.integers(0, 3))
def test_tokens_stand_in_a_row_in_order_and_return_to_their_places(lengths, extra) -> None:
    width = max(lengths) + extra
    layout = Layout.of(np.array(lengths), width)
    padded = torch.arange(len(lengths) * width, dtype=torch.float64).view(len(lengths), width, 1)
    tokens = is_token(lengths, width)
    row = layout.unpad(padded)
    assert torch.equal(row, padded[tokens])
    assert torch.equal(layout.pad(row)[tokens], row)
    assert layout.positions[0].tolist() == [position for length in lengths for position in range(length)]
    assert torch.equal(layout.bias, torch.where(tokens, 0.0, -torch.inf)[:, None, None, :])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(SEQUENCES, st.integers(0, 2))
def test_gradients_go_back_the_same_way(lengths, extra) -> None:
    width = max(lengths) + extra
    layout = Layout.of(np.array(lengths), width)
    tokens = is_token(lengths, width)[..., None]
    generator = torch.Generator().manual_seed(0)
    padded = torch.randn(len(lengths), width, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    row = torch.randn(sum(lengths), 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layout.unpad, padded)
    assert torch.autograd.gradcheck(lambda row: layout.pad(row) * tokens, row)


@pytest.mark.parametrize(
    ("task", "pair_encoding", "pooling"),
    [
        (task, encoding, pooling)
        for task, encoding, pooling in itertools.product(TASKS, ["cosine", "concat_pooled", "cross"], ["mean", "cls"])
        if TASKS[task].is_pair or encoding == "cosine"
    ],
)
def test_a_smart_step_is_that_of_the_padded_pass(tiny_backbone, task, pair_encoding, pooling) -> None:
    smart = {**steps.WIDE, "mu": 1.0, "steps": 2}
    loss = steps.loss_of(tiny_backbone, double=True, mixture=[task], pair_encoding=pair_encoding, pooling=pooling, smart=smart)
    assert loss.teacher is not None
    steps.shift(loss.teacher.network, 1e-2)
    batch = steps.padded(steps.batch_of(loss.config, task), 2)
    seen: list[int] = []
    query = next(module for name, module in loss.network.encoder.named_modules() if name.endswith(".query"))
    query.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[:-1].numel()))

    value, gradients = steps.run(loss, [batch])
    assert set(seen) == {batch.lengths.sum()}
    for network in (loss.network, loss.teacher.network):
        network.encoder.set_attn_implementation("sdpa")
    seen.clear()
    expected, of_padded = steps.run(loss, [batch])
    assert set(seen) == {batch.mask.numel()}

    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0.0)
    assert gradients.keys() == of_padded.keys()
    largest = max(float(gradient.abs().max()) for gradient in of_padded.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, of_padded[name], rtol=1e-8, atol=1e-12 * largest, msg=name)


def test_a_batch_without_padding_is_passed_as_it_is(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, mixture=["sst"])
    batch = steps.batch_of(loss.config, "sst", [0])
    assert not loss.network._unpads(batch)
    assert loss.network._unpads(steps.padded(batch, 1))


def test_dropout_draws_for_tokens_alone_and_the_same_in_both_passes(tiny_backbone) -> None:
    """The masks of the clean and the adversarial pass are shared, so that δ = 0 gives R_s = 0."""
    loss = steps.loss_of(tiny_backbone, double=True, dropout=0.3, mixture=["sts"], smart={"sigma": 0.0, "steps": 0, "mu": 0.0})
    loss([steps.batch_of(loss.config, "sts")], seed=0)
    assert loss.terms["sts/smoothness"] == 0.0


def test_an_encoder_that_counts_its_positions_otherwise_stays_padded() -> None:
    config = RobertaConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, type_vocab_size=2
    )
    network = MultitaskNetwork(RobertaModel(config), [TASKS["sst"]], pair_encoding="cosine", pooling="cls", dropout=0.0)
    assert network.encoder.config._attn_implementation == "sdpa"


def test_the_saved_configuration_does_not_name_it(tiny_backbone) -> None:
    network = steps.loss_of(tiny_backbone, mixture=["sst"]).network
    assert network.encoder.config._attn_implementation == unpadded.ATTENTION
    assert unpadded.ATTENTION not in str(network.encoder.config.to_dict())


def test_attention_without_padding_drops_weights_as_torchs_does() -> None:
    """With p below the resolution of 16 bits nothing is dropped; above it draws differ, with the same mean."""
    generator = torch.Generator().manual_seed(0)
    layout = Layout.of(np.array([3, 5]), 5)
    query, key, value = torch.randn(3, 1, 2, 8, 4, generator=generator, dtype=torch.float64)
    module = torch.nn.Module()

    def found(p: float, scaling: float | None = None) -> Tensor:
        return unpadded.attention(module, query, key, value, layout.bias, p, scaling, layout)[0]

    for scaling in (None, 0.3):
        torch.testing.assert_close(found(1e-9, scaling), found(0.0, scaling))
    assert not torch.allclose(found(0.0), found(0.0, 0.3))
    torch.manual_seed(0)
    draws = torch.stack([found(0.3) for _ in range(4000)])
    assert not torch.equal(draws[0], draws[1])
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - found(0.0)).abs() < 5 * error).all()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_evaluation_computes_no_padding_either(tiny_backbone, pooling) -> None:
    loss = steps.loss_of(tiny_backbone, mixture=["sts"], pooling=pooling, pair_encoding="concat_pooled")
    batch = steps.batch_of(loss.config, "sts")
    seen: list[int] = []
    query = next(module for name, module in loss.network.encoder.named_modules() if name.endswith(".query"))
    query.register_forward_hook(lambda _, inputs, output: seen.append(output.shape[:-1].numel()))
    with torch.no_grad():
        loss.network.eval().logits(batch)
    assert seen == [batch.lengths.sum()]
    assert batch.lengths.sum() < batch.mask.numel()
