"""Configurations with the same canonical form train bit-equal weights; others do not."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.canonical import canonical
from model.config import ConfigError, SmartConfig, TrialConfig, field_names, parse
from model.training.trial import Training
from tests.support import tiny
from tests.support.weights import assert_same_weights, weights_of

BASE = {
    "mixture": ["sst", "sts"],
    "max_length": 32,
    "optim.batch_size": 8,
    "optim.lr": 1e-3,
    "budget.examples": 48,
    "budget.evaluations": 1,
    "smart.epsilon": 1e-2,  # large enough that δ shows in the weights of three steps
    "smart.sigma": 1e-2,
}
OFF = {"smart.enabled": False}
RANDOM = {"smart.steps": 0}
RDROP = {"smart.variant": "rdrop"}
ALONE = {"mixture": ["sst"], "smart.enabled": False}
NO_DROPOUT = {"optim.dropout": 0.0}
HALVES = {"sst": 0.5, "sts": 0.5}

VOID: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (OFF, {"smart.variant": "mtdnn", "smart.steps": 3, "smart.epsilon": 0.5, "smart.sigma": 0.5, "smart.eta": 0.5}),
    (OFF, {"smart.lambda": 5.0, "smart.task_lambda.sst": 2.0, "smart.task_epsilon.sst": 0.5}),
    (OFF, {"smart.dropout_masks": "independent", "smart.lambda_warmup": 0.5, "smart.beta_switch": 0.5}),
    (OFF, {"smart.lambda_schedule": "cosine", "smart.mu": 3.0, "smart.beta": 0.5, "smart.beta_late": 0.5}),
    (OFF, {"smart.enabled": True, "smart.lambda": 0.0, "smart.mu": 0.0}),
    (OFF, {"smart.enabled": True, "smart.task_lambda.sst": 0.0, "smart.task_lambda.sts": 0.0, "smart.mu": 0.0}),
    ({"smart.lambda": 0.0}, {"smart.epsilon": 0.5, "smart.sigma": 0.5, "smart.eta": 0.5, "smart.steps": 3}),
    ({"smart.lambda": 0.0}, {"smart.lambda_schedule": "cosine", "smart.dropout_masks": "independent", **RDROP}),
    ({"smart.mu": 0.0}, {"smart.beta": 0.1, "smart.beta_late": 0.2, "smart.beta_switch": 0.9}),
    ({"smart.beta_switch": 0.0}, {"smart.beta": 0.1}),
    ({"smart.beta_switch": 1.0}, {"smart.beta_late": 0.1}),
    ({"smart.beta": 0.5, "smart.beta_late": 0.5}, {"smart.beta_switch": 0.7}),
    (RANDOM, {"smart.eta": 0.5}),
    (RANDOM, {"smart.variant": "r3f"}),
    ({"smart.variant": "r3f"}, {"smart.steps": 3, "smart.eta": 0.5}),
    (RDROP, {"smart.epsilon": 0.5, "smart.task_epsilon.sst": 0.7, "smart.sigma": 0.0}),
    (RDROP, {"smart.steps": 3, "smart.eta": 0.5, "smart.dropout_masks": "independent"}),
    ({"smart.variant": "mtdnn", **RANDOM}, {"smart.epsilon": 0.5, "smart.eta": 0.5}),
    (NO_DROPOUT, {"smart.dropout_masks": "independent"}),
    ({"smart.lambda_schedule": "constant"}, {"smart.lambda_warmup": 0.9}),
    ({"smart.lambda_schedule": "constant"}, {"smart.lambda_schedule": "warmup", "smart.lambda_warmup": 0.0}),
    ({"smart.lambda": 3.0}, {"smart.lambda": 1.0, "smart.task_lambda.sst": 3.0, "smart.task_lambda.sts": 3.0}),
    ({"smart.task_lambda.sst": 3.0, "smart.task_lambda.sts": 2.0}, {"smart.lambda": 7.0}),
    ({"smart.task_lambda.sst": 0.0}, {"smart.task_epsilon.sst": 0.5}),
    ({"smart.task_epsilon.sst": 0.5, "smart.task_epsilon.sts": 0.2}, {"smart.epsilon": 0.9}),
    (OFF, {"mixing.temperature": 9.0, "mixing.annealed_end": 0.9, "mixing.ratios": HALVES}),
    ({**OFF, "mixing.strategy": "uniform"}, {"mixing.temperature": 9.0, "mixing.annealed_end": 0.9}),
    ({**OFF, "mixing.strategy": "temperature"}, {"mixing.annealed_end": 0.9}),
    ({**OFF, "mixing.strategy": "annealed"}, {"mixing.temperature": 9.0}),
    *((ALONE, {"mixing.strategy": name}) for name in ("proportional", "sqrt", "temperature", "uniform", "annealed")),
    (ALONE, {"mixing.strategy": "ratios", "mixing.ratios": {"sst": 1.0}}),
    ({**ALONE, "budget.examples": None, "budget.epochs": 0.5}, {"mixing.strategy": "sqrt"}),
    (OFF, {"mixing.weights": {"sst": 5.0, "sts": 2.0}}),
    (OFF, {"mixing.loss_weights": "explicit", "mixing.weights": {"sst": 1.0, "sts": 1.0}}),
    ({**OFF, "mixture": ["sts"]}, {"mixing.loss_weights": "log_classes"}),
    (ALONE, {"pair_encoding": "cross"}),
    (ALONE, {"pair_encoding": "concat_pooled"}),
    ({"mode": "pretrain"}, {"optim.lr": 0.5}),
    (OFF, {"budget.early_eval_examples": 2}),
    (OFF, {"engine.allow_zero3": True}),
]  # fmt: skip
"""Settings, and further settings that have no effect in combination with them."""

LIVE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (OFF, {"smart.enabled": True}),
    (OFF, {"seed": 1}),
    (OFF, {"mixture": ["sts", "sst"]}),
    (OFF, {"mixture": ["sst"]}),
    (OFF, {"mode": "pretrain"}),
    (OFF, {"pooling": "cls"}),
    (OFF, {"pair_encoding": "cross"}),
    (OFF, {"pair_encoding": "concat_pooled"}),
    ({**OFF, "pair_encoding": "cosine", "mixture": ["sts"]}, {"pooling": "cls"}),
    (OFF, {"max_length": 12}),
    (OFF, {"budget.examples": 64}),
    *((OFF, {"mixing.strategy": name}) for name in ("proportional", "annealed")),
    ({**OFF, "mixing.strategy": "ratios", "mixing.ratios": HALVES}, {"mixing.ratios": {"sst": 1.0, "sts": 0.0}}),
    (OFF, {"mixing.loss_weights": "log_classes"}),
    (ALONE, {"mixing.loss_weights": "log_classes"}),
    (ALONE, {"mixing.loss_weights": "uncertainty"}),
    (OFF, {"mixing.loss_weights": "explicit", "mixing.weights": {"sst": 1.0, "sts": 2.0}}),
    *((OFF, {f"optim.{name}": value}) for name, value in {
        "lr": 5e-4, "head_lr": 5e-3, "warmup": 1.0, "decay": "constant", "weight_decay": 0.1, "batch_size": 4,
        "accumulation": 2, "clip_norm": 0.01, "dropout": 0.2,
    }.items()),
    ({"mode": "pretrain"}, {"optim.head_lr": 5e-3}),
    ({"mode": "pretrain"}, {"smart.lambda": 5.0}),
    ({}, {"smart.lambda": 5.0}),
    ({}, {"smart.task_lambda.sst": 5.0}),
    ({}, {"smart.epsilon": 5e-3}),
    ({}, {"smart.task_epsilon.sst": 5e-3}),
    ({}, {"smart.sigma": 5e-3}),
    ({}, {"smart.eta": 5e-3}),
    ({}, {"smart.steps": 2}),
    ({}, {"smart.steps": 0}),
    ({}, {"smart.mu": 3.0}),
    ({}, {"smart.mu": 0.0}),
    ({}, {"smart.beta": 0.5}),
    ({}, {"smart.beta_late": 0.5}),
    ({"smart.beta": 0.5}, {"smart.beta_switch": 0.5}),
    ({}, {"smart.dropout_masks": "independent"}),
    ({}, {"smart.lambda_schedule": "cosine"}),
    ({"smart.lambda_schedule": "warmup"}, {"smart.lambda_warmup": 1.0}),
    *(({}, {"smart.variant": name}) for name in ("r3f", "rdrop", "mtdnn")),
    (RANDOM, {"smart.epsilon": 5e-3}),
    (RANDOM, {"smart.variant": "mtdnn"}),
    ({"smart.variant": "mtdnn"}, {"smart.epsilon": 5e-3}),
    ({"smart.lambda": 0.0}, {"smart.mu": 3.0}),
    ({"smart.lambda": 0.0}, {"smart.beta": 0.5}),
]  # fmt: skip
"""Settings, and further settings that change the weights in combination with them."""

Config = Callable[..., TrialConfig]


@pytest.fixture(scope="module")
def config_of(tiny_backbone: Path) -> Config:
    def made(*layers: dict[str, Any]) -> TrialConfig:
        values: dict[str, Any] = {"backbone": str(tiny_backbone)}
        for layer in (BASE, *layers):
            values |= layer
        return parse(nest(values))

    return made


@pytest.fixture(scope="module")
def trained() -> Callable[[TrialConfig], dict[str, Tensor]]:
    """The weights after training a configuration, cached by configuration."""
    known: dict[str, dict[str, Tensor]] = {}

    def weights(config: TrialConfig) -> dict[str, Tensor]:
        key = config.model_dump_json()
        if key not in known:
            with closing(Training(config, tiny.data())) as training:
                training._train_to(training.n_steps)
                known[key] = weights_of(training)
        return known[key]

    return weights


Trained = Callable[[TrialConfig], dict[str, Tensor]]


def nest(values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        *sections, leaf = name.split(".")
        inner = nested
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[leaf] = value
    return nested


def named(pair: tuple[dict[str, Any], dict[str, Any]]) -> str:
    where, change = pair
    texts = [",".join(f"{name}={value}" for name, value in part.items()).replace("smart.", "") for part in (where, change)]
    return " | ".join(texts)


def some(pairs: list[tuple[dict[str, Any], dict[str, Any]]]) -> list[Any]:
    """Every sixth pair is trained in `make check`, the others in `make test`."""
    marks = [() if number % 6 == 0 else (pytest.mark.slow,) for number in range(len(pairs))]
    return [pytest.param(*pair, id=named(pair), marks=mark) for pair, mark in zip(pairs, marks, strict=True)]


def test_what_is_void_has_one_form_and_what_counts_has_two(config_of: Config) -> None:
    for where, change in VOID:
        assert config_of(where) != config_of(where, change)
        assert canonical(config_of(where)) == canonical(config_of(where, change)), named((where, change))
    for where, change in LIVE:
        assert canonical(config_of(where)) != canonical(config_of(where, change)), named((where, change))


@pytest.mark.parametrize(("where", "change"), some(VOID))
def test_unused_settings_change_no_bit(
    config_of: Config, trained: Trained, where: dict[str, Any], change: dict[str, Any]
) -> None:
    assert_same_weights(trained(config_of(where)), trained(config_of(where, change)))


@pytest.mark.parametrize(("where", "change"), some(LIVE))
def test_used_settings_change_the_weights(
    config_of: Config, trained: Trained, where: dict[str, Any], change: dict[str, Any]
) -> None:
    ours, theirs = trained(config_of(where)), trained(config_of(where, change))
    assert ours.keys() != theirs.keys() or any(
        ours[name].shape != theirs[name].shape or not torch.equal(ours[name], theirs[name]) for name in ours
    )


CHOICES: dict[str, list[Any]] = {
    "mixture": [["sst"], ["sts"], ["sst", "sts"], ["quora", "sst"]],
    "mode": ["finetune", "pretrain"],
    "pair_encoding": ["cosine", "cross", "concat_pooled"],
    "pooling": ["mean", "cls"],
    "mixing.strategy": ["loop_to_max", "proportional", "temperature", "annealed"],
    "mixing.temperature": [1.0, 5.0],
    "mixing.annealed_end": [0.2, 1.0],
    "mixing.loss_weights": ["equal", "log_classes", "uncertainty"],
    "smart.enabled": [True, True, False],
    "smart.variant": ["paper", "r3f", "rdrop", "mtdnn"],
    "smart.steps": [0, 1, 2],
    "smart.epsilon": [1e-2, 1e-3],
    "smart.sigma": [1e-2, 1e-3, 0.0],
    "smart.eta": [1e-3, 1e-2],
    "smart.lambda": [0.0, 1.0, 3.0],
    "smart.task_lambda.sst": [None, None, 0.0, 1.0],
    "smart.task_lambda.sts": [None, None, 0.0, 3.0],
    "smart.task_epsilon.sst": [None, None, 1e-2],
    "smart.lambda_schedule": ["constant", "warmup", "cosine"],
    "smart.lambda_warmup": [0.0, 0.5],
    "smart.mu": [0.0, 0.0, 1.0],
    "smart.beta": [0.5, 0.9],
    "smart.beta_late": [0.5, 0.9],
    "smart.beta_switch": [0.0, 0.1, 1.0],
    "smart.dropout_masks": ["shared", "independent"],
    "optim.dropout": [0.0, 0.1],
    "optim.lr": [1e-3, 1e-4],
    "budget.evaluations": [1, 2],
    "budget.early_eval_examples": [None, 4],
    "engine.allow_zero3": [False, True],
}


def drawn(config_of: Config, n: int, seed: int) -> list[TrialConfig]:
    """Random valid configurations."""
    rng = random.Random(seed)
    found: list[TrialConfig] = []
    while len(found) < n:
        try:
            found.append(config_of({name: rng.choice(values) for name, values in CHOICES.items()}))
        except ConfigError:
            continue
    return found


def test_a_canonical_form_parses_and_is_its_own(config_of: Config) -> None:
    configs = drawn(config_of, 400, seed=0)
    forms = [canonical(config) for config in configs]
    assert [canonical(form) for form in forms] == forms
    assert [parse(form.to_dict()) for form in forms] == forms
    assert len({form.model_dump_json() for form in forms}) < len({config.model_dump_json() for config in configs})


@pytest.mark.slow
def test_a_canonical_form_trains_to_the_same_weights(config_of: Config, trained: Trained) -> None:
    changed = [config for config in drawn(config_of, 16, seed=1) if canonical(config) != config]
    assert len(changed) > 10
    for config in changed:
        assert_same_weights(trained(config), trained(canonical(config)))


def test_proportional_ratios_keep_their_form(config_of: Config) -> None:
    """Whether p in floats is that of another strategy depends on the data."""
    ratios = config_of({"mixing.strategy": "ratios", "mixing.ratios": HALVES})
    assert canonical(ratios).mixing == ratios.mixing


def test_the_common_lambda_is_that_of_most_tasks(config_of: Config) -> None:
    """`smart.lambda` keeps the user's value if possible."""
    three = {"mixture": ["sst", "quora", "sts"], "smart.lambda": 3.0}
    assert canonical(config_of(three, {"smart.task_lambda.sst": 0.0})).smart.lambda_ == 3.0
    tie = canonical(config_of({"smart.lambda": 3.0, "smart.task_lambda.sst": 0.5})).smart
    assert (tie.lambda_, tie.task_lambda.given()) == (3.0, {"sst": 0.5})


def test_off_is_all_defaults() -> None:
    assert canonical(TrialConfig(smart=SmartConfig(enabled=False, steps=5))).smart == SmartConfig(enabled=False)


def test_every_setting_is_covered() -> None:
    """A new setting must be added to the cases above, or to those below that do not influence the weights."""
    elsewhere = {"backbone", "watch", "budget.epochs", "budget.evaluations", "engine.precision", "engine.zero_stage"}
    tried = {name for where, change in (*VOID, *LIVE) for name in (*where, *change)}
    tasks = {f"smart.{name}.{task}" for name in ("task_lambda", "task_epsilon") for task in ("quora", "cfimdb")}
    assert set(field_names()) - tried - tasks <= elsewhere
