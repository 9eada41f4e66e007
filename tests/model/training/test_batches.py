"""Batches of a rank: ranks and micro-batches split the examples of a step without changing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import TrialConfig
from model.encoder.network import Batch
from model.mixing import Schedule
from model.tasks import TASKS
from model.training.batches import make_batch, micro_batches, row_lengths
from tests.support import tiny


def schedule_of(config: TrialConfig, n_steps: int = 6) -> Schedule:
    sizes = {task: len(tiny.data().tasks[task]["train"]) for task in config.mixture}
    return Schedule(config.mixing, sizes, batch_size=config.optim.batch_size, seed=config.seed, n_steps=n_steps)


def rows_of(batch: Batch) -> list[tuple[object, ...]]:
    """Each example of a batch without its padding: tokens of each side, label and noise seed."""
    rows = []
    for example in range(len(batch.labels)):
        tokens = tuple(
            tuple(batch.input_ids[side, example][batch.mask[side, example] == 1].tolist()) for side in range(len(batch.mask))
        )
        rows.append((batch.task, tokens, float(batch.labels[example]), int(batch.seeds[example])))
    return rows


def rows_of_step(config: TrialConfig, step: int, world_size: int) -> Counter[tuple[object, ...]]:
    schedule = schedule_of(config)
    shares = [
        share for rank in range(world_size) for share in micro_batches(tiny.data(), config, schedule, step, rank, world_size)
    ]
    return Counter(row for share in shares for batch in share for row in rows_of(batch))


def special_tokens(row: Sequence[int]) -> list[int]:
    data = tiny.data()
    return [token for token in row if token in (data.cls_id, data.sep_id, data.pad_id)]


@pytest.mark.parametrize("strategy", ["loop_to_max", "uniform"])
@pytest.mark.parametrize(("world_size", "accumulation"), [(1, 4), (2, 1), (2, 2), (4, 2)])
def test_ranks_and_micro_batches_share_the_examples_of_one_rank(
    tiny_backbone: Path, strategy: str, world_size: int, accumulation: int
) -> None:
    settings = {"mixing": {"strategy": strategy}}
    alone = tiny.config(tiny_backbone, **settings)
    shared = tiny.config(tiny_backbone, **settings, optim={"batch_size": 8, "accumulation": accumulation})
    for step in range(6):
        assert rows_of_step(shared, step, world_size) == rows_of_step(alone, step, 1)


def test_every_share_of_a_step_has_every_task_of_the_step(tiny_backbone: Path) -> None:
    """An engine activates the heads of the first share, so the shares must agree."""
    config = tiny.config(tiny_backbone, optim={"batch_size": 8, "accumulation": 4})
    shares = micro_batches(tiny.data(), config, schedule_of(config), 0, rank=1, world_size=2)
    assert [[batch.task for batch in share] for share in shares] == [list(config.mixture)] * 4
    assert {len(batch.labels) for share in shares for batch in share} == {1}


@pytest.mark.parametrize(("encoding", "n_sides"), [("cross", 1), ("cosine", 2), ("concat_pooled", 2)])
def test_sides_of_a_pair(tiny_backbone: Path, encoding: str, n_sides: int) -> None:
    config = tiny.config(tiny_backbone, pair_encoding=encoding)
    batch = make_batch(tiny.data(), config, "sts", "train", np.arange(5))
    assert batch.input_ids.shape[:2] == (n_sides, 5)
    assert batch.input_ids.shape == batch.mask.shape == batch.token_types.shape
    assert batch.token_types.max() == (1 if encoding == "cross" else 0)
    for side in range(n_sides):
        for example in range(5):
            n_separators = 2 if encoding == "cross" else 1
            expected = [tiny.data().cls_id, *[tiny.data().sep_id] * n_separators]
            row = batch.input_ids[side, example][batch.mask[side, example] == 1].tolist()
            assert special_tokens(row) == expected


def test_padding_is_masked_and_lengths_count_the_rest(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone)
    batch = make_batch(tiny.data(), config, "quora", "train", np.arange(8))
    np.testing.assert_array_equal(batch.lengths, batch.mask.sum(-1).numpy())
    assert (batch.input_ids[batch.mask == 0] == tiny.data().pad_id).all()
    assert batch.lengths.max() == batch.mask.shape[-1] <= config.max_length


@pytest.mark.parametrize("encoding", ["cross", "cosine"])
def test_row_lengths_are_the_widths_without_special_tokens(tiny_backbone: Path, encoding: str) -> None:
    """A batch is as wide as its longest row, [CLS] and one [SEP] for each text of a sequence added, up to max_length."""
    config = tiny.config(tiny_backbone, pair_encoding=encoding)
    for task in ("sst", "sts"):
        n_special = 3 if encoding == "cross" and task == "sts" else 2
        lengths = row_lengths(tiny.data(), config, task, "train")
        widths = [make_batch(tiny.data(), config, task, "train", np.array([i])).mask.shape[-1] for i in range(len(lengths))]
        assert widths == np.minimum(lengths + n_special, config.max_length).tolist()


def test_labels_are_as_the_losses_take_them(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone)
    for task, dtype in (("sst", torch.int64), ("sts", torch.float32)):
        batch = make_batch(tiny.data(), config, task, "train", np.array([3, 1]))
        assert batch.labels.dtype == dtype
        expected = [tiny.dataset().tasks[task]["train"][i].label for i in (3, 1)]
        np.testing.assert_allclose(batch.labels.numpy(), expected, rtol=1e-6)


def test_noise_seeds_belong_to_example_task_and_step(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone)

    def seeds_of(task: str, indices: list[int], step: int) -> list[int]:
        batch = make_batch(tiny.data(), config, task, "train", np.array(indices), noise_step=step)
        return [int(seed) for seed in batch.seeds]

    assert seeds_of("sst", [4, 9], 1) == [seeds_of("sst", [4, 2], 1)[0], seeds_of("sst", [9], 1)[0]]
    everywhere = [seed for task in TASKS for step in range(3) for seed in seeds_of(task, [0, 1, 2], step)]
    assert len(set(everywhere)) == len(everywhere)
