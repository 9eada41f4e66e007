"""Schedules of λ, λ of single tasks, and λ in a search space; the learning rate is tested with the engine."""

from __future__ import annotations

import math
import pickle
import random
from pathlib import Path

import pytest

from model.config import ConfigError, SmartConfig, parse
from model.engine.schedules import lambda_factor
from model.smart.config import cost_in_plain_steps
from model.tasks import TASKS
from tests.support import steps
from tuner.space import load

WIDE = {"epsilon": 1e-2, "sigma": 1e-2, "mu": 0.0}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0] * 10),
        ("warmup", [1 / 4, 2 / 4, 3 / 4, *[1.0] * 7]),
        ("cosine", [1 / 4, 2 / 4, 3 / 4, 1.0, *(0.5 * (1 + math.cos(math.pi * k / 6)) for k in range(6))]),
    ],
)
def test_the_schedules_have_their_closed_form(schedule, expected) -> None:
    config = SmartConfig(lambda_schedule=schedule, lambda_warmup=0.4)
    assert [lambda_factor(config, update, 10) for update in range(10)] == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "warmup", "cosine"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("n_updates", [1, 2, 7])
def test_no_update_computes_a_term_of_weight_zero(schedule, warmup, n_updates) -> None:
    config = SmartConfig(lambda_schedule=schedule, lambda_warmup=warmup)
    assert all(0 < lambda_factor(config, update, n_updates) <= 1 for update in range(n_updates))


def test_each_task_has_its_lambda_under_the_schedule(tiny_backbone) -> None:
    settings = {**WIDE, "lambda": 2.0, "task_lambda": {"sts": 5.0, "quora": 0.0}}
    loss = steps.loss_of(tiny_backbone, smart=settings, mixture=["sst", "quora", "sts"])
    value = loss(steps.batches_of(loss.config), 0, 0.25)
    terms = {name: float(term) for name, term in loss.terms.items()}
    assert "quora/smoothness" not in terms  # and its passes are not made
    supervised = sum(terms[f"{task}/loss"] for task in loss.config.mixture)
    expected = supervised + 0.25 * (2.0 * terms["sst/smoothness"] + 5.0 * terms["sts/smoothness"])
    assert float(value.detach()) == pytest.approx(expected, rel=1e-6)


def test_each_task_has_its_epsilon(tiny_backbone) -> None:
    """If the step is far larger than ε, R_s of a task grows with the ε of that task only."""
    found = []
    for task_epsilon in ({}, {"sts": 1e-2}):
        settings = {"mu": 0.0, "epsilon": 1e-3, "sigma": 1e-3, "eta": 1.0, "task_epsilon": task_epsilon}
        loss = steps.loss_of(tiny_backbone, smart=settings, mixture=["sst", "sts"])
        steps.run(loss, steps.batches_of(loss.config))
        found.append({task: float(loss.terms[f"{task}/smoothness"]) for task in ("sst", "sts")})
    assert found[0]["sst"] == found[1]["sst"]
    assert found[1]["sts"] > 10 * found[0]["sts"] > 0


def test_what_is_not_given_is_the_scalar() -> None:
    config = parse(
        {"smart": {"lambda": 2.0, "epsilon": 0.1, "task_lambda": {"sst": 0.0}, "task_epsilon": {"sts": "1e-3"}}}
    ).smart
    assert [config.lambda_of(task) for task in TASKS] == [0.0, 2.0, 2.0, 2.0]
    assert [config.epsilon_of(task) for task in ("sst", "quora", "sts")] == [0.1, 0.1, 1e-3]
    assert parse({"smart": config.model_dump(mode="json", exclude_none=True)}).smart == config
    assert pickle.loads(pickle.dumps(config)) == config  # as it goes to the ranks


def test_one_task_alone_can_be_smoothed() -> None:
    only_sts = SmartConfig.model_validate({"lambda": 0.0, "mu": 0.0, "task_lambda": {"sts": 1.0}})
    assert only_sts.is_smoothing
    assert cost_in_plain_steps(only_sts) == pytest.approx(8 / 3)
    assert cost_in_plain_steps(SmartConfig.model_validate({"lambda": 0.0, "mu": 0.0})) == 1.0


def test_numbers_for_tasks_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"mixture": ["sst", "sts"], "smart": {"task_lambda": {"quora": 1.0}, "task_epsilon": {"cfimdb": 0.1}}})
    assert [problem.partition(" is set")[0] for problem in caught.value.problems] == [
        "smart.task_lambda.quora",
        "smart.task_epsilon.cfimdb",
    ]
    for problem in caught.value.problems:
        assert "the mixture (sst, sts) lacks" in problem
    with pytest.raises(ConfigError, match=r"unknown setting smart\.task_lambda\.stss \(did you mean smart\.task_lambda\.sts"):
        parse({"smart": {"task_lambda": {"stss": 1.0}}})
    with pytest.raises(ConfigError, match=r"smart\.task_epsilon\.sst 1e-05 rounds away in bf16"):
        parse({"engine": {"precision": "bf16"}, "smart": {"epsilon": 0.01, "task_epsilon": {"sst": 1e-5}}})


def test_they_are_searched_like_any_other_setting(tmp_path: Path) -> None:
    text = """
    name: per_task
    description: λ and ε of single tasks
    metric: mean
    targets: [sst]
    fixed: {budget.epochs: 1, smart.task_epsilon: {sst: 1.0e-3}}
    search:
      mixture: {choice: [[sst], [sst, sts]]}
      smart.variant: {choice: [paper, r3f, rdrop, mtdnn]}
      smart.lambda_schedule: {choice: [constant, warmup, cosine]}
      smart.lambda_warmup: {float: [0.0, 0.5], when: {smart.lambda_schedule: [warmup, cosine]}}
      smart.task_lambda.sst: {float: [0.1, 10.0], log: true}
      smart.task_lambda.sts: {float: [0.1, 10.0], log: true, when: {mixture: [[sst, sts]]}}
    """
    path = tmp_path / "per_task.yaml"
    path.write_text(text, encoding="utf-8")
    space = load(path)
    drawn = [parse(space.sample(random.Random(seed))) for seed in range(20)]
    assert {config.smart.lambda_schedule for config in drawn} == {"constant", "warmup", "cosine"}
    for config in drawn:
        assert set(config.smart.task_lambda.given()) == set(config.mixture)
        assert config.smart.task_epsilon.given() == {"sst": 1e-3}
    assert space.fix({"smart.task_lambda.sst": 3.0}).fixed["smart.task_lambda.sst"] == 3.0
