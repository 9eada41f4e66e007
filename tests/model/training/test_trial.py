"""A whole trial: repeatable and resumable bit for bit, evaluated at the scheduled steps, failing if it diverges."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import mixing
from model.config import ConfigError, TrialConfig
from model.data.tokenised import TokenizedData
from model.encoder.network import build
from model.engine.deepspeed import Rank
from model.loss import MultitaskLoss
from model.training.batches import micro_batches
from model.training.evaluate import evaluate
from model.training.evaluation import Evaluation, Failure
from model.training.trial import Training
from tests.support import tiny
from tests.support.weights import assert_same_weights, weights_of

SMALL = {"mixture": ["sst", "sts"], "budget": {"examples": 64, "evaluations": 3, "early_eval_examples": 8}}


@contextmanager
def training_of(config: TrialConfig, data: TokenizedData | None = None) -> Iterator[Training]:
    with closing(Training(config, data or tiny.data())) as training:
        yield training


def facts(evaluation: Evaluation | Failure) -> Evaluation:
    """An evaluation without its measured times."""
    assert isinstance(evaluation, Evaluation), evaluation
    return dataclasses.replace(evaluation, seconds=0.0)


def whole(config: TrialConfig) -> tuple[list[Evaluation], dict[str, Tensor]]:
    with training_of(config) as training:
        return [facts(reported) for reported in training], weights_of(training)


@pytest.fixture(scope="module")
def undisturbed(tiny_backbone: Path) -> tuple[list[Evaluation], dict[str, Tensor]]:
    """Evaluations and weights of a small trial."""
    return whole(tiny.config(tiny_backbone, **SMALL))


RESUMED = {
    "every task a step": {},
    "one task a step": {"mixing": {"strategy": "uniform"}},
    "annealed": {"mixing": {"strategy": "annealed"}},
    "no teacher": {"smart": {"mu": 0.0}},
    "no SMART, ZeRO 1": {"smart": {"enabled": False}, "engine": {"zero_stage": 1}},
    "ZeRO 2, one task a step": {"engine": {"zero_stage": 2}, "mixing": {"strategy": "uniform"}},
    "ZeRO 2, uncertainty": {"engine": {"zero_stage": 2}, "mixing": {"loss_weights": "uncertainty"}},
    "bf16, two inner steps": {"engine": {"precision": "bf16"}, "smart": {"epsilon": 0.01, "steps": 2}},
    "heads alone": {"mode": "pretrain"},
    "λ of each task, falling": {
        "smart": {"lambda_schedule": "cosine", "task_lambda": {"sst": 2.0}, "task_epsilon": {"sts": 0.01}}
    },
    "R-Drop, λ rising": {"smart": {"variant": "rdrop", "lambda_schedule": "warmup", "lambda_warmup": 0.5}},
    "accumulation": {"optim": {"batch_size": 8, "accumulation": 2, "lr": 1e-3}},
}


QUICK = ("every task a step", "ZeRO 2, one task a step")


@pytest.mark.parametrize("case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in RESUMED])
def test_a_resumed_trial_equals_the_uninterrupted_one(tiny_backbone: Path, tmp_path: Path, case: str) -> None:
    """Saved after evaluation 1 or 2 and loaded into a fresh trial: the same metrics, losses and weights to the last bit."""
    config = tiny.config(tiny_backbone, **{**SMALL, **RESUMED[case]})
    with training_of(config) as training:
        undisturbed = []
        for index, reported in enumerate(training, start=1):
            undisturbed.append(facts(reported))
            if index < 3:
                training.save(tmp_path / str(index))
        weights = weights_of(training)
    for index in (1, 2):
        with training_of(config) as resumed:
            resumed.load(tmp_path / str(index))
            assert [facts(reported) for reported in resumed] == undisturbed[index:]
            assert_same_weights(weights_of(resumed), weights)


def test_a_trial_is_repeatable_and_saving_does_not_disturb_it(
    tiny_backbone: Path, tmp_path: Path, undisturbed: tuple[list[Evaluation], dict[str, Tensor]]
) -> None:
    """A second trial in the same process, after other random draws, equals the first one."""
    evaluations, weights = undisturbed
    torch.rand(7)
    with training_of(tiny.config(tiny_backbone, **SMALL)) as training:
        again = []
        for reported in training:
            again.append(facts(reported))
            training.save(tmp_path / "checkpoint")
            torch.rand(3)
        assert again == evaluations
        assert_same_weights(weights_of(training), weights)


@pytest.mark.slow
def test_zero_stages_train_the_same_weights(tiny_backbone: Path) -> None:
    optim = {"batch_size": 8, "lr": 1e-3, "clip_norm": 0.0}
    stages = [whole(tiny.config(tiny_backbone, **SMALL, optim=optim, engine={"zero_stage": stage}))[0] for stage in (0, 1, 2)]
    assert stages[0] == stages[1] == stages[2]


def test_another_seed_is_another_trial(tiny_backbone: Path, undisturbed: tuple[list[Evaluation], dict[str, Tensor]]) -> None:
    with training_of(tiny.config(tiny_backbone, **SMALL, seed=1)) as training:
        assert facts(training.advance()).losses != undisturbed[0][0].losses


@pytest.mark.parametrize("strategy", ["loop_to_max", "proportional", "sqrt", "uniform"])
def test_evaluations_are_where_the_schedule_says(tiny_backbone: Path, strategy: str) -> None:
    config = tiny.config(tiny_backbone, mixing={"strategy": strategy}, smart={"enabled": False})
    n_steps = 240 // 8 // (3 if strategy == "loop_to_max" else 1)
    sizes = {task: len(tiny.data().tasks[task]["train"]) for task in config.mixture}
    schedule = mixing.Schedule(config.mixing, sizes, 8, config.seed, n_steps)
    evaluations, _ = whole(config)
    assert [each.step for each in evaluations] == [n_steps * index // 5 for index in range(1, 6)]
    assert [each.index for each in evaluations] == [1, 2, 3, 4, 5]
    assert [each.is_last for each in evaluations] == [False] * 4 + [True]
    assert {(each.n_steps, each.n_evaluations) for each in evaluations} == {(n_steps, 5)}
    assert [each.examples for each in evaluations] == [schedule.examples_before(each.step) for each in evaluations]
    assert evaluations[-1].examples == 240
    for before, each in zip([0, *(each.step for each in evaluations)], evaluations, strict=False):
        trained = {task for step in range(before, each.step) for task in schedule.tasks_at(step)}
        assert set(each.losses) == {f"{task}/loss" for task in trained}


def test_losses_are_means_over_the_updates_since_the_last_evaluation(tiny_backbone: Path) -> None:
    settings = {"smart": {"enabled": False}, "mixture": ["sst"]}
    coarse, fine = (
        whole(tiny.config(tiny_backbone, **settings, budget={"examples": 48, "evaluations": n, "early_eval_examples": 2}))[0]
        for n in (2, 6)
    )
    each = [evaluation.losses["sst/loss"] for evaluation in fine]
    assert [e.losses["sst/loss"] for e in coarse] == pytest.approx([sum(each[:3]) / 3, sum(each[3:]) / 3], rel=1e-6)


@pytest.mark.parametrize(
    ("smart", "terms"),
    [
        ({}, {"loss", "smoothness", "bregman"}),
        ({"mu": 0.0}, {"loss", "smoothness"}),
        ({"lambda": 0.0}, {"loss", "bregman"}),
        ({"enabled": False}, {"loss"}),
    ],
)
def test_losses_name_the_parts_of_the_objective(tiny_backbone: Path, smart: dict[str, Any], terms: set[str]) -> None:
    config = tiny.config(tiny_backbone, smart=smart, budget={"examples": 48, "evaluations": 1})
    (evaluation,), _ = whole(config)
    assert set(evaluation.losses) == {f"{task}/{term}" for task in config.mixture for term in terms}
    assert set(evaluation.metrics) == {
        "sst/accuracy", "sst/f1", "quora/accuracy", "quora/f1", "sts/pearson", "sts/spearman",
    }  # fmt: skip


def test_the_teacher_moves_by_one_minus_beta_after_each_update(tiny_backbone: Path) -> None:
    """θ̃ ← (1 − β)θ + βθ̃, with the student's weights after the update; β changes at its switch."""
    smart = {"mu": 1.0, "beta": 0.75, "beta_late": 0.25, "beta_switch": 0.5}
    with training_of(tiny.config(tiny_backbone, smart=smart, budget={"examples": 96, "evaluations": 1})) as training:
        assert training.n_steps % 2 == 0
        assert training.loss.teacher is not None
        teacher, student = training.loss.teacher.network, training.loss.network
        for step, beta in ((0, 0.75), (training.n_steps // 2, 0.25)):
            before = {name: parameter.detach().clone() for name, parameter in teacher.named_parameters()}
            training.update(step)
            for name, parameter in student.named_parameters():
                expected = (1 - beta) * parameter.detach() + beta * before[name]
                torch.testing.assert_close(dict(teacher.named_parameters())[name], expected)
            assert any(not torch.equal(parameter, before[name]) for name, parameter in teacher.named_parameters())


def test_early_evaluations_look_at_part_of_select_and_the_last_at_all_of_it(
    tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int | None] = []

    def recording(*arguments: Any, limit: int | None, **keywords: Any) -> dict[str, float]:
        limits.append(limit)
        return evaluate(*arguments, limit=limit, **keywords)

    monkeypatch.setattr("model.training.trial.evaluate", recording)
    whole(tiny.config(tiny_backbone, **SMALL))
    assert limits == [8, 8, None]


def test_training_learns(tiny_backbone: Path) -> None:
    """Eight passes over 64 examples: the loss of each task falls well below its initial value."""
    budget = {"epochs": 8, "evaluations": 4, "early_eval_examples": 2}
    config = tiny.config(tiny_backbone, smart={"enabled": False}, optim={"batch_size": 8, "lr": 3e-3}, budget=budget)
    evaluations, _ = whole(config)
    for task in config.mixture:
        assert evaluations[-1].losses[f"{task}/loss"] < 0.7 * evaluations[0].losses[f"{task}/loss"], task


def test_uncertainty_weights_are_learned(tiny_backbone: Path) -> None:
    _, weights = whole(tiny.config(tiny_backbone, **SMALL, mixing={"loss_weights": "uncertainty"}))
    assert all(float(weights[f"log_variance.{task}"].abs()) > 1e-4 for task in ("sst", "sts"))


def test_heads_alone_leave_the_encoder_as_it_is(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone, **SMALL, mode="pretrain")
    start = MultitaskLoss(build(config), config).state_dict()
    _, weights = whole(config)
    moved = {name for name in start if not torch.equal(start[name], weights[name])}
    assert moved == {name for name in start if "heads" in name}


class TestDivergence:
    @pytest.mark.parametrize("stage", [0, 1, 2])
    def test_is_a_failure_with_its_reason(self, tiny_backbone: Path, stage: int) -> None:
        settings = {"optim": {"batch_size": 8, "lr": 1e30, "head_lr": 1e30}, "engine": {"zero_stage": stage}}
        config = tiny.config(tiny_backbone, **settings, smart={"enabled": False}, budget={"examples": 480, "evaluations": 4})
        with training_of(config) as training:
            reported = list(training)
        assert len(reported) == 1
        assert isinstance(reported[0], Failure)
        assert reported[0].step == 5
        assert reported[0].reason.endswith("became nan between steps 1 and 5"), reported[0].reason

    @pytest.mark.parametrize(
        ("stage", "reason"),
        [(0, "sst/loss became nan between steps 4 and 6"), (2, "a gradient was not finite between steps 4 and 6")],
    )
    def test_of_a_gradient_alone(self, tiny_backbone: Path, stage: int, reason: str) -> None:
        """The loss is finite, its gradient is not: ZeRO 2 would silently skip the update."""
        settings = {"mixture": ["sst"], "smart": {"enabled": False}, "budget": {"examples": 72, "evaluations": 3}}
        with training_of(tiny.config(tiny_backbone, **settings, engine={"zero_stage": stage})) as training:
            assert isinstance(training.advance(), Evaluation)
            training.loss.network.heads["sst"].weight.register_hook(lambda gradient: gradient * torch.inf)
            assert training.advance() == Failure(reason, 6)

    def test_of_the_last_update_alone_is_seen_in_the_evaluation(self, tiny_backbone: Path) -> None:
        """One step: its loss is finite, the weights after it are not, and an argmax would hide that."""
        config = tiny.config(tiny_backbone, smart={"enabled": False}, mixture=["sst"], budget={"examples": 8, "evaluations": 1})
        with training_of(config) as training:
            for group in training.engine._optimizer.param_groups:
                group["peak_lr"] = 1e38
            (reported,) = training
        assert reported == Failure("sst/accuracy is nan at step 1: the outputs of the network are not finite", 1)


class TestRefusals:
    """Settings that cannot run are rejected before training, saying what to change."""

    def refused(self, config: TrialConfig, data: TokenizedData | None = None, rank: Rank | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            Training(config, data or tiny.data(), rank)
        return caught.value.problems

    def test_a_batch_that_does_not_divide(self, tiny_backbone: Path) -> None:
        config = tiny.config(tiny_backbone, optim={"batch_size": 8, "accumulation": 3})
        (problem,) = self.refused(config)
        assert problem == "optim.batch_size 8 does not divide over 1 rank(s) × 3 micro-batch(es); use a multiple of 3"
        assert "2 rank(s) × 3" in self.refused(config, rank=Rank(0, 2))[0]

    def test_more_evaluations_than_steps(self, tiny_backbone: Path) -> None:
        (problem,) = self.refused(tiny.config(tiny_backbone, budget={"examples": 24, "evaluations": 2}))
        assert "budget.evaluations is 2 but the trial has 1 training steps" in problem

    def test_sequences_longer_than_the_backbone(self, tiny_backbone: Path) -> None:
        (problem,) = self.refused(tiny.config(tiny_backbone, max_length=129))
        assert problem == "max_length is 129, but the backbone has 128 positions; lower it"

    def test_a_foreign_tokenizer(self, tiny_backbone: Path) -> None:
        data = dataclasses.replace(tiny.data(), vocab_size=40000)
        (problem,) = self.refused(tiny.config(tiny_backbone), data)
        assert problem == "the tokenizer has 40000 tokens, but the backbone embeds 30522; use its own tokenizer"


class TestCompute:
    """`Evaluation.compute` against the tokens of the batches."""

    @pytest.mark.parametrize("pair_encoding", ["cosine", "cross"])
    @pytest.mark.parametrize(("smart", "cost"), [({"enabled": False}, 1.0), ({"steps": 3, "mu": 0.0}, 4.0), ({"mu": 1.0}, 3.0)])
    def test_is_tokens_times_the_cost_of_a_step(
        self, tiny_backbone: Path, pair_encoding: str, smart: dict[str, Any], cost: float
    ) -> None:
        """Over whole passes the mean tokens of an example are those of its batches, to the token."""
        settings = {"pair_encoding": pair_encoding, "smart": smart, "max_length": 16, "mixture": ["quora", "sst"]}
        config = tiny.config(tiny_backbone, **settings, budget={"epochs": 1, "evaluations": 1})
        with training_of(config) as training:
            assert training.compute == 0.0
            steps = range(training.n_steps)
            batches = [
                b
                for step in steps
                for share in micro_batches(tiny.data(), config, training.schedule, step, 0, 1)
                for b in share
            ]
            training.step = training.n_steps
            assert training.compute == pytest.approx(cost * sum(int(batch.mask.sum()) for batch in batches), rel=1e-9)

    def test_grows_by_evaluations_and_goes_on_after_a_resume(self, tiny_backbone: Path, tmp_path: Path) -> None:
        config = tiny.config(tiny_backbone, **SMALL, mixing={"strategy": "uniform"}, smart={"enabled": False})
        evaluations, _ = whole(config)
        computes = [evaluation.compute for evaluation in evaluations]
        assert computes == sorted(set(computes))
        with training_of(config) as training:
            assert facts(training.advance()).compute == computes[0]
            training.save(tmp_path)
        with training_of(config) as training:
            training.load(tmp_path)
            assert [facts(reported).compute for reported in training] == computes[1:]
