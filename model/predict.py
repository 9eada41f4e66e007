"""Predict with a saved model: `python -m model.predict --model runs/NAME/champion --task sst "text"`.

Pair tasks take two texts. `-` instead of a text reads lines from standard input, with a tab between the two texts of a pair.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from model.config import ConfigError, nearest
from model.tasks import TASKS, Task

if TYPE_CHECKING:
    from model.saved_model.folder import SavedModel

LINES_AT_ONCE = 64


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for one text or pair."""

    label: str
    """Name of the most probable class; for a regression the value as text, such as `3.82`."""
    score: float
    """Probability of that class, or the value of a regression on the label's scale."""


def predict(model: SavedModel, task: str, texts: Sequence[tuple[str, ...]]) -> list[Prediction]:
    """Predictions for texts (one string each) or pairs (two strings each), in order."""
    import numpy as np
    import torch

    from model.data.example import Example
    from model.data.source import DataSet
    from model.data.tokenised import tokenise
    from model.training.batches import make_batch

    spec = TASKS[task]
    examples = [Example(id=str(number), texts=text, label=0.0) for number, text in enumerate(texts)]
    data = tokenise(DataSet({task: {"given": examples}}, model.data), model.tokenizer, model.config.max_length)
    batch = make_batch(data, model.config, task, "given", np.arange(len(texts)))
    with torch.no_grad():
        logits = model.network(batch, model.network.embed(batch.input_ids)).float()
    if spec.kind == "regression":
        values = logits[:, 0].clamp(*spec.label_range).tolist()
        return [Prediction(f"{value:.2f}", value) for value in values]
    probabilities = torch.softmax(logits, -1)
    return [
        Prediction(spec.label_names[int(best)], float(row[best]))
        for row, best in zip(probabilities, probabilities.argmax(-1), strict=True)
    ]


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(prog="python -m model.predict", description="Predict with a saved model.")
    text.add_argument("--model", type=Path, required=True, help="folder of a saved model, such as runs/NAME/champion")
    text.add_argument("--task", required=True, help=f"one of {', '.join(TASKS)}, if the model was trained on it")
    text.add_argument("texts", nargs="+", metavar="TEXT", help="a text, the two texts of a pair, or - to read lines")
    return text


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    try:
        if options.task not in TASKS:
            known = f"{nearest(options.task, list(TASKS))}; the tasks are {', '.join(TASKS)}"
            raise ConfigError([f"there is no task {options.task}{known}"])
        spec = TASKS[options.task]
        inputs = _inputs(spec, options.texts)
        from model.saved_model import folder as saved_model

        model = saved_model.read(options.model)
        if spec.name not in model.config.mixture:
            raise ConfigError([f"this model was not trained on {spec.name} but on {', '.join(model.config.mixture)}"])
        for chunk in iter(lambda: list(islice(inputs, LINES_AT_ONCE)), []):
            for prediction in predict(model, spec.name, chunk):
                print(f"{prediction.label}\t{prediction.score:.4f}", flush=True)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    return 0


def _inputs(task: Task, texts: list[str]) -> Iterator[tuple[str, ...]]:
    """The texts of the command line, or those on the lines of standard input. Raises `ConfigError`."""
    if texts == ["-"]:
        return _lines(task, sys.stdin.buffer)
    if len(texts) != len(task.text_columns):
        n_texts = "two texts" if task.is_pair else "one text"
        raise ConfigError([f"{task.name} takes {n_texts}, given {len(texts)}; put each in quotes, or - to read lines"])
    if not all(text.strip() for text in texts):
        raise ConfigError([f"a text is empty; {task.name} needs non-empty texts"])
    return iter([tuple(texts)])


def _lines(task: Task, lines: Iterable[bytes]) -> Iterator[tuple[str, ...]]:
    """The texts of each line of UTF-8. Raises `ConfigError` at the first line with another number of texts, or an empty one."""
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ConfigError([f"line {number} is not UTF-8; convert the input"]) from None
        texts = tuple(text.split("\t")) if task.is_pair else (text,)
        if len(texts) != len(task.text_columns):
            raise ConfigError([f"line {number} has {len(texts)} text(s); {task.name} takes two, with a tab between them"])
        if not all(part.strip() for part in texts):
            raise ConfigError([f"line {number} has an empty text; {task.name} needs non-empty texts"])
        yield texts


if __name__ == "__main__":
    sys.exit(main())
