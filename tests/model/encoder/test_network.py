"""The network: encodings of a pair, pooling, modes, and the properties of every task, encoding and mode."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from model.encoder.network import CosineHead, MultitaskNetwork, build, mean_pool, predictions
from model.tasks import TASKS
from tests.support import steps, tiny

EVERY = list(TASKS)
PAIRS = [name for name, task in TASKS.items() if task.is_pair]
ENCODINGS = ["concat_pooled", "cosine", "cross"]


def logits_of(network: MultitaskNetwork, batch) -> Tensor:
    return network(batch, network.embed(batch.input_ids))


def pooled_alone(network: MultitaskNetwork, batch, side: int) -> Tensor:
    """(B, D): one side of a batch encoded by itself from its token ids."""
    mask = batch.mask[side]
    output = network.encoder(batch.input_ids[side], attention_mask=mask, token_type_ids=batch.token_types[side])
    return output.pooler_output if network.pooling == "cls" else mean_pool(output.last_hidden_state, mask)


@pytest.mark.parametrize(
    ("task", "pair_encoding", "pooling", "mode"),
    list(itertools.product(EVERY, ENCODINGS, ["cls", "mean"], ["finetune", "pretrain"])),
)
def test_contract_of_every_task_encoding_pooling_and_mode(tiny_backbone, task, pair_encoding, pooling, mode) -> None:
    visible = {"epsilon": 1e-3, "sigma": 1e-3}  # the random encoder's cosines are so near 1 that float32 needs this much
    loss = steps.loss_of(tiny_backbone, mixture=[task], pair_encoding=pair_encoding, pooling=pooling, mode=mode, smart=visible)
    batch = steps.batch_of(loss.config, task, range(4))
    assert len(batch.input_ids) == loss.network.sides(task) == (2 if task in PAIRS and pair_encoding != "cross" else 1)
    assert logits_of(loss.network, batch).shape == (4, TASKS[task].n_classes)
    value, gradients = steps.run(loss, [batch])
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert any(name.startswith("network.encoder") for name in gradients) is (mode == "finetune")

    loss.zero_grad()
    smooth = steps.smoothness(loss, batch)
    assert (smooth > 0).all()
    smooth.mean().backward()
    assert any(p.grad is not None and p.grad.any() for p in loss.network.heads[task].parameters())


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("task", PAIRS)
def test_both_sides_in_one_pass_are_each_side_alone_in_order(tiny_backbone, task, pooling) -> None:
    network = steps.loss_of(tiny_backbone, double=True, mixture=[task], pair_encoding="concat_pooled", pooling=pooling).network
    batch = steps.batch_of(tiny.config(tiny_backbone, pair_encoding="concat_pooled"), task)
    left, right = (pooled_alone(network, batch, side) for side in (0, 1))
    head = network.heads[task]
    assert head.in_features == 2 * left.shape[-1]
    torch.testing.assert_close(logits_of(network, batch), head(torch.cat([left, right], -1)))
    assert not torch.allclose(head(torch.cat([right, left], -1)), head(torch.cat([left, right], -1)))


@pytest.mark.parametrize("task", PAIRS)
def test_cosine_starts_as_the_untrained_bi_encoder_decides(tiny_backbone, task) -> None:
    network = steps.loss_of(tiny_backbone, double=True, mixture=[task], pair_encoding="cosine").network
    batch = steps.batch_of(tiny.config(tiny_backbone), task)
    left, right = (pooled_alone(network, batch, side) for side in (0, 1))
    cosine = (left * right).sum(-1) / (left.norm(dim=-1) * right.norm(dim=-1))
    logits = logits_of(network, batch)
    if TASKS[task].kind == "regression":
        torch.testing.assert_close(logits[:, 0], 5.0 * cosine)
    else:
        torch.testing.assert_close(logits[:, 1] - logits[:, 0], 10.0 * (cosine - 0.75))


def test_cosine_is_symmetric_bounded_and_one_for_equal_sides() -> None:
    head = CosineHead(TASKS["sts"])
    left, right = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(left, right), head(right, left))
    torch.testing.assert_close(head(left, 3 * left), torch.full((8, 1), 5.0))
    assert head(left, right).abs().max() <= 5.0 + 1e-5


@pytest.mark.parametrize("task", PAIRS)
def test_cross_is_one_sequence_with_segments_that_attend_to_each_other(tiny_backbone, task) -> None:
    loss = steps.loss_of(tiny_backbone, double=True, mixture=[task], pair_encoding="cross")
    data = tiny.data()
    texts = data.tasks[task]["train"].texts
    shortest = int(sum(text.lengths for text in texts).argmin())
    batch = steps.batch_of(loss.config, task, [shortest])
    assert batch.input_ids.shape[:2] == (1, 1)
    first, second = (text[shortest].tolist() for text in texts)
    assert batch.input_ids[0, 0].tolist() == [data.cls_id, *first, data.sep_id, *second, data.sep_id]
    assert batch.token_types[0, 0].tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert loss.network.heads[task].in_features == 32
    embeddings = loss.network.embed(batch.input_ids)[0].detach().requires_grad_()
    hidden = loss.network.encoder(inputs_embeds=embeddings, token_type_ids=batch.token_types[0]).last_hidden_state
    (reached,) = torch.autograd.grad(hidden[0, 1].square().sum(), embeddings)
    assert reached[0, -2].any()  # the first sentence's first token sees the second's last


def test_segments_reach_the_encoder(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, mixture=["quora"], pair_encoding="cross")
    batch = steps.batch_of(loss.config, "quora")
    without = type(batch)(**{**vars(batch), "token_types": torch.zeros_like(batch.token_types)})
    assert not torch.allclose(logits_of(loss.network, batch), logits_of(loss.network, without))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 4), st.integers(0, 2**31))
def test_mean_pooling_is_the_mean_over_tokens_alone(lengths, extra, seed) -> None:
    generator = torch.Generator().manual_seed(seed)
    length = max(lengths) + extra
    hidden = torch.randn(len(lengths), length, 3, generator=generator, dtype=torch.float64)
    mask = (torch.arange(length) < torch.tensor(lengths).unsqueeze(-1)).long()
    found = mean_pool(hidden, mask)
    for row, n_tokens in enumerate(lengths):
        torch.testing.assert_close(found[row], hidden[row, :n_tokens].mean(0))
    noisy = torch.where(mask.bool().unsqueeze(-1), hidden, 1e3 * torch.randn(hidden.shape, generator=generator).double())
    torch.testing.assert_close(mean_pool(noisy, mask), found)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("pair_encoding", ENCODINGS)
def test_logits_ignore_padding_and_batch_mates(tiny_backbone, pair_encoding, pooling) -> None:
    loss = steps.loss_of(tiny_backbone, double=True, mixture=EVERY, pair_encoding=pair_encoding, pooling=pooling)
    for task in EVERY:
        among = logits_of(loss.network, steps.batch_of(loss.config, task, range(5)))[3:4]
        alone = steps.batch_of(loss.config, task, [3])
        torch.testing.assert_close(logits_of(loss.network, alone), among)
        torch.testing.assert_close(logits_of(loss.network, steps.padded(alone, 9)), among)


@pytest.mark.parametrize("indices", [[0, 1, 2, 3], [0]], ids=["padded", "no padding"])
def test_the_mask_is_what_transformers_makes_of_it(tiny_backbone, indices) -> None:
    """Bit for bit, although transformers does not read the mask's values."""
    loss = steps.loss_of(tiny_backbone)
    network, batch = loss.network.eval(), steps.batch_of(loss.config, "sst", indices)
    assert (batch.mask == 1).all() == (len(indices) == 1)
    assert torch.equal(network.pool(batch, network.embed(batch.input_ids))[0], pooled_alone(network, batch, 0))


def test_mean_pooling_has_no_pooler_and_cls_uses_it(tiny_backbone) -> None:
    assert build(tiny.config(tiny_backbone, pooling="mean")).encoder.pooler is None
    loss = steps.loss_of(tiny_backbone, mixture=["sst"], pooling="cls")
    _, gradients = steps.run(loss, steps.batches_of(loss.config))
    assert gradients["network.encoder.pooler.dense.weight"].any()


def without_pooler(tiny_backbone: Path, folder: Path) -> Path:
    """The tiny encoder without weights for the pooler, as in many checkpoints."""
    from transformers import BertModel

    BertModel.from_pretrained(tiny_backbone, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("has_pooler", [True, False])
def test_build_is_a_function_of_the_seed_and_leaves_the_global_stream_alone(tiny_backbone, tmp_path, has_pooler) -> None:
    backbone = tiny_backbone if has_pooler else without_pooler(tiny_backbone, tmp_path)
    networks = []
    for global_seed, seed in ((1, 7), (2, 7), (2, 8)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        config = tiny.config(backbone, mixture=EVERY, pooling="cls", pair_encoding="concat_pooled", seed=seed)
        networks.append(dict(build(config).named_parameters()))
        assert torch.equal(torch.get_rng_state(), before)
    steps.assert_same(networks[0], networks[1])
    drawn = [f"heads.{task}.weight" for task in EVERY] + ([] if has_pooler else ["encoder.pooler.dense.weight"])
    assert not any(torch.equal(networks[1][name], networks[2][name]) for name in drawn)
    word = "encoder.embeddings.word_embeddings.weight"
    assert torch.equal(networks[1][word], networks[2][word])


def test_heads_are_the_same_whether_the_encoder_is_loaded_or_given(tiny_backbone, tmp_path) -> None:
    config = tiny.config(without_pooler(tiny_backbone, tmp_path), mixture=EVERY, pooling="cls")
    loaded = build(config)
    steps.assert_same(dict(build(config, loaded.encoder).heads.named_parameters()), dict(loaded.heads.named_parameters()))


def test_pretrain_freezes_the_encoder_and_keeps_its_features_fixed(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.5, mode="pretrain", mixture=EVERY, pair_encoding="concat_pooled")
    encoder = loss.network.encoder
    loss.eval()
    loss.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(p.requires_grad for p in encoder.parameters())
    assert loss.network.dropout.training
    _, gradients = steps.run(loss, steps.batches_of(loss.config))
    assert set(gradients) == {f"network.heads.{task}.{part}" for task in EVERY for part in ("weight", "bias")}


def test_finetune_trains_every_weight(tiny_backbone) -> None:
    loss = steps.loss_of(tiny_backbone, dropout=0.1, mixture=EVERY, pooling="cls")
    _, gradients = steps.run(loss, steps.batches_of(loss.config))
    assert gradients.keys() == {name for name, _ in loss.named_parameters()}
    assert all(module.training for module in loss.modules())


def test_there_is_a_head_for_each_task_of_the_mixture_only(tiny_backbone) -> None:
    heads = build(tiny.config(tiny_backbone, mixture=["cfimdb", "sts"], pair_encoding="cosine")).heads
    assert {name: type(head) for name, head in heads.items()} == {"cfimdb": nn.Linear, "sts": CosineHead}


def test_predictions_are_class_ids_or_values_within_the_label_range() -> None:
    assert predictions(TASKS["sst"], torch.tensor([[0.0, 3.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 9.0]])).tolist() == [1, 4]
    assert predictions(TASKS["sts"], torch.tensor([[-1.0], [2.5], [7.0]])).tolist() == [0.0, 2.5, 5.0]
