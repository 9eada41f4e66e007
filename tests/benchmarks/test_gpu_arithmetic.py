"""The arithmetic of the benchmarks; of their speeds nothing is said here."""

from __future__ import annotations

import json
import multiprocessing
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu, sharing
from benchmarks.arguments import WRONG_USAGE
from benchmarks.gpu import BASE
from benchmarks.hardware import SHAPES, Shape, work_of
from model.training.trial import Training
from tests.support import tiny


def test_operations_of_a_forward_pass_are_those_that_torch_counts() -> None:
    """Every matrix product of the encoder, attention included, on two sequences of 7 tokens."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        vocab_size=100,
        attn_implementation="eager",
    )
    encoder = BertModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder(torch.ones(2, 7, dtype=torch.long))
    assert Shape.of(config) == Shape(3, 32, 4, 48)
    assert Shape.of(config).forward_flops(np.array([7, 7])) == counter.get_total_flops()


def test_bert_base_has_85_million_weights_in_its_layers() -> None:
    """Of 110 million: the rest are embeddings, biases and the pooler."""
    assert SHAPES["bert-base"].weights == 12 * 12 * 768**2 == 84_934_656


def test_work_counts_both_sides_of_a_pair_with_and_without_padding(tiny_backbone: Path) -> None:
    from model.training.batches import micro_batches

    with closing(Training(tiny.config(tiny_backbone), tiny.data())) as training:
        work = work_of(training, range(3))
        batches = [
            batch
            for step in range(3)
            for batch in micro_batches(training.data, training.config, training.schedule, step, 0, 1)[0]
        ]
    assert work.examples == 3 * 3 * 8
    assert work.useful_tokens == sum(int(batch.mask.sum()) for batch in batches)  # type: ignore[union-attr]
    assert work.padded_tokens == sum(batch.mask.numel() for batch in batches)  # type: ignore[union-attr]
    assert 3 * 2 * SHAPES["tiny"].weights * work.padded_tokens < work.padded_flops
    assert work.useful_flops < work.padded_flops


def test_what_trials_gain_together() -> None:
    """One makes 10 updates of 96 examples a second; two that share make 6 and 9: half as much again."""
    alone, together = sharing.rows({("plain", 1): [(20, 2.0)], ("plain", 2): [(12, 2.0), (18, 2.0)]}, {"plain": 96})
    assert (alone.examples_per_s, alone.gain, alone.update_s) == (960.0, 1.0, 0.1)
    assert (together.examples_per_s, together.gain) == (1440.0, 1.5)
    assert together.update_s == pytest.approx((1 / 6 + 1 / 9) / 2)
    (unknown,) = sharing.rows({("plain", 2): [(12, 2.0), (18, 2.0)]}, {"plain": 96})
    assert unknown.gain is None


@pytest.mark.parametrize("where", ["set-up", pytest.param("round", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_a_kind_that_does_not_fit_into_memory_leaves_the_next(
    tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def train(training: Any, seconds: float) -> tuple[int, float]:
        if training.config.smart.enabled:
            raise MemoryError
        return 1, seconds

    def update(training: Any, step: int) -> None:
        if training.config.smart.enabled and where == "set-up":
            raise MemoryError

    def serve() -> None:
        with theirs:  # else nobody would hear of its end
            sharing.serve(theirs, kinds, {"tiny": tiny_backbone}, "demo", 1)

    monkeypatch.setattr(Training, "update", update)
    monkeypatch.setattr(sharing, "train", train)
    monkeypatch.setattr(sharing, "prepared", lambda source: tiny.data())
    monkeypatch.setattr(sharing, "UPDATES", sharing.WARM_UP)
    kinds = [replace(BASE, shape="tiny", batch=8, smart=smart) for smart in (False, True, False)]
    ours, theirs = multiprocessing.Pipe()
    serving = threading.Thread(target=serve)
    serving.start()
    assert [sharing.rounds_of([ours], [1], 0.5) for _ in kinds] == [{1: [(1, 0.5)]}, {}, {1: [(1, 0.5)]}]
    serving.join()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--kinds", "bert-bas"], "argument --kinds: invalid choice: 'bert-bas' (choose from 'bert-base, fp32, batch 32', "),
        (["--trials", "1", "0"], "argument --trials: 0 is not a whole number of at least 1"),
        (["--trials", "two"], "argument --trials: two is not a whole number of at least 1"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_starts(
    given: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["sharing", *given])
    with pytest.raises(SystemExit) as ended:
        sharing.main()
    assert ended.value.code == WRONG_USAGE
    assert said in capsys.readouterr().err.splitlines()[-1]


READY = "ready"


@pytest.mark.parametrize(
    ("answers", "sizes"),
    [
        ([[READY, 1, 1, 1], [READY, 1, 1], [READY, 1]], [1, 2, 3]),
        ([[READY, 1, 1, 1], [READY, 1, 1], [READY, None]], [1, 2]),
        ([[READY, 1, None], [READY, 1], [READY]], [1]),
        ([[None], [READY, 1, 1], [READY, 1]], [1, 2]),
        ([[None], [None], [None]], []),
    ],
)
def test_rounds_are_those_that_fit_into_memory(answers: list[list[Any]], sizes: list[int]) -> None:
    """Each trial's answers to its set-up and to the rounds that it is asked to train in, None where there is no memory."""
    pipes = [multiprocessing.Pipe() for _ in answers]
    for (_, theirs), own in zip(pipes, answers, strict=True):
        for answer in own:
            theirs.send(answer)
    found = sharing.rounds_of([ours for ours, _ in pipes], [1, 2, 3], 0.5)
    assert found == {size: [1] * size for size in sizes}
    for (_, theirs), own in zip(pipes, answers, strict=True):
        assert [theirs.recv() for _ in own] == [0.5] * (len(own) - 1) + [None]


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_runs_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu", "--tiny", "--updates", "1", "--json", str(tmp_path / "table.json")])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 0
    found = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert found["failures"] == {}
    for row in found["rows"]:
        assert row["useful_tokens_per_s"] < row["padded_tokens_per_s"]
        assert (row["noise_s"] > 0) == ("SMART" in row["name"])
