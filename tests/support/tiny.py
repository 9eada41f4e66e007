"""A tiny BERT and a little data, for tests with a fast real trial."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from model.config import TrialConfig, parse
from model.data.source import DataSet, DataSource, read
from model.data.tokenised import TokenizedData, tokenise
from model.encoder import backbone


def write_backbone(folder: Path, *, hidden: int = 32, layers: int = 2) -> Path:
    """A randomly drawn BERT of two layers with the embedded backbone's tokenizer, in the form of a hub folder."""
    import torch
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # it would stand among a command's words on stderr
    config = BertConfig(
        vocab_size=30522,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    backbone.load_tokenizer("embedded").save_pretrained(folder)
    return folder


@cache
def dataset(n_train: int = 64, n_eval: int = 24) -> DataSet:
    """The first examples of each task of the demo corpus."""
    whole = read(DataSource.parse("demo"), ("sst", "quora", "sts", "cfimdb"), skip_bad_rows=False)
    limits = {"train": n_train, "select": n_eval, "dev": n_eval}
    tasks = {
        task: {split: examples[: limits[split]] for split, examples in splits.items()} for task, splits in whole.tasks.items()
    }
    return DataSet(tasks, whole.summary)


@cache
def data(max_length: int = 32) -> TokenizedData:
    """`dataset`, tokenised for any trial of these tests."""
    return tokenise(dataset(), backbone.load_tokenizer("embedded"), max_length)


def config(backbone_folder: Path, **settings: Any) -> TrialConfig:
    """A trial of seconds on the tiny backbone; sections given replace those here."""
    base: dict[str, Any] = {
        "backbone": str(backbone_folder),
        "mixture": ["sst", "quora", "sts"],
        "max_length": 32,
        "optim": {"batch_size": 8, "lr": 1e-3},
        "budget": {"examples": 240, "evaluations": 5},
    }
    return parse({**base, **settings})
