"""The engine against plain PyTorch: DeepSpeed must not change the optimiser's mathematics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import mixing
from model.config import OptimConfig, TrialConfig
from model.encoder.network import build
from model.engine.config import deepspeed_config
from model.engine.deepspeed import Engine, TaskAdamW, parameter_groups
from model.engine.schedules import lambda_factor, learning_rate_factor
from model.loss import MultitaskLoss
from model.training import seeds
from model.training.batches import micro_batches, row_lengths
from model.training.trial import Training
from tests.support import tiny

N_STEPS = 4
ADAM_STATE = ("exp_avg", "exp_avg_sq", "step")


def few_steps(backbone: Path, **settings: Any) -> TrialConfig:
    """A trial of four updates of batch 8: the budget counts the examples of all tasks."""
    n_tasks = 3 if settings.get("mixing", {}).get("strategy", "loop_to_max") == "loop_to_max" else 1
    return tiny.config(backbone, **{"budget": {"examples": N_STEPS * 8 * n_tasks, "evaluations": 1}, **settings})


@contextmanager
def training_of(config: TrialConfig) -> Iterator[Training]:
    with closing(Training(config, tiny.data())) as training:
        yield training


def weights_of(loss: MultitaskLoss) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in loss.state_dict().items()}


def by_deepspeed(config: TrialConfig) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of the student and of the teacher after all updates."""
    with training_of(config) as training:
        training.loss.train()
        for step in range(training.n_steps):
            training.update(step)
        teacher = training.loss.teacher
        return weights_of(training.loss), dict(teacher.network.state_dict()) if teacher else {}


def by_plain_pytorch(config: TrialConfig) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The same without DeepSpeed: a group for each parameter, gradients of unused heads None, the schedule written out."""
    sizes = {task: len(tiny.data().tasks[task]["train"]) for task in config.mixture}
    lengths = {task: row_lengths(tiny.data(), config, task, "train") for task in config.mixture}
    schedule = mixing.Schedule(config.mixing, sizes, config.optim.batch_size, config.seed, N_STEPS, lengths)
    loss = MultitaskLoss(build(config), config)
    loss.train()
    groups = []
    for name, parameter in loss.named_parameters():
        if parameter.requires_grad:
            peak = config.optim.lr if name.startswith("network.encoder.") else config.optim.head_lr
            decay = config.optim.weight_decay if parameter.ndim > 1 else 0.0
            groups.append({"params": [parameter], "peak": peak, "weight_decay": decay})
    optimizer = torch.optim.AdamW(groups, fused=True)
    warmup = math.ceil(config.optim.warmup * N_STEPS)
    for step in range(N_STEPS):
        factor = (step + 1) / warmup if step < warmup else 1 - (step - warmup) / (N_STEPS - warmup)
        for group in optimizer.param_groups:
            group["lr"] = factor * group["peak"]
        optimizer.zero_grad(set_to_none=True)
        shares = micro_batches(tiny.data(), config, schedule, step, rank=0, world_size=1)
        for number, batches in enumerate(shares):
            seed = int(seeds.mix(config.seed, seeds.DROPOUT, step, 0, number))
            (loss(batches, seed, lambda_factor(config.smart, step, N_STEPS)) / len(shares)).backward()
        if config.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(list(loss.parameters()), config.optim.clip_norm)
        optimizer.step()
        if loss.teacher:
            loss.teacher.update(loss.network, config.smart.teacher_beta(step, N_STEPS))
    return weights_of(loss), dict(loss.teacher.network.state_dict()) if loss.teacher else {}


def largest_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    assert ours.keys() == theirs.keys()
    return max((float((ours[name] - theirs[name]).abs().max()) for name in ours), default=0.0)


def adamw(**settings: Any) -> dict[str, Any]:
    return {"batch_size": 8, "lr": 1e-3, "clip_norm": 0.0, **settings}


EXACT = {
    "smart and teacher": {"optim": adamw()},
    "one task a step": {"optim": adamw(), "mixing": {"strategy": "uniform"}},
    "uncertainty weights": {"optim": adamw(), "mixing": {"loss_weights": "uncertainty"}},
    "accumulation": {"optim": adamw(accumulation=4)},
    "λ of each task, falling": {
        "optim": adamw(),
        "smart": {"lambda_schedule": "cosine", "lambda_warmup": 0.4, "task_lambda": {"sst": 0.0, "sts": 3.0}},
    },
    "heads alone": {"optim": adamw(), "mode": "pretrain", "mixing": {"strategy": "uniform"}},
}
QUICK = ("one task a step", "heads alone")
CLIPPED = {
    "all tasks": {"optim": adamw(clip_norm=1.0)},
    "one task a step": {"optim": adamw(clip_norm=1.0), "mixing": {"strategy": "uniform"}},
    "hard, long warm-up": {"optim": adamw(clip_norm=0.05, warmup=0.5)},
}


@pytest.mark.parametrize("case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in EXACT])
def test_engine_is_plain_pytorch(tiny_backbone: Path, case: str) -> None:
    """Dropout 0.1, SMART with its teacher, some updates, one rank: bit-equal weights for ZeRO 0, 1 and 2."""
    settings = EXACT[case]
    config = few_steps(tiny_backbone, **settings)
    expected, expected_teacher = by_plain_pytorch(config)
    start = weights_of(MultitaskLoss(build(config), config))
    assert largest_difference(start, expected) > 1e-3  # the updates have moved the weights
    for stage in (0, 1, 2):
        found, teacher = by_deepspeed(few_steps(tiny_backbone, **settings, engine={"zero_stage": stage}))
        assert largest_difference(found, expected) == 0, f"ZeRO {stage}"
        assert largest_difference(teacher, expected_teacher) == 0, f"teacher under ZeRO {stage}"


@pytest.mark.parametrize("case", [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CLIPPED])
def test_clipping_is_that_of_plain_pytorch(tiny_backbone: Path, case: str) -> None:
    """DeepSpeed sums the global norm in another order; AdamW amplifies the last bit of almost zero gradients."""
    settings = CLIPPED[case]
    expected, _ = by_plain_pytorch(few_steps(tiny_backbone, **settings))
    unclipped, _ = by_plain_pytorch(few_steps(tiny_backbone, **{**settings, "optim": {**settings["optim"], "clip_norm": 0.0}}))
    assert largest_difference(unclipped, expected) > 1e-4
    for stage in (0, 1, 2):
        found, _ = by_deepspeed(few_steps(tiny_backbone, **settings, engine={"zero_stage": stage}))
        assert largest_difference(found, expected) < 1e-5, f"ZeRO {stage}"


def snapshot(engine: Engine) -> dict[tuple[str | None, int], list[Tensor]]:
    """Weights and optimiser state of each group in DeepSpeed; ZeRO has its own flat float32 copy."""
    optimizer = getattr(engine._optimizer, "optimizer", engine._optimizer)
    kept = {}
    for number, group in enumerate(optimizer.param_groups):
        tensors = []
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            tensors += [parameter.detach().clone(), *(state[name].clone() for name in ADAM_STATE if name in state)]
        kept[group["task"], number] = tensors
    return kept


def same(before: list[Tensor], after: list[Tensor]) -> bool:
    return len(before) == len(after) and all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("loss_weights", ["equal", "uncertainty"])
def test_heads_that_a_step_does_not_use_stay_as_they_are(tiny_backbone: Path, stage: int, loss_weights: str) -> None:
    """No momentum and no decay: weights and optimiser state bit-equal, and those of the task in use move."""
    settings = {"mixing": {"strategy": "uniform", "loss_weights": loss_weights}, "engine": {"zero_stage": stage}}
    config = few_steps(tiny_backbone, **settings, budget={"examples": 9 * 8, "evaluations": 1}, seed=1)
    with training_of(config) as training:
        training.loss.train()
        used: list[str] = []
        for step in range(training.n_steps):
            (task,) = training.schedule.tasks_at(step)
            before, module = snapshot(training.engine), weights_of(training.loss)
            training.update(step)
            after = snapshot(training.engine)
            for owner, number in before:
                idle = owner is not None and owner != task
                assert same(before[owner, number], after[owner, number]) == idle, (step, task, owner)
            for name, tensor in weights_of(training.loss).items():
                head = next((other for other in config.mixture if other in name.split(".")), None)
                assert head in (None, task) or torch.equal(tensor, module[name]), name
            used.append(task)
    assert set(used) == set(config.mixture)
    assert any(a != b for a, b in pairwise(used))  # so momentum was there to be left alone


def test_optimiser_skips_idle_groups_whatever_their_gradients() -> None:
    torch.manual_seed(0)
    idle, active, twin = torch.randn(3, 2), torch.randn(3, 2), torch.empty(3, 2)
    twin.copy_(active)
    gradients = torch.randn(4, 3, 2)
    for tensor in (idle, active, twin):
        tensor.requires_grad_()
    groups = [{"params": [idle], "active": True}, {"params": [active], "active": True}]
    ours, plain = TaskAdamW(groups, lr=0.1, weight_decay=0.1), torch.optim.AdamW([twin], lr=0.1, weight_decay=0.1)
    for number, gradient in enumerate(gradients):
        ours.param_groups[0]["active"] = number == 0
        idle.grad, active.grad, twin.grad = gradient.clone(), gradient.clone(), gradient.clone()
        kept, state = idle.detach().clone(), {name: ours.state[idle][name].clone() for name in ADAM_STATE if number}
        ours.step()
        plain.step()
        assert torch.equal(active, twin)
        assert torch.equal(idle, kept) == (number > 0)
        assert all(torch.equal(ours.state[idle][name], value) for name, value in state.items())
        assert idle.grad is not None, "DeepSpeed owns the gradients and gets them back"


@pytest.mark.parametrize("mode", ["finetune", "pretrain"])
def test_groups_own_every_trained_weight_once(tiny_backbone: Path, mode: str) -> None:
    config = tiny.config(tiny_backbone, mode=mode, mixing={"loss_weights": "uncertainty"})
    loss = MultitaskLoss(build(config), config)
    groups = parameter_groups(loss)
    names = {id(parameter): name for name, parameter in loss.named_parameters()}
    owned = [names[id(parameter)] for group in groups for parameter in group["params"]]
    assert sorted(owned) == sorted(name for name, parameter in loss.named_parameters() if parameter.requires_grad)
    for group in groups:
        for parameter in group["params"]:
            parts = names[id(parameter)].split(".")
            assert group["task"] == (None if "encoder" in parts else next(task for task in config.mixture if task in parts))
            assert group["lr"] == (config.optim.lr if "encoder" in parts else config.optim.head_lr)
            assert group["weight_decay"] == (config.optim.weight_decay if parameter.ndim > 1 else 0.0)
    assert {group["task"] for group in groups} == {*config.mixture, *([None] if mode == "finetune" else [])}


class TestLearningRate:
    """Share of the peak, update by update: the formulas written out."""

    @pytest.mark.parametrize(
        ("decay", "expected"),
        [
            ("linear", [1 / 2, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]),
            ("constant", [1 / 2, *[1] * 9]),
            ("cosine", [1 / 2, 1, *(0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(8))]),
        ],
    )
    def test_closed_form(self, decay: Any, expected: list[float]) -> None:
        optim = OptimConfig(warmup=0.2, decay=decay)
        assert [learning_rate_factor(optim, update, 10) for update in range(10)] == pytest.approx(expected)

    def test_no_warmup_starts_at_the_peak(self) -> None:
        assert learning_rate_factor(OptimConfig(warmup=0.0), 0, 10) == 1.0

    def test_warmup_alone_ends_at_the_peak(self) -> None:
        optim = OptimConfig(warmup=1.0)
        assert [learning_rate_factor(optim, update, 4) for update in range(4)] == [0.25, 0.5, 0.75, 1.0]

    def test_warmup_counts_in_decimals(self) -> None:
        """7 % of 100 updates are 7, although 0.07 · 100 is larger in floats."""
        optim = OptimConfig(warmup=0.07)
        assert learning_rate_factor(optim, 6, 100) == 1.0
        assert learning_rate_factor(optim, 5, 100) == 6 / 7

    @pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
    @pytest.mark.parametrize("n_updates", [1, 2, 7])
    def test_never_zero_and_never_above_the_peak(self, warmup: float, n_updates: int) -> None:
        """An update with rate 0 would be wasted."""
        factors = [learning_rate_factor(OptimConfig(warmup=warmup), update, n_updates) for update in range(n_updates)]
        assert all(0 < factor <= 1 for factor in factors)

    @pytest.mark.parametrize("stage", [0, 2])
    def test_the_engine_applies_it_to_every_group(self, tiny_backbone: Path, stage: int) -> None:
        config = few_steps(tiny_backbone, engine={"zero_stage": stage}, smart={"enabled": False})
        with training_of(config) as training:
            training.loss.train()
            for step in range(3):
                training.update(step)
                factor = learning_rate_factor(config.optim, step, N_STEPS)
                for group in training.engine._optimizer.param_groups:
                    peak = config.optim.lr if group["task"] is None else config.optim.head_lr
                    assert group["lr"] == factor * peak


def test_deepspeed_config_has_the_size_of_a_micro_batch(tiny_backbone: Path) -> None:
    config = tiny.config(tiny_backbone, optim={"batch_size": 24, "accumulation": 3, "clip_norm": 0.5}, engine={"zero_stage": 1})
    told = deepspeed_config(config, world_size=2)
    assert told["train_micro_batch_size_per_gpu"] * told["gradient_accumulation_steps"] * 2 == 24
    assert told["gradient_clipping"] == 0.5
    assert told["zero_optimization"] == {"stage": 1}


def test_loading_a_missing_checkpoint_is_an_error(tiny_backbone: Path, tmp_path: Path) -> None:
    with training_of(few_steps(tiny_backbone)) as training, pytest.raises(FileNotFoundError, match="has no checkpoint"):
        training.load(tmp_path)
