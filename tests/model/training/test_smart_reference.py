"""The checks of SMART on a backbone: all pass on a correct one, and each fails with its mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model import loss
from model.config import ConfigError, SmartConfig, TrialConfig
from model.smart import smoothness
from model.training import smart_reference
from tests.support import tiny

CPU = torch.device("cpu")


def config_of(backbone: Path, **settings: Any) -> TrialConfig:
    optim = {"batch_size": 8, "dropout": 0.3}
    return tiny.config(
        backbone, mixture=["sst", "sts"], **{"optim": optim, "smart": {"epsilon": 1e-3, "sigma": 1e-3}, **settings}
    )


def wrong(config: TrialConfig) -> dict[str, str]:
    return {name: problem for name, problem in smart_reference.check(config, CPU).items() if problem}


@pytest.mark.parametrize(
    "settings",
    [{}, {"pair_encoding": "cross", "pooling": "cls"}, {"smart": {"enabled": False}}, {"smart": {"steps": 0, "mu": 0.0}}],
)
def test_all_facts_hold_on_a_bert(tiny_backbone: Path, settings: dict[str, Any]) -> None:
    facts = smart_reference.check(config_of(tiny_backbone, **settings), CPU)
    assert facts == dict.fromkeys(smart_reference.FACTS)


def unclipped(delta: torch.Tensor, mask: torch.Tensor, epsilon: float) -> torch.Tensor:
    return delta * mask.unsqueeze(-1)


def into_the_padding(
    logits_of: Any, clean: Any, noise: torch.Tensor, *args: Any, epsilon: float, **kwargs: Any
) -> torch.Tensor:
    return torch.full_like(noise, epsilon)


def backward_in_the_search(perturb: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def perturbed(logits_of: Any, clean: Any, noise: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        logits_of(noise).sum().backward()
        return perturb(logits_of, clean, noise, *args, **kwargs)

    return perturbed


def nothing(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    return (p * 0).sum(-1)


@pytest.mark.parametrize(
    ("owner", "name", "mistake", "fact"),
    [
        (loss, "_set_dropout_state", lambda device, state: None, "δ = 0 gives R_s = 0"),
        (smoothness, "project", unclipped, "‖δ‖∞ ≤ ε"),
        (smoothness, "perturb", into_the_padding, "δ = 0 at padding"),
        (smoothness, "perturb", backward_in_the_search(smoothness.perturb), "no weight gradients from the search of δ"),
        (smoothness, "symmetric_kl", nothing, "R_s > 0, with gradient"),
        (SmartConfig, "lambda_of", lambda config, task: 0.5, "λ = μ = 0 is a plain step"),
    ],
)
def test_each_mistake_fails_its_check(
    tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, mistake: Any, fact: str
) -> None:
    monkeypatch.setattr(owner, name, mistake)
    assert fact in wrong(config_of(tiny_backbone))


def test_an_epsilon_below_the_spacing_of_the_embeddings_fails(tiny_backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = smart_reference.published

    def tiny_epsilon(config: TrialConfig) -> TrialConfig:
        made = before(config)
        return made.model_copy(update={"smart": made.smart.model_copy(update={"epsilon": 1e-12})})

    monkeypatch.setattr(smart_reference, "published", tiny_epsilon)
    assert "raise smart.epsilon" in wrong(config_of(tiny_backbone))["ε is resolvable"]


def test_a_backbone_without_weights_is_a_sentence(tiny_backbone: Path, tmp_path: Path) -> None:
    for path in tiny_backbone.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match=r"no model\.safetensors"):
        smart_reference.check(config_of(tmp_path), CPU)
