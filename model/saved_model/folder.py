"""A trained model as a folder: `model.safetensors`, the tokenizer, the encoder's architecture and `config.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError, TrialConfig, parse
from model.data.file_contents import checked, read_yaml
from model.data.source import DataSummary
from model.encoder import backbone
from model.encoder.network import MultitaskNetwork, build

WEIGHTS = "model.safetensors"
CONFIG = "config.yaml"
ENCODER = "encoder"
Scores = Mapping[str, Sequence[Sequence[float]]]
"""(N, C) for each task."""


@dataclass(frozen=True)
class SavedModel:
    """A loaded model, in eval mode on the CPU."""

    network: MultitaskNetwork
    tokenizer: Any
    config: TrialConfig
    metrics: dict[str, float]
    """Its metrics on the select split when it was saved."""
    data: DataSummary
    """The data it was trained on."""
    select_scores: Scores | None = None
    """Scores of some select examples of each task when it was saved (`model.training.evaluate.select_scores`)."""


def write(
    folder: Path,
    network: MultitaskNetwork,
    config: TrialConfig,
    metrics: dict[str, float],
    data: DataSummary,
    select_scores: Scores | None = None,
) -> None:
    """Save a model; `config.yaml` is written last, so that a folder with one is complete."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    network.encoder.config.save_pretrained(folder / ENCODER)
    _tokenizer_of(config.backbone).save_pretrained(folder / ENCODER)
    record = {"config": config.to_dict(), "metrics": metrics, "data": asdict(data), "select_scores": select_scores}
    text = yaml.safe_dump(record, sort_keys=False)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def _tokenizer_of(name: str) -> Any:
    """A backbone's tokenizer, cached until a file in its folder changes.

    The trials of a search share a backbone, and loading the tokenizer would take most of the time of saving a small model.
    """
    folder = Path(backbone.locate(name))
    files = sorted(folder.iterdir()) if folder.is_dir() else ()
    return _tokenizer_as_of(name, tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@lru_cache(maxsize=1)
def _tokenizer_as_of(name: str, stamps: tuple[tuple[str, int, int], ...]) -> Any:
    return backbone.load_tokenizer(name)


def read(folder: Path) -> SavedModel:
    """Load a model that `write` saved; the original backbone is not needed. Raises `ConfigError`, saying what to do."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoModel

    missing = [name for name in (CONFIG, WEIGHTS, ENCODER) if not (folder / name).exists()]
    if missing:
        raise ConfigError([f"{folder} is not a saved model: it has no {', no '.join(missing)}; give a champion's folder"])
    config, metrics, data, scores = _record(folder / CONFIG)
    architecture = backbone.load_config(str(folder / ENCODER))
    network = build(config, AutoModel.from_config(architecture))
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError([f"{folder / WEIGHTS} does not fit {CONFIG} ({reason}); copy the whole folder again"]) from None
    tokenizer = backbone.load_tokenizer(str(folder / ENCODER))
    return SavedModel(network.eval(), tokenizer, config, metrics, data, scores)


def _record(path: Path) -> tuple[TrialConfig, dict[str, float], DataSummary, Scores | None]:
    """Configuration, metrics, data summary and select scores of a saved model's `config.yaml`."""
    try:
        content = read_yaml(path)
        config, metrics, data = content["config"], dict(content["metrics"]), DataSummary(**content["data"])
        scores = checked(content.get("select_scores"), dict[str, list[list[float]]] | None, path)  # type: ignore[arg-type]
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError([f"{path} is not the record of a saved model ({reason}); copy the whole folder again"]) from None
    try:
        return parse(config), metrics, data, scores
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from None
