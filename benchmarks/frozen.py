"""A trial on a frozen encoder: `python -m benchmarks.frozen --data DIR`, seconds of an epoch of heads alone.

The features of a task are computed once for all trials of a search, with the same backbone, data and pooling; here once for
each batch size, told apart from the epochs. An epoch is one pass over the task with its evaluation on all of select.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import closing

from benchmarks.arguments import add_training_options, parser, positive, run


def main(argv: Sequence[str] | None = None) -> None:
    text = parser("frozen", __doc__)
    add_training_options(text, repeats=3)
    text.add_argument("--task", default="sst", help="the task (sst)")
    text.add_argument("--batches", type=positive, nargs="+", default=[8, 32], help="examples of an update (8 32)")
    arguments = text.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", str(arguments.threads))
    import torch

    from model.config import parse
    from model.data.source import DataSource, read
    from model.data.tokenised import tokenise
    from model.encoder import backbone
    from model.training.evaluation import Evaluation
    from model.training.trial import Training

    torch.set_num_threads(arguments.threads)
    dataset = read(DataSource.parse(arguments.data), (arguments.task,), skip_bad_rows=False)
    data = tokenise(dataset, backbone.load_tokenizer("embedded"), 64)
    n_train = len(data.tasks[arguments.task]["train"])
    found = {}
    print(f"{arguments.task}, {n_train} training examples; seconds, of {arguments.repeats} epochs the median and the range")
    for batch in arguments.batches:
        config = parse(
            {
                "backbone": "embedded",
                "mode": "pretrain",
                "mixture": [arguments.task],
                "pooling": "mean",
                "max_length": 64,
                "optim": {"batch_size": batch},
                "smart": {"enabled": False},
                "budget": {"epochs": arguments.repeats, "evaluations": arguments.repeats},
            }
        )
        began = time.perf_counter()
        with closing(Training(config, data)) as training:
            features_s = time.perf_counter() - began
            ends = [0.0, *(one.seconds for one in training if isinstance(one, Evaluation))]
        epochs = [end - start for start, end in itertools.pairwise(ends)]
        found[batch] = {"features_s": features_s, "epochs_s": epochs}
        middle, low, high = statistics.median(epochs), min(epochs), max(epochs)
        print(f"batch {batch:3}: features {features_s:.1f}, an epoch {middle:.2f} ({low:.2f} … {high:.2f})")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
