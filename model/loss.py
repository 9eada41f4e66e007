"""The loss of a step, SMART included, as one module, which DeepSpeed's engine calls once per step.

`min Σ_tasks w·L(θ) + λ·R_s(θ) + μ·D_Breg(θ, θ̃)` (docs/mathematics.md, section 1). The inner maximisation runs within
`forward` on the unwrapped network, because `autograd.grad` through DeepSpeed's engine fails on its output hooks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from model.config import SmartConfig, TrialConfig
from model.encoder.network import Batch, MultitaskNetwork, PooledBatch, to_device
from model.mixing import loss_weights
from model.smart import smoothness as smart
from model.smart.variants import VARIANTS, View
from model.tasks import TASKS


class Teacher:
    """The momentum teacher θ̃: a float32 copy in eval mode without gradients, moved towards θ after each update.

    It is not a module, so that DeepSpeed neither broadcasts nor optimises it.
    """

    def __init__(self, network: MultitaskNetwork) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: MultitaskNetwork, beta: float) -> None:
        """θ̃ ← (1 − β)θ + βθ̃."""
        averages: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(averages, list(network.parameters()), 1.0 - beta)


class MultitaskLoss(nn.Module):
    """Maps the batches of a step, one for each task it trains, to the scalar loss. `terms` holds its parts, detached."""

    def __init__(self, network: MultitaskNetwork, config: TrialConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.weights = loss_weights(config.mixing, config.mixture)
        self.log_variance = nn.ParameterDict()
        if config.mixing.loss_weights == "uncertainty":
            self.log_variance.update({name: nn.Parameter(torch.zeros(1)) for name in config.mixture})
        self.teacher = Teacher(network) if config.smart.enabled and config.smart.mu > 0 else None
        self.terms: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> MultitaskLoss:
        """Training mode; a frozen encoder stays in eval mode, so that its features are the same at every step."""
        super().train(mode)
        if self.config.mode == "pretrain":
            self.network.encoder.eval()
        return self

    def forward(self, batches: Sequence[Batch | PooledBatch], seed: int, lambda_factor: float = 1.0) -> Tensor:
        """The loss of a step, a scalar.

        `seed` fixes the dropout masks of this step and rank, the only use of torch's global generator. `lambda_factor` is λ of
        this step as a share of the configured one.
        """
        torch.manual_seed(seed)
        device_type = batches[0].labels.device.type
        self.terms = {}
        with torch.autocast(device_type, torch.bfloat16, enabled=self.config.engine.precision == "bf16"):
            losses = [self._task_loss(batch, lambda_factor) for batch in batches]
        return torch.stack(losses).sum()

    def _task_loss(self, batch: Batch | PooledBatch, lambda_factor: float) -> Tensor:
        settings = self.config.smart
        weight = settings.lambda_of(batch.task) * lambda_factor
        smoothness = None
        if isinstance(batch, Batch) and settings.enabled and weight > 0:
            embeddings = self.network.embed(batch.input_ids)
            before = dropout_state(embeddings.device)
            logits: Tensor = self.network(batch, embeddings)
            smoothness = self._smoothness(batch, embeddings, logits, before).mean()
        else:
            logits = self.network.logits(batch)
        supervised = supervised_loss(batch, logits).mean()
        total = self._weighted(batch.task, supervised)
        self.terms[f"{batch.task}/loss"] = supervised.detach()
        if smoothness is not None:
            total = total + weight * smoothness
            self.terms[f"{batch.task}/smoothness"] = smoothness.detach()
        if self.teacher is not None:
            with torch.no_grad():
                target = self.teacher.network.logits(batch)
            bregman = divergence_of(batch.task)(logits, target).mean()
            total = total + settings.mu * bregman
            self.terms[f"{batch.task}/bregman"] = bregman.detach()
        return total

    def _weighted(self, task: str, supervised: Tensor) -> Tensor:
        """The supervised loss times the task's weight; `uncertainty` is Kendall et al. 2018, equations 7 and 10."""
        if task not in self.log_variance:
            return self.weights[task] * supervised
        log_variance = self.log_variance[task].squeeze()  # DeepSpeed cannot broadcast parameters without dimensions
        scale = 0.5 if TASKS[task].kind == "regression" else 1.0
        weighted: Tensor = scale * torch.exp(-log_variance) * supervised + 0.5 * log_variance
        return weighted

    def _smoothness(self, batch: Batch, embeddings: Tensor, logits: Tensor, replay: Tensor | None) -> Tensor:
        """R_s of each example by the configured variant, (B,)."""
        view = self.view(batch, embeddings, logits, replay)
        variant = VARIANTS[self.config.smart.variant]
        return variant.smoothness(view, variant.delta(view))

    def view(self, batch: Batch, embeddings: Tensor, logits: Tensor, replay: Tensor | None) -> View:
        """The variants' view of a batch. `replay` is the dropout generator's state at the clean pass, for shared masks."""
        settings = self.config.smart
        shared = replay if settings.dropout_masks == "shared" and VARIANTS[settings.variant].moves_input else None

        def forward(perturbed: Tensor) -> Tensor:
            if shared is not None:
                _set_dropout_state(perturbed.device, shared)
            return self.network(batch, perturbed)  # type: ignore[no-any-return]

        return View(
            embeddings=embeddings,
            clean=logits,
            mask=batch.mask,
            start=lambda: start_of(batch, settings, embeddings.shape[-1]),
            forward=forward,
            divergence=divergence_of(batch.task),
            is_regression=TASKS[batch.task].kind == "regression",
            epsilon=settings.epsilon_of(batch.task),
            eta=settings.eta,
            steps=settings.inner_steps,
        )


def supervised_loss(batch: Batch | PooledBatch, logits: Tensor) -> Tensor:
    """Cross-entropy or squared error of each example. (B, C) → (B,) float32."""
    if TASKS[batch.task].kind == "regression":
        return (logits[:, 0].float() - batch.labels).square()
    return nn.functional.cross_entropy(logits.float(), batch.labels, reduction="none")


def divergence_of(task: str) -> smart.Divergence:
    """ℓ_s of a task: the symmetric KL divergence, or the squared error of a regression."""
    return smart.squared_error if TASKS[task].kind == "regression" else smart.symmetric_kl


def start_of(batch: Batch, settings: SmartConfig, dim: int) -> Tensor:
    """The random start of δ for a batch, (S, B, L, D) on its device."""
    noise = smart.example_noise(batch.lengths, dim, sigma=settings.sigma, seeds=batch.seeds, length=batch.mask.shape[-1])
    return to_device(noise, batch.mask.device)


def dropout_state(device: torch.device) -> Tensor:
    """State of the generator that dropout uses."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_dropout_state(device: torch.device, state: Tensor) -> None:
    setter: Callable[..., None] = torch.cuda.set_rng_state if device.type == "cuda" else torch.set_rng_state
    setter(state, *([device] if device.type == "cuda" else []))
