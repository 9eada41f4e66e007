"""What R_s is worth in each arithmetic: `python -m benchmarks.precision [--data DIR] [--backbone embedded] [--json FILE]`.

The same examples, noise and weights, dropout off, K = 1, in float64 (the reference), float32, and on a GPU TF32 and bf16:
the mean over batches of R_s, as a share of the reference, for ε from the published 1e-5 to 1e-2. Where a share is far
from 1, R_s is rounding.
"""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

from benchmarks.arguments import parser, positive, run
from benchmarks.gpu import arithmetic, prepared

EPSILONS = (1e-5, 1e-4, 1e-3, 1e-2)
PRECISIONS = ("fp64", "fp32", "tf32", "bf16")


def smoothness(network: Any, batch: Any, epsilon: float, precision: str) -> float:
    """The mean of R_s over a batch."""
    import torch

    from model.loss import divergence_of
    from model.smart import smoothness as smart

    embeddings = network.embed(batch.input_ids).detach()
    noise = smart.example_noise(
        batch.lengths, embeddings.shape[-1], sigma=epsilon, seeds=batch.seeds, length=batch.mask.shape[-1]
    ).to(embeddings)
    divergence = divergence_of(batch.task)
    with torch.autocast(embeddings.device.type, torch.bfloat16, enabled=precision == "bf16"):
        clean = network(batch, embeddings)
        delta = smart.perturb(
            lambda moved: network(batch, embeddings + moved),
            clean,
            noise,
            batch.mask,
            divergence,
            epsilon=epsilon,
            eta=100 * epsilon,
            steps=1,
        )
        with torch.no_grad():
            return float(divergence(network(batch, embeddings + delta), clean).mean())


def main() -> None:
    arguments = _arguments()
    import torch

    from model.config import parse
    from model.encoder.network import batch_to, build
    from model.engine.deepspeed import Rank
    from model.training.batches import make_batch

    device = Rank().device
    config = parse({"backbone": arguments.backbone, "mixture": ["sst", "quora", "sts"], "optim": {"dropout": 0.0}})
    data = prepared(arguments.data)
    precisions = PRECISIONS if device.type == "cuda" else PRECISIONS[:2]
    found: dict[str, dict[str, float]] = {}
    for precision in precisions:
        network = build(config).eval().to(device)
        network = network.double() if precision == "fp64" else network
        with arithmetic(precision):
            for epsilon in EPSILONS:
                values = []
                for task in config.mixture:
                    for first in range(0, 32 * arguments.batches, 32):
                        indices = range(first, first + 32)
                        batch = batch_to(make_batch(data, config, task, "train", torch.tensor(indices).numpy()), device)
                        values.append(smoothness(network, batch, epsilon, precision))
                found.setdefault(f"{epsilon:g}", {})[precision] = statistics.fmean(values)
    print(f"{'ε':>8}{'R_s in fp64':>14}" + "".join(f"{precision:>10}" for precision in precisions[1:]))
    for epsilon_, values_ in found.items():
        shares = "".join(f"{values_[precision] / values_['fp64']:10.3f}" for precision in precisions[1:])
        print(f"{epsilon_:>8}{values_['fp64']:14.3g}{shares}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _arguments() -> Any:
    text = parser("precision", __doc__)
    text.add_argument("--data", default="demo", help="as of a search (demo)")
    text.add_argument("--backbone", default="embedded", help="as of a trial (embedded)")
    text.add_argument("--batches", type=positive, default=4, help="batches of 32 of each task (4)")
    return text.parse_args(sys.argv[1:])


if __name__ == "__main__":
    run(main)
