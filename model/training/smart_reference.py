"""Checks that SMART's properties (docs/mathematics.md, section 1) hold on a given backbone, precision and device.

The tests of this project check the mathematics against independent references on small encoders; here the same properties are
checked on the encoder that a search will use.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.config import ConfigError, TrialConfig, parse
from model.data.example import Example
from model.data.source import DataSet, DataSummary
from model.data.tokenised import tokenise
from model.encoder import backbone
from model.encoder.network import Batch, MultitaskNetwork, batch_to, build
from model.loss import MultitaskLoss, dropout_state
from model.smart.alarms import MOST_ROUNDED
from model.smart.config import SMALLEST_EPSILON
from model.smart.variants import VARIANTS, View
from model.tasks import TASKS
from model.training.batches import make_batch

TEXTS = (
    "a gripping, funny film",
    "the plot makes no sense at all, and the ending is worse than the beginning",
    "fine",
    "nobody in the audience laughed, which for a comedy is something of a feat",
)
"""Texts of different lengths, so that there is padding."""
SEED = 1


@dataclass
class Probe:
    """One clean pass of a task, and the δ that SMART finds for it."""

    network: MultitaskNetwork
    config: TrialConfig
    batch: Batch
    view: View
    delta: Tensor
    """(S, B, L, D)"""

    def smoothness(self, delta: Tensor) -> Tensor:
        """R_s of each example at δ, (B,)."""
        return VARIANTS["paper"].smoothness(self.view, delta)


def check(config: TrialConfig, device: torch.device) -> dict[str, str | None]:
    """Check each property on all tasks of the mixture, with the configuration's ε, σ, η, precision, encoding and pooling.

    Returns the problem of each property by name, None where it holds. Raises `ConfigError` if the backbone cannot be loaded or
    does not fit `max_length`.
    """
    config = published(config)
    tokenizer = backbone.load_tokenizer(config.backbone)
    data = tokenise(_examples(config), tokenizer, config.max_length)
    network = build(config)
    problems = backbone.size_problems(network.encoder, max_length=config.max_length, vocab_size=data.vocab_size)
    if problems:
        raise ConfigError(problems)
    network.to(device)
    batches = [batch_to(make_batch(data, config, task, "train", np.arange(len(TEXTS))), device) for task in config.mixture]
    return {name: _over_tasks(test, network, config, batches) for name, test in FACTS.items()}


def published(config: TrialConfig) -> TrialConfig:
    """The configuration with SMART as published: at least one inner step, shared masks, no teacher."""
    values = config.to_dict()
    epsilon = max(config.smart.epsilon, SMALLEST_EPSILON[config.engine.precision])
    smart = {
        "enabled": True, "variant": "paper", "epsilon": epsilon, "sigma": config.smart.sigma or epsilon,
        "eta": config.smart.eta, "steps": max(1, config.smart.steps), "lambda": 1.0, "mu": 0.0,
    }  # fmt: skip
    return parse({**values, "smart": smart, "mode": "finetune", "watch": []})


def _examples(config: TrialConfig) -> DataSet:
    """`TEXTS`, or pairs of each with the next, under every task of the mixture."""
    pairs = list(zip(TEXTS, (*TEXTS[1:], TEXTS[0]), strict=True))
    tasks = {
        name: [Example(pair[0], pair[: len(TASKS[name].text_columns)], TASKS[name].label_range[1]) for pair in pairs]
        for name in config.mixture
    }
    summary = DataSummary("reference", generated=True, task_sha256={}, rows={}, skipped={}, words={})
    return DataSet({name: {"train": examples} for name, examples in tasks.items()}, summary)


def _over_tasks(
    test: Callable[[Probe], str | None], network: MultitaskNetwork, config: TrialConfig, batches: Sequence[Batch]
) -> str | None:
    """The problems that a test finds, by task; None if there are none."""
    problems = []
    for batch in batches:
        network.zero_grad(set_to_none=True)
        with probed(network, config, batch) as probe:
            problem = test(probe)
        problems += [f"{batch.task}: {problem}"] if problem else []
    return "; ".join(problems) or None


@contextmanager
def probed(network: MultitaskNetwork, config: TrialConfig, batch: Batch) -> Iterator[Probe]:
    """A training pass as in `MultitaskLoss`, up to δ; within the context the configuration's precision is active."""
    loss = MultitaskLoss(network, config).train()
    device = batch.input_ids.device
    torch.manual_seed(SEED)
    with torch.autocast(device.type, torch.bfloat16, enabled=config.engine.precision == "bf16"):
        embeddings = network.embed(batch.input_ids)
        before = dropout_state(device)
        view = loss.view(batch, embeddings, network(batch, embeddings), before)
        yield Probe(network, config, batch, view, VARIANTS["paper"].delta(view))


def zero_at_zero(probe: Probe) -> str | None:
    """δ = 0: R_s = 0, with dropout as in training."""
    largest = float(probe.smoothness(torch.zeros_like(probe.delta)).detach().abs().max())
    if not largest:
        return None
    return f"R_s is {largest:g} without a perturbation; the encoder is not a function of embeddings and masks"


def bounded(probe: Probe) -> str | None:
    """‖δ‖∞ ≤ ε."""
    largest = probe.delta.abs().max()
    bound = torch.tensor(probe.view.epsilon, dtype=largest.dtype, device=largest.device)
    return None if largest <= bound else f"a coordinate of δ is {float(largest):g}, above ε = {float(bound):g}"


def zero_at_padding(probe: Probe) -> str | None:
    """δ = 0 at padding, and not at every token."""
    outside, inside = probe.delta[probe.batch.mask == 0], probe.delta[probe.batch.mask == 1]
    if outside.any():
        return f"δ is {float(outside.abs().max()):g} at padding"
    return None if inside.any() else "δ is 0 at every token"


def no_weight_gradients(probe: Probe) -> str | None:
    """The search of δ leaves every parameter's `.grad` None."""
    touched = [name for name, parameter in probe.network.named_parameters() if parameter.grad is not None]
    return f"the search of δ left a gradient in {touched[0]} and {len(touched) - 1} more" if touched else None


def smooths(probe: Probe) -> str | None:
    """R_s > 0, and its gradient reaches the encoder and the task's head."""
    smoothness = probe.smoothness(probe.delta).mean()
    value = float(smoothness.detach())
    if not 0 < value < math.inf:
        return f"R_s is {value:g} at ε = {probe.view.epsilon:g}; a larger smart.epsilon may help"
    parts = {"the encoder": probe.network.encoder, "the head": probe.network.heads[probe.batch.task]}
    smoothness.backward()  # type: ignore[no-untyped-call]
    untouched = [
        name for name, part in parts.items() if not any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
    ]
    return f"the gradient of R_s is 0 in {' and '.join(untouched)}" if untouched else None


def plain_without_weights(probe: Probe) -> str | None:
    """λ = μ = 0: the loss is a plain step's, bit for bit."""
    values = probe.config.to_dict()
    plain, weightless = (
        MultitaskLoss(probe.network, parse({**values, "smart": smart})).train()([probe.batch], SEED)
        for smart in ({"enabled": False}, {**values["smart"], "lambda": 0.0, "mu": 0.0})
    )
    if torch.equal(plain, weightless):
        return None
    return f"the loss is {float(weightless.detach()):.9g}, that of a plain step {float(plain.detach()):.9g}"


def resolvable(probe: Probe) -> str | None:
    """Adding ε in δ's direction changes the word embeddings in the precision of the encoder."""
    precision, epsilon = probe.config.engine.precision, probe.view.epsilon
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    base = probe.view.embeddings.detach()
    is_same = (base + epsilon * probe.delta.sign()).to(dtype) == base.to(dtype)
    lost = float(is_same[probe.batch.mask == 1].float().mean())
    if lost <= MOST_ROUNDED:
        return None
    problem = f"adding ε = {epsilon:g} in {precision} does not change {lost:.0%} of the embeddings"
    return f"{problem}; raise smart.epsilon, or use engine.precision: fp32"


FACTS: dict[str, Callable[[Probe], str | None]] = {
    "δ = 0 gives R_s = 0": zero_at_zero,
    "‖δ‖∞ ≤ ε": bounded,
    "δ = 0 at padding": zero_at_padding,
    "no weight gradients from the search of δ": no_weight_gradients,
    "R_s > 0, with gradient": smooths,
    "λ = μ = 0 is a plain step": plain_without_weights,
    "ε is resolvable": resolvable,
}
"""The properties by name; each test returns the problem if its property does not hold."""
