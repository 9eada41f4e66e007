"""The health of the regulariser: how well it works, measured on a few training examples of each task between two steps.

It costs about 1.6 SMART steps of a few examples of each task (`n_examples`), and changes neither gradients nor modes nor the
state of the random generators.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from model.config import TrialConfig
from model.encoder.network import Batch
from model.loss import MultitaskLoss, dropout_state, supervised_loss
from model.smart import smoothness
from model.smart.variants import VARIANTS, View
from model.training import seeds

MOST_EXAMPLES, FEWEST_EXAMPLES = 8, 2
"""Examples of a task at one evaluation."""
SHARE = 0.05
"""Largest share of a trial's training that this may cost; `FEWEST_EXAMPLES` are always measured."""
COST = 1.6
"""Cost of a measurement in SMART steps."""
AT_BOUND = 1.0 - 1e-6
"""|δ|/ε from which a coordinate counts as saturated."""


def stopwatch(device: torch.device) -> Callable[[], float]:
    """A function that returns the seconds since its last call; it waits for the asynchronous work of a GPU."""
    began = 0.0

    def lap() -> float:
        nonlocal began
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        before, began = began, time.perf_counter()
        return began - before

    lap()
    return lap


def measure(loss: MultitaskLoss, batches: Sequence[Batch], seed: int, lambda_factor: float) -> dict[str, float]:
    """The health of R_s, with the loss in training mode; `seed` fixes the dropout masks.

    For each task whose variant moves the input: `task/delta_inf` and `task/delta_l2`, ‖δ‖∞/ε and ‖δ‖₂/(ε√n) over an example's
    n coordinates at tokens (1 at a vertex of the cube); `task/saturated`, the share of them at the bound;
    `task/cos_delta_gradient`, the cosine of δ and ∇_δ ℓ_s at δ; `task/gain_over_random`, ℓ_s at δ over ℓ_s at a random vertex
    of the cube through δ (absent if that is 0); `task/rounded_away`, the share of coordinates at tokens that adding δ does not
    change in the encoder's precision. For each task `task/lambda`, the current λ; over all tasks `smart/time_share`, the share
    of R_s in the seconds of a step without teacher and optimiser.
    """
    config = loss.config
    device = batches[0].input_ids.device
    values: dict[str, float] = {}
    plain = whole = 0.0
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for batch in batches:
            weight = config.smart.lambda_of(batch.task) * lambda_factor
            with torch.autocast(device.type, torch.bfloat16, enabled=config.engine.precision == "bf16"):
                view, delta, laps = _timed_step(loss, batch, weight)
                if VARIANTS[config.smart.variant].moves_input:
                    of_task = geometry(view, delta, batch, config)
                    values |= {f"{batch.task}/{name}": value for name, value in of_task.items()}
            values[f"{batch.task}/lambda"] = weight
            forward, inner, adversarial, plain_backward, whole_backward = laps
            plain += forward + plain_backward
            whole += forward + inner + adversarial + whole_backward
    return values | {"smart/time_share": min(max(1.0 - plain / whole, 0.0), 1.0)}


def _timed_step(loss: MultitaskLoss, batch: Batch, weight: float) -> tuple[View, Tensor, list[float]]:
    """View and δ of a step, and the seconds of clean pass, search of δ, adversarial pass, backward without and with R_s."""
    network, variant = loss.network, VARIANTS[loss.config.smart.variant]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    lap = stopwatch(batch.input_ids.device)
    embeddings = network.embed(batch.input_ids)
    before = dropout_state(embeddings.device)
    logits: Tensor = network(batch, embeddings)
    supervised = supervised_loss(batch, logits).mean()
    laps = [lap()]
    view = loss.view(batch, embeddings, logits, before)
    delta = variant.delta(view)
    laps.append(lap())
    total = supervised + weight * variant.smoothness(view, delta).mean()
    laps.append(lap())
    torch.autograd.grad(supervised, trained, retain_graph=True, allow_unused=True)
    laps.append(lap())
    torch.autograd.grad(total, trained, allow_unused=True)
    laps.append(lap())
    return view, delta, laps


def geometry(view: View, delta: Tensor, batch: Batch, config: TrialConfig) -> dict[str, float]:
    """Size and direction of δ, as `measure` names them."""
    at_token = view.mask.bool()
    n = at_token.sum((0, 2)) * delta.shape[-1]
    delta = delta.detach().float().requires_grad_()
    clean = view.clean.detach()
    reached = view.divergence(view.inner_logits_at(delta), clean)
    (gradient,) = torch.autograd.grad(reached.sum(), delta)
    delta = delta.detach()
    largest = delta.abs().amax((0, 2, 3))
    vertex_seeds = seeds.mix(seeds.HEALTH, batch.seeds)  # independent of δ's start
    noise = smoothness.example_noise(batch.lengths, delta.shape[-1], sigma=1.0, seeds=vertex_seeds, length=delta.shape[2])
    vertex = noise.sign().to(delta.device) * largest.view(1, -1, 1, 1)
    random = view.divergence(view.inner_logits_at(vertex), clean).detach().mean()
    norms = [x.square().sum((0, 2, 3)).sqrt() for x in (delta, gradient)]
    cosine = (delta * gradient).sum((0, 2, 3)) / (norms[0] * norms[1]).clamp_min(torch.finfo(torch.float32).tiny)
    dtype = torch.bfloat16 if config.engine.precision == "bf16" else torch.float32
    base = view.embeddings.detach()
    is_same = (base + delta).to(dtype) == base.to(dtype)
    values = {
        "delta_inf": largest.mean() / view.epsilon,
        "delta_l2": (norms[0] / n.sqrt()).mean() / view.epsilon,
        "saturated": (delta.abs() >= AT_BOUND * view.epsilon)[at_token].float().mean(),
        "cos_delta_gradient": cosine.mean(),
        "rounded_away": is_same[at_token].float().mean(),
    }
    if random > 0:
        values["gain_over_random"] = reached.detach().mean() / random
    return {name: float(value) for name, value in values.items()}


def n_examples(trained: float, micro_batch: int) -> int:
    """Number of examples of a task to measure at an evaluation, after training on `trained` examples since the last.

    At most `micro_batch`, for which there is enough memory.
    """
    affordable = int(SHARE * trained / COST)
    return min(max(affordable, FEWEST_EXAMPLES), MOST_EXAMPLES, micro_batch)


def spread(n_examples: int, n_chosen: int) -> np.ndarray:
    """At most `n_chosen` indices, evenly spaced over `n_examples`; the same at each evaluation, for comparable values."""
    return np.unique(np.linspace(0, n_examples - 1, min(n_chosen, n_examples)).astype(np.int64))
