"""Train or evaluate one configuration on this machine, without Ray.

python -m model.train --config FILE --data DIR [--out DIR]
python -m model.train --evaluate-only --model DIR --data DIR [--split select|dev]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from contextlib import closing
from pathlib import Path

from model.config import ConfigError, TrialConfig, load
from model.data import source
from model.data.tokenised import TokenizedData, tokenise
from model.metrics import split_of
from model.training.evaluation import Failure

TOLERANCE = 1e-6
"""Largest difference of equal metrics: less than one example of a million."""


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(prog="python -m model.train", description="Train or evaluate one configuration.")
    text.add_argument("--config", type=Path, help="YAML file of a trial's settings")
    text.add_argument("--data", default="demo", help="a folder, `hub`, `hub=FOLDER`, or `demo` (default)")
    text.add_argument("--out", type=Path, help="folder to write the trained model to")
    text.add_argument("--evaluate-only", action="store_true", help="evaluate --model and compare with its recorded metrics")
    text.add_argument("--model", type=Path, help="folder of a saved model, such as runs/NAME/champion")
    text.add_argument("--split", choices=("select", "dev"), default="select", help="split that --evaluate-only evaluates")
    text.add_argument("--skip-bad-rows", action="store_true", help="skip bad rows and count them")
    return text


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        if options.evaluate_only:
            return evaluate_saved(options)
        return train(options)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2


def train(options: argparse.Namespace) -> int:
    """Train `--config`, print one evaluation per line as JSON, and save the model to `--out`."""
    if options.config is None:
        raise ConfigError(["--config FILE is missing: a YAML file of settings (or --evaluate-only --model DIR)"])
    if options.out is not None and options.out.exists() and not (options.out.is_dir() and not any(options.out.iterdir())):
        raise ConfigError([f"--out {options.out} is not an empty folder; name a new one"])
    config = load(options.config)
    from model.encoder import probe

    probe.check(probe.Request(config.backbone, config.max_length, (config.pooling,)))
    data = prepare(config, options)
    from model.training.trial import Training

    with closing(Training(config, data)) as training:
        metrics: dict[str, float] = {}
        for outcome in training:
            if isinstance(outcome, Failure):
                print(f"failed: {outcome.reason}", file=sys.stderr)
                return 1
            print(json.dumps(outcome.to_dict()), flush=True)
            metrics = outcome.metrics
        if options.out is not None:
            training.export(options.out, metrics)
    return 0


def evaluate_saved(options: argparse.Namespace) -> int:
    """Print a saved model's metrics; exit with 1 if they differ from the recorded ones on the same data.

    Only the model's tasks are compared: a search may have read more tasks than its champion trains.
    """
    if options.model is None:
        raise ConfigError(["--evaluate-only needs --model DIR, the folder of a saved model"])
    from model.engine.deepspeed import Rank
    from model.saved_model import folder as saved_model
    from model.training.evaluate import evaluate

    model = saved_model.read(options.model)
    data = prepare(model.config, options, tokenizer=model.tokenizer)
    rank = Rank()
    metrics = evaluate(model.network.to(rank.device), data, model.config, options.split, rank)
    print(json.dumps({"split": options.split, "metrics": metrics, "data": data.summary.source}))
    if options.split != "select":
        return 0
    others = [task for task in model.config.mixture if data.summary.task_sha256[task] != model.data.task_sha256.get(task)]
    if others:
        reason = f"{', '.join(others)} differs from the data of the model ({model.data.source})"
        print(f"not compared with the recorded metrics: {reason}", file=sys.stderr)
        return 0
    recorded = {name: value for name, value in model.metrics.items() if split_of(name) == "select"}
    differing = [name for name, value in recorded.items() if not abs(metrics.get(name, math.nan) - value) <= TOLERANCE]
    for name in differing:
        print(f"{name} is {metrics.get(name, math.nan):.6f}, recorded is {model.metrics[name]:.6f}", file=sys.stderr)
    return 1 if differing else 0


def prepare(config: TrialConfig, options: argparse.Namespace, tokenizer: object = None) -> TokenizedData:
    """Read and tokenise the data of a configuration's tasks."""
    from model.encoder import backbone

    arms = () if options.evaluate_only else config.arms
    dataset = source.read(source.DataSource.parse(options.data), config.mixture, skip_bad_rows=options.skip_bad_rows, arms=arms)
    tokenizer = tokenizer if tokenizer is not None else backbone.load_tokenizer(config.backbone)
    return tokenise(dataset, tokenizer, config.max_length)


if __name__ == "__main__":
    sys.exit(main())
