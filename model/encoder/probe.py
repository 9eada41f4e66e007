"""Runs a backbone to check that it can be trained: `python -m model.encoder.probe`, with a `Request` as JSON on stdin.

Nothing depends on the name of its family. The output for a text must not depend on padding or on other texts in the batch, the
first token must attend to all, and word embeddings, to which SMART adds δ, must be an input that gradients reach.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.config import ConfigError
from model.encoder import backbone

if TYPE_CHECKING:
    from torch import Tensor

    from model.encoder.network import Batch, MultitaskNetwork

TOLERANCE = 1e-4
"""Largest difference of two passes over the same tokens, as a share of the largest value; float32 differs by about 1e-6."""
FAMILIES = "BERT, RoBERTa, DistilBERT, ELECTRA, DeBERTa-v2, MPNet, ALBERT or ModernBERT"
ADVICE = f"give an encoder that attends in both directions, such as {FAMILIES}, or `{backbone.EMBEDDED}`"


@dataclass(frozen=True)
class Request:
    """A backbone and the settings that it is used with."""

    backbone: str
    max_length: int
    poolings: tuple[str, ...]


def check(request: Request) -> None:
    """Load a backbone and run it at `max_length`. Raises `ConfigError` with a sentence if it cannot be trained.

    The embedded backbone's files are known by their digest, so only its length is checked.
    """
    name = request.backbone
    if name == backbone.EMBEDDED:
        longest = (backbone.architecture(name) or {})["max_position_embeddings"]
        problems = [f"max_length is {request.max_length}, but the backbone has {longest} positions; lower it"]
        if request.max_length > longest:
            raise ConfigError(problems)
        return
    encoder, tokenizer = backbone.load_encoder(name, dropout=0.0), backbone.load_tokenizer(name)
    try:
        problems = backbone.size_problems(encoder, max_length=request.max_length, vocab_size=len(tokenizer))
        problems = problems or behaviour_problems(encoder, tokenizer, request)
    except Exception as error:  # a model that does not take these inputs fails in its own way
        reason = backbone.first_line(error)
        raise ConfigError([f"backbone {name} does not run as an encoder on word embeddings ({reason}); {ADVICE}"]) from error
    if problems:
        raise ConfigError([f"backbone {name}: {problem}" for problem in problems])


def behaviour_problems(encoder: Any, tokenizer: Any, request: Request) -> list[str]:
    """The first problem that each pooling shows; `cls` is checked first, because `mean` removes the pooler."""
    from model.encoder.network import MultitaskNetwork

    problems = []
    for pooling in sorted(set(request.poolings)):
        network = MultitaskNetwork(encoder, [], pair_encoding="cosine", pooling=pooling, dropout=0.0).eval()
        problem = _problem(network, tokenizer, request.max_length)
        problems += [f"with pooling `{pooling}` {problem}; {ADVICE}"] if problem else []
    return problems


def _problem(network: MultitaskNetwork, tokenizer: Any, max_length: int) -> str | None:
    """What a sequence of `max_length` tokens and one of half as many show, each alone and in one batch."""
    import torch

    lengths, encoder = (max_length, max(3, max_length // 2)), network.encoder
    avoided = {*tokenizer.all_special_ids, encoder.config.pad_token_id}
    sequences = [_sequence(tokenizer, length, avoided) for length in lengths]
    together = _batch(sequences, tokenizer.pad_token_id)
    words = network.embed(together.input_ids)
    hidden = network.encode(together, words).last_hidden_state
    (gradient,) = torch.autograd.grad(hidden[0, 0, 0], words)
    with torch.no_grad():
        single = [_batch([sequence], tokenizer.pad_token_id) for sequence in sequences]
        alone = [network.encode(batch, network.embed(batch.input_ids)).last_hidden_state[0] for batch in single]
        looked_up = encoder(input_ids=single[0].input_ids[0], attention_mask=single[0].mask[0]).last_hidden_state[0]
        pooled = network.pool(together, words)
    if not bool(pooled.isfinite().all() and hidden.isfinite().all()):
        return "its outputs are not finite"
    if pooled.shape[-1] != encoder.config.hidden_size:
        return f"it gives vectors of {pooled.shape[-1]} values, and its config.json says {encoder.config.hidden_size}"
    if _difference(looked_up, alone[0]) > TOLERANCE:
        return "its outputs differ between token ids and their word embeddings"
    if any(_difference(row, batched[: len(row)]) > TOLERANCE for row, batched in zip(alone, hidden, strict=True)):
        return "its output for a text depends on the texts beside it in the batch"
    return None if bool(gradient[0, 0].any(-1).all()) else "the first token does not attend to all tokens, as in a decoder"


def _difference(left: Tensor, right: Tensor) -> float:
    """The largest difference of two tensors, as a share of the largest value."""
    return float((left - right).detach().abs().max() / left.detach().abs().max().clamp_min(1e-12))


def _sequence(tokenizer: Any, length: int, avoided: Collection[int | None]) -> list[int]:
    """[CLS], tokens spread over the vocabulary but those `avoided`, [SEP]; `length` tokens in all."""
    words = [token for token in range(len(tokenizer)) if token not in avoided]
    middle = [words[(7919 * place) % len(words)] for place in range(length - 2)]
    return [tokenizer.cls_token_id, *middle, tokenizer.sep_token_id]


def _batch(sequences: Sequence[Sequence[int]], pad_id: int) -> Batch:
    """Sequences of token ids as one side of a batch, padded at the end."""
    import numpy as np
    import torch

    from model.encoder.network import Batch

    lengths = np.array([[len(sequence) for sequence in sequences]])
    width = int(lengths.max())
    ids = torch.tensor([[[*sequence, *[pad_id] * (width - len(sequence))] for sequence in sequences]])
    mask = (torch.arange(width) < torch.from_numpy(lengths)[..., None]).long()
    n = len(sequences)
    return Batch("probe", ids, mask, torch.zeros_like(ids), torch.zeros(n), lengths, np.zeros(n, dtype=np.uint64))


def main() -> int:
    """Print the problems of the request on stdin as a JSON list."""
    values = json.load(sys.stdin)
    try:
        check(Request(values["backbone"], values["max_length"], tuple(values["poolings"])))
        problems: list[str] = []
    except ConfigError as error:
        problems = list(error.problems)
    sys.stdout.write(json.dumps(problems))
    return 0


if __name__ == "__main__":
    sys.exit(main())
