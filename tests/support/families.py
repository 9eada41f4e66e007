"""Tiny random encoders of several families, as folders with safetensors and a tokenizer. A new family is one line."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from model.data.tokenised import TokenizedData, tokenise
from tests.support import tiny

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
N_POSITIONS = 40
RELATIVE = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0}

FAMILIES: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"type_vocab_size": 1},
    "xlm-roberta": {"type_vocab_size": 1},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "electra": {"embedding_size": 16},
    "deberta-v2": {**RELATIVE, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    "mpnet": {},
    "albert": {"embedding_size": 16},
    "modernbert": {"local_attention": 16, "cls_token_id": 0, "sep_token_id": 2},
}
"""The settings of each family, by transformers' name of it, beside those that all share."""


def write(folder: Path, family: str, **settings: Any) -> Path:
    """A randomly drawn encoder of a family, in the form of a hub folder."""
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    own = FAMILIES.get(family, {})
    sizes = {} if "dim" in own else SIZES
    shared = {"vocab_size": len(vocabulary()), "max_position_embeddings": N_POSITIONS, **IDS}
    config = AutoConfig.for_model(family, **{**shared, **sizes, **own, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@cache
def vocabulary() -> dict[str, int]:
    """Ids of RoBERTa's special tokens and of the demo corpus's words."""
    splits = [split for task in tiny.dataset().tasks.values() for split in task.values()]
    words = {word for split in splits for example in split for text in example.texts for word in text.lower().split()}
    return {word: number for number, word in enumerate((*SPECIAL, *sorted(words)))}


def tokenizer() -> Any:
    """A tokenizer of words without a template, so that code which relies on the template fails."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(vocabulary(), unk_token="<unk>"))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    names = ("cls_token", "pad_token", "sep_token", "unk_token")
    return PreTrainedTokenizerFast(tokenizer_object=words, **dict(zip(names, SPECIAL, strict=True)))


@cache
def data(max_length: int = 32) -> TokenizedData:
    """`tiny.dataset`, tokenised for every family."""
    return tokenise(tiny.dataset(), tokenizer(), max_length)
