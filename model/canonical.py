"""One form for all configurations that train the same weights: settings that nothing reads take their defaults.

What counts is read off the code that uses it; tests/model/test_canonical.py trains both forms and compares every bit. Only
equality that holds on any data is folded: `ratios` that happen to be proportional stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from model.config import BudgetConfig, EngineConfig, MixingConfig, OptimConfig, SmartConfig, TrialConfig
from model.mixing import loss_weights
from model.smart.variants import VARIANTS
from model.strategies import STRATEGIES
from model.tasks import TASKS


def canonical(config: TrialConfig) -> TrialConfig:
    """The configuration in which every setting without influence on the trial has its default.

    Two configurations with equal canonical forms have the same result; `canonical` of a canonical form is itself. The order
    of the mixture stays: it decides the heads' random start, the dropout masks and which task a step draws.
    """
    without_pairs = not any(TASKS[task].is_pair for task in config.mixture)
    return config.model_copy(
        update={
            "pair_encoding": TrialConfig.model_fields["pair_encoding"].default if without_pairs else config.pair_encoding,
            "mixing": _mixing(config),
            "smart": _smart(config),
            "optim": _optim(config),
            "budget": _budget(config.budget),
            "engine": _engine(config.engine),
        }
    )


def _mixing(config: TrialConfig) -> MixingConfig:
    """A lone task trains at every step under any strategy. Loss weights that are all 1 are `equal`."""
    mixing = config.mixing
    counts: dict[str, Any] = {}
    if len(config.mixture) > 1:
        counts["strategy"] = mixing.strategy
        setting = STRATEGIES[mixing.strategy].setting
        if setting:
            counts[setting] = getattr(mixing, setting)
    factors = loss_weights(mixing, config.mixture)
    if mixing.loss_weights == "uncertainty" or any(factor != 1.0 for factor in factors.values()):
        counts["loss_weights"] = mixing.loss_weights
        counts["weights"] = mixing.weights if mixing.loss_weights == "explicit" else {}
    return MixingConfig(**counts)


def _smart(config: TrialConfig) -> SmartConfig:
    """SMART that neither smooths nor has a teacher is off."""
    regulariser, teacher = _regulariser(config), _teacher(config.smart)
    if not config.smart.enabled or not (regulariser or teacher):
        return SmartConfig(enabled=False)
    return SmartConfig(**{"lambda_": 0.0, "mu": 0.0, **regulariser, **teacher})


def _regulariser(config: TrialConfig) -> dict[str, Any]:
    """What counts of R_s; nothing where no task of the mixture has a λ.

    `steps` is the K that the variant takes, and without one the published SMART is R3F.
    """
    smart = config.smart
    lambdas = {task: smart.lambda_of(task) for task in config.mixture}
    smoothed = [task for task, weight in lambdas.items() if weight > 0]
    if not smoothed:
        return {}
    variant = "r3f" if smart.variant == "paper" and smart.steps == 0 else smart.variant
    counts: dict[str, Any] = {"variant": variant, "steps": smart.inner_steps, **_schedule(smart)}
    counts["lambda_"], counts["task_lambda"] = _common(lambdas)
    if VARIANTS[variant].moves_input:  # otherwise there is no δ, and masks are always independent
        counts["sigma"] = smart.sigma
        # Without dropout all masks are the same. σ = 0 needs `independent` to be accepted at all.
        counts["dropout_masks"] = smart.dropout_masks if config.optim.dropout > 0 or smart.sigma == 0 else "shared"
    if smart.is_bounded or smart.inner_steps > 0:  # `mtdnn` has ε in its inner steps alone
        counts["epsilon"], counts["task_epsilon"] = _common({task: smart.epsilon_of(task) for task in smoothed})
    if smart.inner_steps > 0:
        counts["eta"] = smart.eta
    return counts


def _schedule(smart: SmartConfig) -> dict[str, Any]:
    """What counts of the course of λ: a rise that takes no time, and no fall after it, is constant."""
    if smart.lambda_schedule == "constant" or (smart.lambda_schedule == "warmup" and smart.lambda_warmup == 0):
        return {}
    return {"lambda_schedule": smart.lambda_schedule, "lambda_warmup": smart.lambda_warmup}


def _teacher(smart: SmartConfig) -> dict[str, Any]:
    """What counts of the Bregman term; nothing without one. A β that never changes has no moment at which it does."""
    if smart.mu == 0:
        return {}
    before = smart.beta_late if smart.beta_switch == 0 else smart.beta
    after = smart.beta if smart.beta_switch == 1 else smart.beta_late
    switch = {} if before == after else {"beta_switch": smart.beta_switch}
    return {"mu": smart.mu, "beta": before, "beta_late": after, **switch}


def _common(values: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """The value that most tasks have (of equally common ones the largest), and those of the other tasks."""
    counted = Counter(values.values())
    common = max(counted, key=lambda value: (counted[value], value))
    return common, {task: value for task, value in values.items() if value != common}


def _optim(config: TrialConfig) -> OptimConfig:
    """A frozen encoder has no learning rate."""
    if config.mode == "finetune":
        return config.optim
    return config.optim.model_copy(update={"lr": OptimConfig.model_fields["lr"].default})


def _budget(budget: BudgetConfig) -> BudgetConfig:
    """The last evaluation is no early one."""
    return budget.model_copy(update={"early_eval_examples": None}) if budget.evaluations == 1 else budget


def _engine(engine: EngineConfig) -> EngineConfig:
    """What ZeRO-3 may do does not matter below it."""
    return engine if engine.zero_stage == 3 else engine.model_copy(update={"allow_zero3": False})
