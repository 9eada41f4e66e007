"""Training throughput beside a plain loop of the kind that courses teach: `python -m benchmarks.baseline --data DIR`.

The plain loop pads random batches of 8 per task, embeds each sentence of a pair in a pass of its own, and evaluates on the
training set at the end of every epoch; with `--smart` it adds SMART as published (K = 1, teacher), also sentence by sentence.
Ours trains the same numbers of examples of the same tasks and evaluates as often, on 64 examples of each task of select, at its
end on all. Both start from the same encoder and heads and see every example of the largest task once per epoch.

Printed: examples per second over the whole of training and evaluation, both sides in turn, and the quality on dev that each
came to, whose evaluation is not in its seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.arguments import add_training_options, parser, positive, run

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model.config import TrialConfig
    from model.data.tokenised import TokenizedData
    from model.encoder.network import Batch, MultitaskNetwork

BATCH = 8
"""Examples of each task in a step of the plain loop."""
DEV = 800
"""Examples of each task that the quality is measured on."""


@dataclass(frozen=True)
class Trained:
    """One side of one repeat."""

    examples: int
    seconds: float
    metrics: dict[str, float]
    """`task/metric` on dev."""

    @property
    def per_second(self) -> float:
        return self.examples / self.seconds


def ours(config: TrialConfig, data: TokenizedData) -> Trained:
    """A trial, with its evaluations."""
    from model.training.evaluation import Evaluation
    from model.training.trial import Training

    with closing(Training(config, data)) as training:
        began = time.perf_counter()
        last = list(training)[-1]
        seconds = time.perf_counter() - began
        assert isinstance(last, Evaluation), last
        return Trained(last.examples, seconds, quality(training.loss.network, data, config))


def plain(config: TrialConfig, data: TokenizedData, epochs: int) -> Trained:
    """The plain loop; `config` gives rates, tasks and SMART's settings."""
    import torch

    from model.encoder.network import build
    from model.engine.deepspeed import TaskAdamW, parameter_groups
    from model.loss import MultitaskLoss

    loss = MultitaskLoss(build(config), config)
    network, teacher = loss.network, loss.teacher
    with_torchs_dropout(network)
    optimizer = TaskAdamW(parameter_groups(loss), lr=config.optim.lr)
    sizes = {task: len(data.tasks[task]["train"]) for task in config.mixture}
    n_steps = max(sizes.values()) // BATCH
    random = np.random.default_rng(config.seed)
    torch.manual_seed(config.seed)
    began = time.perf_counter()
    for _ in range(epochs):
        loss.train()
        orders: dict[str, Iterator[np.ndarray]] = {task: looped(size, random) for task, size in sizes.items()}
        for _ in range(n_steps):
            optimizer.zero_grad()
            total = sum((step_loss(loss, config, data, task, next(orders[task])) for task in config.mixture), torch.zeros(()))
            total.backward()
            torch.nn.utils.clip_grad_norm_(loss.parameters(), config.optim.clip_norm)
            optimizer.step()
            if teacher is not None:
                teacher.update(network, config.smart.beta)
        network.eval()
        for task in config.mixture:
            for start in range(0, sizes[task], BATCH):
                with torch.no_grad():
                    passes(network, config, data, task, np.arange(start, min(start + BATCH, sizes[task])))
    seconds = time.perf_counter() - began
    return Trained(epochs * n_steps * BATCH * len(sizes), seconds, quality(network, data, config))


def with_torchs_dropout(network: nn.Module) -> None:
    """Undo `model.encoder.dropout.replace_dropout`: a plain loop has the encoder as transformers makes it."""
    from torch import nn

    from model.encoder.dropout import Dropout

    for parent in network.modules():
        for name, child in parent.named_children():
            if isinstance(child, Dropout):
                setattr(parent, name, nn.Dropout(child.p))


def quality(network: MultitaskNetwork, data: TokenizedData, config: TrialConfig) -> dict[str, float]:
    """`task/metric` on dev, of each task's main metric."""
    from model.engine.deepspeed import Rank
    from model.tasks import TASKS
    from model.training.evaluate import evaluate

    mains = {task.metric for task in TASKS.values()}
    return {name: value for name, value in evaluate(network, data, config, "dev", Rank()).items() if name in mains}


def looped(size: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Random batches without end; each pass is a permutation."""
    while True:
        order = random.permutation(size)
        yield from (order[start : start + BATCH] for start in range(0, size - BATCH + 1, BATCH))


def passes(
    network: MultitaskNetwork,
    config: TrialConfig,
    data: TokenizedData,
    task: str,
    indices: np.ndarray,
    deltas: list[Tensor] | None = None,
) -> tuple[Batch, Tensor, list[Tensor]]:
    """Batch, logits (B, C) and word embeddings of each side, each sentence in a pass of its own."""
    import torch

    from model.training.batches import make_batch

    batch = make_batch(data, config, task, "train", indices)
    embeddings, pooled = [], []
    for side in range(len(batch.input_ids)):
        embedded = network.embed(batch.input_ids[side])
        embeddings.append(embedded)
        moved = embedded if deltas is None else embedded + deltas[side]
        output = network.encoder(inputs_embeds=moved, attention_mask=batch.mask[side], token_type_ids=batch.token_types[side])
        pooled.append(mean(output.last_hidden_state, batch.mask[side]))
    return batch, network.score(task, torch.stack(pooled)), embeddings


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weight = mask.unsqueeze(-1).float()
    return (hidden * weight).sum(1) / weight.sum(1)


def step_loss(loss: Any, config: TrialConfig, data: TokenizedData, task: str, indices: np.ndarray) -> Tensor:
    """A task's part of a step's loss, with SMART where it is enabled: K ascents, the adversarial pass and the teacher's."""
    import torch

    from model.loss import divergence_of, supervised_loss
    from model.smart.smoothness import ascend

    smart, divergence = config.smart, divergence_of(task)
    batch, logits, embeddings = passes(loss.network, config, data, task, indices)
    total: Tensor = supervised_loss(batch, logits).mean()
    if not smart.enabled:
        return total
    deltas = [torch.randn_like(embedded) * smart.sigma for embedded in embeddings]
    for _ in range(smart.steps):
        deltas = [delta.detach().requires_grad_() for delta in deltas]
        _, moved, _ = passes(loss.network, config, data, task, indices, deltas)
        gradients = torch.autograd.grad(divergence(moved, logits.detach()).sum(), deltas)
        deltas = [
            ascend(delta.detach()[None], gradient[None], mask[None], eta=smart.eta, epsilon=smart.epsilon)[0]
            for delta, gradient, mask in zip(deltas, gradients, batch.mask, strict=True)
        ]
    _, moved, _ = passes(loss.network, config, data, task, indices, deltas)
    total = total + smart.lambda_of(task) * divergence(moved, logits).mean()
    with torch.no_grad():
        _, target, _ = passes(loss.teacher.network, config, data, task, indices)
    return total + smart.mu * divergence(logits, target).mean()


def main() -> None:
    arguments = _arguments()
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    import torch

    from model.config import parse
    from model.data.source import DataSet, DataSource, read
    from model.data.tokenised import tokenise
    from model.encoder import backbone

    torch.set_num_threads(arguments.threads)
    tasks = tuple(arguments.tasks.split(","))
    whole = read(DataSource.parse(arguments.data), tasks, skip_bad_rows=False)
    limits = {"train": arguments.examples, "select": max(arguments.examples // 9, 64), "dev": DEV}
    cut = {t: {s: examples[: limits.get(s, 0)] for s, examples in splits.items()} for t, splits in whole.tasks.items()}
    data = tokenise(DataSet(cut, whole.summary), backbone.load_tokenizer("embedded"), 128)
    config = parse(
        {
            "backbone": "embedded",
            "mixture": list(tasks),
            "pair_encoding": "cosine",
            "pooling": "mean",
            "max_length": 128,
            "optim": {"batch_size": arguments.batch, "lr": arguments.lr, "head_lr": 1e-3},
            "smart": {"enabled": arguments.smart},
            "engine": {"precision": arguments.precision},
            "budget": {"epochs": arguments.epochs, "evaluations": arguments.epochs, "early_eval_examples": 64},
        }
    )
    slow = config.model_copy(update={"optim": config.optim.model_copy(update={"batch_size": BATCH, "lr": arguments.plain_lr})})
    slow = slow.model_copy(update={"engine": config.engine.model_copy(update={"precision": "fp32"})})
    sides: dict[str, list[Trained]] = {"plain loop": [], "ours": []}
    for _ in range(arguments.repeats):
        sides["plain loop"].append(plain(slow, data, arguments.epochs))
        sides["ours"].append(ours(config, data))
    ratios = [mine.per_second / its.per_second for mine, its in zip(sides["ours"], sides["plain loop"], strict=True)]
    sizes = ", ".join(f"{task} {len(data.tasks[task]['train'])}" for task in tasks)
    print(
        f"{sizes}; {arguments.epochs} epoch(s), "
        f"{'SMART' if arguments.smart else 'no SMART'}, {arguments.threads} threads, {arguments.repeats} repeats"
    )
    for name, found in sides.items():
        speed = statistics.median(one.per_second for one in found)
        quality = "  ".join(f"{metric} {value:.4f}" for metric, value in found[0].metrics.items())
        print(f"{name:12}{speed:8.1f} examples/s   {quality}")
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})")
    if arguments.json:
        record = {name: [asdict(one) for one in found] for name, found in sides.items()} | {"ratios": ratios}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    text = parser("baseline", __doc__)
    add_training_options(text, repeats=3)
    text.add_argument("--tasks", default="sst,quora,sts", help="tasks trained together (sst,quora,sts)")
    text.add_argument("--examples", type=positive, default=400, help="training examples of each task (400)")
    text.add_argument("--epochs", type=positive, default=3, help="passes over the largest task (3)")
    text.add_argument("--precision", default="fp32", choices=["fp32", "bf16"], help="ours; the plain loop has fp32 (fp32)")
    text.add_argument("--smart", action="store_true", help="with SMART as published on both sides")
    text.add_argument("--lr", type=float, default=1e-4, help="ours (1e-4)")
    text.add_argument("--plain-lr", type=float, default=3e-5, help="the plain loop's, for its smaller batches (3e-5)")
    return text.parse_args(sys.argv[1:])


if __name__ == "__main__":
    run(main)
