"""A SMART step against its limit: seconds of an update over those of a plain one, K = 0 … 3, with and without teacher.

python -m benchmarks.smart_step [--data DIR] [--task sst] [--backbone bert-base] [--precision bf16] [--updates 4] [--json FILE]

The limit is `(6 + 2K + [μ>0]) / 3` (`model.smart.config`). All variants take the same updates of the same batches in turn,
repeatedly; a ratio is that of the medians, its range that of the repeats. Optimiser and batch assembly are in both sides. Where
`smart-pytorch` is installed (the extra `bench`), its loss runs on the same encoder and batches, in a plain loop whose own plain
step it is measured by.

Below the table: the arithmetic of a plain step on tokens that are no padding, per second, over what the machine's matrix
product does at the shape of the encoder's widest layer. It runs on a GPU where there is one. `--backbone` takes what a trial
does, or a shape of `benchmarks.hardware`, drawn at random; under bf16 ε is the smallest that it can hold.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.arguments import add_training_options, parser, positive, run
from benchmarks.hardware import SHAPES, matmul_rate, now, work_of, write_backbone

if TYPE_CHECKING:
    from model.training.trial import Training

PLAIN, THIRD_PLAIN = "plain", "plain loop"
VARIANTS: dict[str, dict[str, Any]] = {PLAIN: {"enabled": False}} | {
    f"K {k}{', teacher' if mu else ''}": {"enabled": True, "steps": k, "mu": mu} for k in range(4) for mu in (0.0, 1.0)
}


@dataclass(frozen=True)
class Row:
    """A variant beside plain training."""

    variant: str
    seconds: float
    """Of an update: the median over repeats."""
    ratio: float
    low: float
    high: float
    """The least and the greatest ratio of one repeat."""
    limit: float

    @property
    def over(self) -> float:
        """How far above the limit, as a share of it."""
        return self.ratio / self.limit - 1


def rows(seconds: dict[str, list[float]], limits: dict[str, float], plain: str) -> list[Row]:
    """The table, from each variant's seconds per update by repeat; `plain` is what the others are measured by."""
    found = []
    for name, limit in limits.items():
        own, base = seconds[name], seconds[plain]
        ratios = [mine / its for mine, its in zip(own, base, strict=True)]
        median = statistics.median(own)
        found.append(Row(name, median, median / statistics.median(base), min(ratios), max(ratios), limit))
    return found


def third_party(training: Training, steps: int | None) -> Callable[[int], None]:
    """An update of a plain loop on a training's network and batches; `steps` are smart-pytorch's, None is without it."""
    import torch
    from smart_pytorch import SMARTLoss, kl_loss, sym_kl_loss

    from model.encoder.network import batch_to
    from model.engine.deepspeed import TaskAdamW, parameter_groups
    from model.loss import supervised_loss
    from model.training.batches import micro_batches

    network, config = training.loss.network, training.config
    optimizer = TaskAdamW(parameter_groups(training.loss), lr=config.optim.lr, fused=True)

    def update(step: int) -> None:
        ((batch,),) = micro_batches(training.data, config, training.schedule, step, 0, 1)
        batch = batch_to(batch, training.rank.device)
        embeddings = network.embed(batch.input_ids)
        logits = network(batch, embeddings)
        loss = supervised_loss(batch, logits).mean()
        if steps is not None:
            smart = SMARTLoss(lambda moved: network(batch, moved), kl_loss, sym_kl_loss, num_steps=steps)
            loss = loss + smart(embeddings, logits) / len(logits)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.optim.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

    return update


def main() -> None:
    arguments = _arguments()
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    import torch

    from model.config import SMALLEST_EPSILON, parse
    from model.data.source import DataSource, read
    from model.data.tokenised import tokenise
    from model.encoder import backbone
    from model.smart.config import cost_in_plain_steps
    from model.training.trial import Training

    torch.set_num_threads(arguments.threads)
    dataset = read(DataSource.parse(arguments.data), (arguments.task,), skip_bad_rows=False)
    data = tokenise(dataset, backbone.load_tokenizer("embedded"), 64)
    base = {
        "backbone": arguments.backbone,
        "mixture": [arguments.task],
        "max_length": 64,
        "optim": {"batch_size": arguments.batch},
        "budget": {"examples": 10 * arguments.batch * arguments.updates, "evaluations": 1},
        "engine": {"precision": arguments.precision},
    }
    radius = {"epsilon": SMALLEST_EPSILON["bf16"], "sigma": SMALLEST_EPSILON["bf16"]} if arguments.precision == "bf16" else {}
    configs = {name: parse({**base, "smart": {**smart, **radius}}) for name, smart in VARIANTS.items()}
    limits = {name: cost_in_plain_steps(config.smart) for name, config in configs.items()}
    third = {THIRD_PLAIN: None, "smart-pytorch K 1": 1, "smart-pytorch K 2": 2} if find_spec("smart_pytorch") else {}
    third_limits = {name: 1.0 if k is None else (6 + 2 * k) / 3 for name, k in third.items()}
    rates, speeds = [], []
    with ExitStack() as stack:
        if arguments.backbone in SHAPES:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            base["backbone"] = str(write_backbone(SHAPES[arguments.backbone], folder))
            configs = {name: parse({**base, "smart": config.smart}) for name, config in configs.items()}
        trainings = {name: stack.enter_context(closing(Training(config, data))) for name, config in configs.items()}
        updates: dict[str, Callable[[int], Any]] = {name: training.update for name, training in trainings.items()}
        for name, k in third.items():
            updates[name] = third_party(stack.enter_context(closing(Training(configs[PLAIN], data))), k)
        device = trainings[PLAIN].rank.device
        for training in trainings.values():
            training.loss.train()
        for update in updates.values():
            update(0)
        seconds: dict[str, list[float]] = {name: [] for name in updates}
        plain = trainings[PLAIN]
        work = work_of(plain, range(arguments.updates)).useful_flops / arguments.updates
        config = plain.loss.network.encoder.config
        for _ in range(arguments.repeats):
            rates.append(matmul_rate(1024, config.hidden_size, config.intermediate_size, device, arguments.precision))
            for name, update in updates.items():
                began = now(device)
                for step in range(arguments.updates):
                    update(step)
                seconds[name].append((now(device) - began) / arguments.updates)
            speeds.append(work / seconds[PLAIN][-1])
    table = rows(seconds, limits, PLAIN) + (rows(seconds, third_limits, THIRD_PLAIN) if third else [])
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{arguments.threads} threads"
    print(f"{arguments.task}, batches of {arguments.batch}, {arguments.precision}, {where}, {arguments.repeats} repeats")
    print(f"{'':18}{'ms':>8}{'ratio':>8}{'range':>16}{'limit':>8}{'over':>8}")
    for row in table:
        spread = f"{row.low:.2f} … {row.high:.2f}"
        print(f"{row.variant:18}{1e3 * row.seconds:8.1f}{row.ratio:8.2f}{spread:>16}{row.limit:8.2f}{row.over:8.0%}")
    shares = [speed / rate for speed, rate in zip(speeds, rates, strict=True)]
    print(
        f"plain: {statistics.median(speeds) / 1e9:.0f} GFLOP/s on useful tokens, {statistics.median(shares):.0%} "
        f"({min(shares):.0%} … {max(shares):.0%}) of the matrix product's {statistics.median(rates) / 1e9:.0f}"
    )
    if arguments.json:
        found = {"rows": [asdict(row) for row in table], "useful_flops_per_s": speeds, "matmul_flops_per_s": rates}
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    text = parser("smart_step", __doc__)
    add_training_options(text, repeats=5)
    text.add_argument("--task", default="sst", help="the task trained (sst)")
    text.add_argument("--backbone", default="embedded", help=f"as of a trial, or {', '.join(SHAPES)} (embedded)")
    text.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of the encoder (fp32)")
    text.add_argument("--updates", type=positive, default=4, help="updates of a turn (4)")
    return text.parse_args(sys.argv[1:])


if __name__ == "__main__":
    run(main)
