"""Two ranks equal one rank: real processes over gloo, the same weights and metrics, and no deadlock.

A pair of processes costs its imports, so one pair runs every case, one after the other as a warm gang does.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from multiprocessing import connection
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import TrialConfig
from model.engine.deepspeed import Rank
from model.training.evaluation import Evaluation, Failure
from model.training.trial import Training
from tests.support import tiny

pytestmark = pytest.mark.slow

PATIENCE_S = 240
"""Limit for both ranks in seconds: a collective that a rank does not reach would block."""
EVERY_TASK = {f"ZeRO {stage}, {n} micro-batches": (stage, n, "loop_to_max") for stage in (0, 1, 2) for n in (1, 4)}
ONE_TASK = {f"ZeRO {stage}, one task a step": (stage, 1, "uniform") for stage in (0, 1, 2)}
CASES = {**EVERY_TASK, **ONE_TASK}
RESUMED = ("ZeRO 0, 1 micro-batches", "ZeRO 1, 4 micro-batches", "ZeRO 2, 4 micro-batches", "ZeRO 2, one task a step")


@dataclass(frozen=True)
class Outcome:
    """The result of a case on one rank."""

    reported: list[Evaluation | Failure]
    weights: dict[str, Tensor]


def config_of(backbone: Path, case: str, **settings: Any) -> TrialConfig:
    """Five SMART steps without dropout, whose masks differ between ranks.

    ε and σ are a hundred times the published 1e-5: there a start now and then changes no bit of an example's logits, its
    gradient is exactly 0 or not by the rounding of a sum, and two orders of adding up cannot be compared.
    """
    stage, accumulation, strategy = CASES[case]
    n_tasks = 3 if strategy == "loop_to_max" else 1
    base: dict[str, Any] = {
        "engine": {"zero_stage": stage},
        "mixing": {"strategy": strategy, "loss_weights": "uncertainty" if stage == 2 else "equal"},
        "optim": {"batch_size": 8, "accumulation": accumulation, "lr": 1e-4, "dropout": 0.0},
        "smart": {"epsilon": 1e-3, "sigma": 1e-3},
        "budget": {"examples": 5 * 8 * n_tasks, "evaluations": 2},
    }
    return tiny.config(backbone, **{**base, **settings})


def outcome_of(config: TrialConfig, rank: Rank, save_to: Path | None = None) -> Outcome:
    """Run a trial; with `save_to`, save a checkpoint there after its first evaluation."""
    with closing(Training(config, tiny.data(), rank)) as training:
        reported = []
        for each in training:
            reported.append(each)
            if save_to is not None and len(reported) == 1:
                training.save(save_to)
        return finish(training, reported, n_evaluations=0)


def resumed_outcome_of(config: TrialConfig, rank: Rank, checkpoint: Path) -> Outcome:
    """Evaluations of a new trial that continues from the checkpoint."""
    with closing(Training(config, tiny.data(), rank)) as training:
        training.load(checkpoint)
        return finish(training, [])


def finish(training: Training, reported: list[Evaluation | Failure], n_evaluations: int | None = None) -> Outcome:
    """Continue to the end or for a number of evaluations, and return the weights."""
    reported = [*reported, *islice(training, n_evaluations)]
    timeless = [replace(each, seconds=0.0) if isinstance(each, Evaluation) else each for each in reported]
    weights = {name: tensor.clone() for name, tensor in training.loss.state_dict().items()}
    teacher = training.loss.teacher
    assert teacher is not None
    return Outcome(timeless, weights | {f"teacher.{name}": tensor for name, tensor in teacher.network.state_dict().items()})


def run_as_rank(number: int, port: int, backbone: Path, folder: Path) -> None:
    """One of the two processes: run every case, some with an interruption, and a divergence."""
    torch.set_num_threads(1)
    rank = Rank(number, world_size=2, port=port)
    found = {case: outcome_of(config_of(backbone, case), rank, folder / case if case in RESUMED else None) for case in CASES}
    for case in RESUMED:
        found[f"{case}, resumed"] = resumed_outcome_of(config_of(backbone, case), rank, folder / case)
    wild = {"optim": {"batch_size": 8, "lr": 1e30, "head_lr": 1e30, "dropout": 0.0}}
    for stage in (0, 2):
        case = f"ZeRO {stage}, 1 micro-batches"
        found[f"diverged, ZeRO {stage}"] = outcome_of(config_of(backbone, case, **wild), rank)
    torch.save(found, folder / f"{number}.pt")
    torch.distributed.destroy_process_group()


def flat(weights: dict[str, Tensor]) -> Tensor:
    """All weights in one vector."""
    return torch.cat([weights[name].flatten() for name in sorted(weights)])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_pair(backbone: Path, folder: Path) -> None:
    """Run both ranks to their end, forked from a server that has imported what they need. One that fails, or more than
    `PATIENCE_S`, ends the test and them; what it says on standard error is among the output of the test.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["model.engine.preimport"])
    port, deadline = free_port(), time.monotonic() + PATIENCE_S
    ranks = [context.Process(target=run_as_rank, args=(number, port, backbone, folder)) for number in range(2)]
    try:
        for rank in ranks:
            rank.start()
        while any(rank.is_alive() for rank in ranks) and not any(rank.exitcode for rank in ranks):
            assert time.monotonic() < deadline, "the ranks wait for each other"
            connection.wait([rank.sentinel for rank in ranks if rank.is_alive()], timeout=1)
        assert [rank.exitcode for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
            rank.join()


@pytest.fixture(scope="module")
def pair(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Outcome]]:
    """The results of both ranks in each case."""
    folder = tmp_path_factory.mktemp("pair")
    run_pair(tiny_backbone, folder)
    return [torch.load(folder / f"{number}.pt", weights_only=False) for number in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_are_one_rank(tiny_backbone: Path, pair: list[dict[str, Outcome]], case: str) -> None:
    """Weights, teacher, losses and metrics after five SMART steps on half batches are those of whole batches."""
    config = config_of(tiny_backbone, case)
    with closing(Training(config, tiny.data())) as untrained:
        start = finish(untrained, [], n_evaluations=0).weights
    alone = outcome_of(config, Rank())
    for found in (rank[case] for rank in pair):
        assert found.weights.keys() == alone.weights.keys()
        ours, theirs, before = (flat(weights) for weights in (found.weights, alone.weights, start))
        assert float((ours - theirs).norm() / (theirs - before).norm()) < 1e-3
        assert float((ours - theirs).abs().max()) < 1e-5  # AdamW magnifies the last bit where a gradient is almost zero
        for ours, theirs in zip(found.reported, alone.reported, strict=True):
            assert isinstance(ours, Evaluation)
            assert isinstance(theirs, Evaluation)
            assert replace(ours, metrics={}, losses={}) == replace(theirs, metrics={}, losses={})
            assert ours.losses == pytest.approx(theirs.losses, rel=1e-3)
            assert ours.metrics == pytest.approx(theirs.metrics, abs=1e-3)


@pytest.mark.parametrize("case", [*CASES, "diverged, ZeRO 0", "diverged, ZeRO 2"])
def test_both_ranks_report_the_same(pair: list[dict[str, Outcome]], case: str) -> None:
    """Bit for bit: only rank 0 reports to the study, and all ranks must stop together."""
    first, second = (rank[case] for rank in pair)
    assert first.reported == second.reported
    if case in CASES:
        assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)


@pytest.mark.parametrize("case", RESUMED)
def test_a_resumed_gang_continues_exactly(pair: list[dict[str, Outcome]], case: str) -> None:
    for rank in pair:
        undisturbed, resumed = rank[case], rank[f"{case}, resumed"]
        assert resumed.reported == undisturbed.reported[1:]
        assert [name for name in resumed.weights if not torch.equal(resumed.weights[name], undisturbed.weights[name])] == []


@pytest.mark.parametrize("stage", [0, 2])
def test_a_divergence_ends_both_ranks_with_its_reason(pair: list[dict[str, Outcome]], stage: int) -> None:
    (failure,) = pair[0][f"diverged, ZeRO {stage}"].reported
    assert isinstance(failure, Failure)
    assert "became nan between steps" in failure.reason
