"""The canonical form of a configuration, equal for configurations that train the same weights: unused settings are defaults.

tests/model/test_canonical.py trains both forms and compares every bit. Only equality on all data counts: `ratios` that are
proportional to the sizes stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from model.config import MixingConfig, OptimConfig, SmartConfig, TrialConfig
from model.mixing import loss_weights
from model.smart.variants import VARIANTS
from model.strategies import STRATEGIES
from model.tasks import TASKS


def canonical(config: TrialConfig) -> TrialConfig:
    """The configuration with the default for every setting that does not influence the trial.

    Two configurations with equal canonical forms have the same result; `canonical` of a canonical form is itself. The order of
    the mixture stays: it decides the heads' initial weights, the dropout masks and which task a step draws.
    """
    optim, budget, engine = config.optim, config.budget, config.engine
    update: dict[str, Any] = {"mixing": _mixing(config), "smart": _smart(config)}
    if not any(TASKS[task].is_pair for task in config.mixture):
        update["pair_encoding"] = TrialConfig.model_fields["pair_encoding"].default
    if config.mode == "pretrain":  # the encoder is frozen
        update["optim"] = optim.model_copy(update={"lr": OptimConfig.model_fields["lr"].default})
    if budget.evaluations == 1:  # the last evaluation is always complete
        update["budget"] = budget.model_copy(update={"early_eval_examples": None})
    if engine.zero_stage < 3:
        update["engine"] = engine.model_copy(update={"allow_zero3": False})
    return config.model_copy(update=update)


def _mixing(config: TrialConfig) -> MixingConfig:
    """A single task trains at every step under any strategy. Loss weights that are all 1 are `equal`."""
    mixing = config.mixing
    used: dict[str, Any] = {}
    if len(config.mixture) > 1:
        used["strategy"] = mixing.strategy
        setting = STRATEGIES[mixing.strategy].setting
        if setting:
            used[setting] = getattr(mixing, setting)
    factors = loss_weights(mixing, config.mixture)
    if mixing.loss_weights == "uncertainty" or any(factor != 1.0 for factor in factors.values()):
        used["loss_weights"] = mixing.loss_weights
        used["weights"] = mixing.weights if mixing.loss_weights == "explicit" else {}
    return MixingConfig(**used)


def _smart(config: TrialConfig) -> SmartConfig:
    """SMART without R_s and without a teacher is off."""
    regulariser, teacher = _regulariser(config), _teacher(config.smart)
    if not config.smart.enabled or not (regulariser or teacher):
        return SmartConfig(enabled=False)
    return SmartConfig(**{"lambda_": 0.0, "mu": 0.0, **regulariser, **teacher})


def _regulariser(config: TrialConfig) -> dict[str, Any]:
    """The settings of R_s that are used; none if every λ of the mixture is 0.

    `steps` is the variant's K; the published SMART with K = 0 is R3F.
    """
    smart = config.smart
    lambdas = {task: smart.lambda_of(task) for task in config.mixture}
    smoothed = [task for task, weight in lambdas.items() if weight > 0]
    if not smoothed:
        return {}
    variant = "r3f" if smart.variant == "paper" and smart.steps == 0 else smart.variant
    used: dict[str, Any] = {"variant": variant, "steps": smart.inner_steps, **_schedule(smart)}
    used["lambda_"], used["task_lambda"] = _common(lambdas)
    if VARIANTS[variant].moves_input:  # otherwise there is no δ, and masks are always independent
        used["sigma"] = smart.sigma
        # Without dropout all masks are the same. σ = 0 is valid with `independent` only.
        used["dropout_masks"] = smart.dropout_masks if config.optim.dropout > 0 or smart.sigma == 0 else "shared"
    if VARIANTS[variant].is_bounded or smart.inner_steps > 0:  # `mtdnn` uses ε in its inner steps only
        used["epsilon"], used["task_epsilon"] = _common({task: smart.epsilon_of(task) for task in smoothed})
    if smart.inner_steps > 0:
        used["eta"] = smart.eta
    return used


def _schedule(smart: SmartConfig) -> dict[str, Any]:
    """The settings of λ's schedule that are used; `warmup` over 0 updates is constant."""
    if smart.lambda_schedule == "constant" or (smart.lambda_schedule == "warmup" and smart.lambda_warmup == 0):
        return {}
    return {"lambda_schedule": smart.lambda_schedule, "lambda_warmup": smart.lambda_warmup}


def _teacher(smart: SmartConfig) -> dict[str, Any]:
    """The settings of the Bregman term that are used; none without it. A β that does not change needs no `beta_switch`."""
    if smart.mu == 0:
        return {}
    before = smart.beta_late if smart.beta_switch == 0 else smart.beta
    after = smart.beta if smart.beta_switch == 1 else smart.beta_late
    switch = {} if before == after else {"beta_switch": smart.beta_switch}
    return {"mu": smart.mu, "beta": before, "beta_late": after, **switch}


def _common(values: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """The most frequent value (the largest of equally frequent ones), and the values of the other tasks."""
    frequency = Counter(values.values())
    common = max(frequency, key=lambda value: (frequency[value], value))
    return common, {task: value for task, value in values.items() if value != common}
