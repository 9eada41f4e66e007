"""What evaluation takes of a trial: `python -m benchmarks.evaluation --data DIR`.

Trains the start configurations of a space (without and with SMART, of the profile's own budget), and prints the seconds of each
trial, the part that went into its evaluations (the regulariser's health is in it), and the most that one evaluation took, which
is the last: it scores all of select. Beside it the same share by operations, also of the space's budget without a profile,
which is too long to be trained here. `--tokens` compares sizes of the evaluation's batches on the same network and split.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from benchmarks.arguments import add_training_options, parser, positive, run

if TYPE_CHECKING:
    from model.config import TrialConfig
    from model.data.source import DataSummary
    from model.training.evaluation import Evaluation
    from model.training.trial import Training


@dataclass(frozen=True)
class Share:
    """A trial and its evaluations, seconds."""

    trial: str
    total: float
    evaluations: float
    longest: float

    @property
    def share(self) -> float:
        """Of the trial, between 0 and 1."""
        return self.evaluations / self.total


def share_of(name: str, evaluations: list[Evaluation]) -> Share:
    """From what a trial that ended well reported, in order."""
    each = [evaluation.evaluation_s for evaluation in evaluations]
    return Share(name, evaluations[-1].seconds, sum(each), max(each))


def by_operations(config: TrialConfig, summary: DataSummary) -> float:
    """The part of evaluation in a trial's operations, between 0 and 1."""
    from tuner.search.preflight.estimate import flops

    alone = config.model_copy(
        update={"budget": config.budget.model_copy(update={"evaluations": 1, "early_eval_examples": None})}
    )
    per_select = {task: summary.rows[task]["select"] for task in config.mixture}
    without = {**summary.rows, **{task: summary.rows[task] | {"select": 0} for task in per_select}}
    trained = flops(alone, dataclasses.replace(summary, rows=without), 1)
    return 1 - trained / flops(config, summary, 1)


def seconds_by_tokens(training: Training, sizes: list[int], repeats: int) -> dict[int, list[float]]:
    """Seconds to score all of select, by the tokens of a batch, in turn."""
    from unittest.mock import patch

    from model.training import evaluate

    found: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repeats):
        for size in sizes:
            began = time.perf_counter()
            with patch.object(evaluate, "eval_tokens", return_value=size):
                evaluate.evaluate(training.loss.network, training.data, training.config, "select", training.rank)
            found[size].append(time.perf_counter() - began)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    text = parser("evaluation", __doc__)
    add_training_options(text, repeats=3)
    text.add_argument("--space", default="smart_mtl", help="whose start configurations are trained (smart_mtl)")
    text.add_argument("--profile", default="laptop", help="the space's profile (laptop)")
    text.add_argument("--tokens", type=positive, nargs="*", default=[1024, 2048, 8192], help="sizes of batches to compare")
    arguments = text.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    import optuna
    import torch

    from model.config import parse
    from model.data.source import DataSource, read
    from model.data.tokenised import tokenise
    from model.encoder import backbone
    from model.training.evaluation import Evaluation
    from model.training.trial import Training
    from tuner.space import load

    torch.set_num_threads(arguments.threads)
    space = load(arguments.space, arguments.profile)
    configs = [parse(space.suggest(optuna.trial.FixedTrial(dict(point)))) for point in space.start]
    tasks = tuple(dict.fromkeys(task for config in configs for task in config.mixture))
    dataset = read(DataSource.parse(arguments.data), tasks, skip_bad_rows=False)
    data = tokenise(dataset, backbone.load_tokenizer(configs[0].backbone), configs[0].max_length)
    shares = []
    print(f"{'':18}{'trial s':>10}{'evaluating s':>14}{'share':>8}{'longest s':>11}{'by operations':>15}")
    for number, config in enumerate(configs):
        with closing(Training(config, data)) as training:
            reported = [one for one in training if isinstance(one, Evaluation)]
            row = share_of(f"start {number}{' (SMART)' if config.smart.enabled else ''}", reported)
            shares.append(row)
            cells = f"{row.total:10.1f}{row.evaluations:14.1f}{row.share:8.1%}{row.longest:11.1f}"
            print(f"{row.trial:18}{cells}{by_operations(config, dataset.summary):15.1%}", flush=True)
            if number == 0:
                by_tokens = seconds_by_tokens(training, arguments.tokens, arguments.repeats)
    plain = load(arguments.space)
    for number, point in enumerate(plain.start):
        config = parse(plain.suggest(optuna.trial.FixedTrial(dict(point))))
        print(f"start {number} of the space without a profile: {by_operations(config, dataset.summary):.1%} by operations")
    for size, seconds in by_tokens.items():
        low, high = min(seconds), max(seconds)
        print(f"select in batches of {size} tokens: {statistics.median(seconds):.2f} s ({low:.2f} … {high:.2f})")
    if arguments.json:
        found = {"trials": [asdict(row) | {"share": row.share} for row in shares], "seconds_by_tokens": by_tokens}
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
