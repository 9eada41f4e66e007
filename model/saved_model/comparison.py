"""Compares a hand-over of a saved model, loaded as its user would, with the model itself, on texts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.config import ConfigError
from model.predict import Prediction, predict
from model.saved_model.export import PREDICT
from model.saved_model.folder import SavedModel
from model.tasks import TASKS, Task

TOLERANCE = 1e-5
"""Largest difference of two scores: of a probability, or of a regression's value as a share of its range."""
Texts = Sequence[tuple[str, ...]]
Answers = Callable[[str, Texts], Sequence[tuple[str, float]]]
"""Label and score of each text of a task."""


@dataclass(frozen=True)
class Comparison:
    """Texts of each task with the predictions of the saved model."""

    texts: Mapping[str, Texts]
    expected: Mapping[str, Sequence[Prediction]]

    @classmethod
    def of(cls, model: SavedModel, texts: Mapping[str, Texts]) -> Comparison:
        """The comparison on `texts` of each task, and on texts that are cut to the model's `max_length`."""
        every = {
            task: [*texts.get(task, ()), *cut_texts(TASKS[task], model.config.max_length)] for task in model.config.mixture
        }
        return cls(every, {task: predict(model, task, rows) for task, rows in every.items()})

    @property
    def n_texts(self) -> int:
        return sum(map(len, self.texts.values()))

    def check(self, name: str, answers: Answers) -> None:
        """Compare with the answers of the hand-over called `name`. Raises `ConfigError` where a score differs."""
        for task, expected in self.expected.items():
            low, high = TASKS[task].label_range if TASKS[task].kind == "regression" else (0.0, 1.0)
            scores = [score for _, score in answers(task, self.texts[task])]
            largest = max(abs(score - each.score) / (high - low) for score, each in zip(scores, expected, strict=True))
            if not largest <= TOLERANCE:
                problem = (
                    f"{name} scores {task} differently from the champion, by {largest:.2g} of the range, so it is not written"
                )
                raise ConfigError([f"{problem}; predict with python -m model.predict, and report this backbone as unsupported"])


def cut_texts(task: Task, max_length: int) -> list[tuple[str, ...]]:
    """A short text, and texts that do not fit into `max_length` tokens: of a pair either, and both by different amounts."""
    short, long, longer = "a film", "what is this " * max_length, "why not that " * (max_length + 1)
    barely = "fine " * (max_length - 3)
    pairs: list[tuple[str, ...]] = [
        (short, short),
        (long, short),
        (short, long),
        (long, longer),
        (longer, barely),
        (barely, longer),
    ]
    return pairs if task.is_pair else [pair[:1] for pair in pairs[:2]]


def exported_answers(folder: Path) -> Answers:
    """The predictions of an exported folder by its own `predict.py`."""
    spec = importlib.util.spec_from_file_location("exported_predict", folder / PREDICT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    answers: Answers = module.Model(folder).predict
    return answers
