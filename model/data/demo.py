"""The demo corpus: generated labelled examples, so that everything runs without data files or network.

Scores on it do not carry over to real data. It is learnable at graded difficulty, and part of its labels is noise, so no model
can be perfect. The same seed gives the same corpus on every machine.

`python -m model.data.demo --out DIR` writes it in the layout that `--data DIR` reads, as an example of that layout.
"""

from __future__ import annotations

import argparse
import csv
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from model.config import ConfigError
from model.data.demo_pairs import quora, sts
from model.data.demo_reviews import Sampled, cfimdb, sst
from model.data.example import Example
from model.tasks import TASKS, Task

SEED = 0
"""Seed of the corpus of `--data demo`."""
SIZES: dict[str, tuple[int, int]] = {"sst": (3000, 500), "quora": (3000, 500), "sts": (3000, 500), "cfimdb": (1000, 200)}
"""Number of examples of train and dev."""
GENERATORS: dict[str, Callable[[Random], Sampled]] = {"sst": sst, "quora": quora, "sts": sts, "cfimdb": cfimdb}
"""The tasks that the corpus has; `SIZES` has the same keys."""
CLASS_NOISE = 0.05
"""Share of the classification labels that are moved to a neighbouring class."""
SCORE_NOISE = 0.35
"""Standard deviation of the noise on regression targets, in their unit."""


def read_rows(task: str, part: str) -> Iterator[Example]:
    """The examples of `--data demo`; `part` is `train` or `dev`. Raises `ConfigError` for a task that the corpus lacks."""
    if task not in GENERATORS:
        has = ", ".join(GENERATORS)
        raise ConfigError([f"the demo corpus has no task {task}, only {has}; give a folder with its files: --data DIR"])
    return iter(_corpus(task)[part])


@functools.cache
def _corpus(task: str) -> dict[str, tuple[Example, ...]]:
    """Both parts of a task, cached: a process inspects the data before it trains on them."""
    return generate(task, SEED)


def generate(task: str, seed: int) -> dict[str, tuple[Example, ...]]:
    """`train` and `dev` of a task. No text of dev occurs in train, and no example occurs twice."""
    rng = Random(f"{task} {seed}")
    n_train, n_dev = SIZES[task]
    train = _sample(task, "train", n_train, rng, frozenset())
    dev = _sample(task, "dev", n_dev, rng, frozenset(text for example in train for text in example.texts))
    return {"train": train, "dev": dev}


def _sample(task: str, part: str, n: int, rng: Random, taken: frozenset[str]) -> tuple[Example, ...]:
    """n different examples that contain none of the texts `taken`."""
    examples: dict[tuple[str, ...], Example] = {}
    while len(examples) < n:
        texts, label = GENERATORS[task](rng)
        if texts in examples or len(set(texts)) < len(texts) or not taken.isdisjoint(texts):
            continue
        examples[texts] = Example(f"demo-{task}-{part}-{len(examples):04d}", texts, _disturb(TASKS[task], label, rng))
    return tuple(examples.values())


def _disturb(task: Task, label: float, rng: Random) -> float:
    """The label with noise, within the task's range; targets are rounded to 0.1 as in STS-B."""
    low, high = task.label_range
    if task.kind == "regression":
        return min(max(round(rng.gauss(label, SCORE_NOISE), 1), low), high) + 0.0  # a float, and no -0.0
    if rng.random() >= CLASS_NOISE:
        return label
    return rng.choice([neighbour for neighbour in (label - 1, label + 1) if low <= neighbour <= high])


def write(folder: Path, seed: int = SEED) -> list[Path]:
    """Write the corpus in the tab-separated layout of `--data DIR`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for task in map(TASKS.__getitem__, GENERATORS):
        parts = generate(task.name, seed)
        for part, name in (("train", task.train_file), ("dev", task.dev_file)):
            _write_file(folder / name, task, parts[part])
            written.append(folder / name)
    return written


def _write_file(path: Path, task: Task, examples: Sequence[Example]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["", "id", *task.text_columns, task.label_column])
        for number, example in enumerate(examples):
            label = f"{example.label:.1f}" if task.kind == "regression" else f"{example.label:.0f}"
            writer.writerow([number, example.id, *example.texts, label])


def main(argv: Sequence[str] | None = None) -> int:
    """Write the corpus from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m model.data.demo", description="Write the demo corpus as files for --data DIR."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; created if missing")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the corpus (default: %(default)s, that of --data demo)")
    options = parser.parse_args(argv)
    try:
        files = write(options.out, options.seed)
    except OSError as error:
        parser.error(f"cannot write to {options.out}: {error.strerror}")
    sys.stdout.write("".join(f"{file}\n" for file in files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
