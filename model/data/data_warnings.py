"""Counts what users expect to be warned of in their data, such as texts in both train and dev.

Texts are compared as the network gets them: without white space around them, and a pair in its order. Train is the split that
trials train on, without select.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from model.data.example import Example
from model.tasks import TASKS


@dataclass(frozen=True)
class TaskWarnings:
    """Counts of unusual rows in the data of one task."""

    single_label: list[str] = field(default_factory=list)
    """The splits, of train and dev, whose rows all have one label."""
    empty_classes: list[int] = field(default_factory=list)
    """Classes without a row in train."""
    contradictory: int = 0
    """Texts of train that have several labels."""
    dev_in_train: int = 0
    """Rows of dev whose texts are in train."""
    dev_relabelled: int = 0
    """Those of them whose label these texts do not have in train."""
    dev_is_train: bool = False
    """Whether the rows of dev are those of the train file, which is split into train and select."""

    def sentences(self, task: str, n_dev: int) -> list[str]:
        """A sentence for each warning. n_dev: rows of dev."""
        names = [TASKS[task].label_names[label] for label in self.empty_classes if TASKS[task].label_names]
        classes = ", ".join(names or map(str, self.empty_classes))
        relabelled = f", {self.dev_relabelled} of them with another label" if self.dev_relabelled else ""
        overlap = f"{self.dev_in_train} of {n_dev} rows of dev have texts that are in train{relabelled}; remove them from train"
        sentences = [f"all rows of {split} have the same label; add rows with others" for split in self.single_label]
        sentences += [f"train has no rows of {classes}; add some, or expect no such predictions"] if self.empty_classes else []
        several = f"{self.contradictory} texts of train have several labels; keep the right one of each"
        sentences += [several] if self.contradictory else []
        if self.dev_is_train:
            sentences.append("dev has the rows of train: scores on it say nothing about new texts; give other rows")
        elif self.dev_in_train:
            sentences.append(overlap)
        return [f"{task}: {sentence}" for sentence in sentences]


@dataclass
class _Split:
    """The rows of a split: two 64-bit hashes of each, and all labels."""

    texts: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    """Of the texts and the label."""
    labels: set[float] = field(default_factory=set)


class RowHashes:
    """Hashes of the rows that were read, 16 bytes a row, from which the warnings are counted."""

    def __init__(self) -> None:
        self._splits: dict[tuple[str, str], _Split] = defaultdict(_Split)

    def add(self, task: str, split: str, example: Example) -> None:
        hashed = self._splits[task, split]
        texts = hash(example.texts)
        hashed.texts.append(texts)
        hashed.rows.append(hash((texts, example.label)))
        hashed.labels.add(example.label)

    def warnings(self) -> dict[str, TaskWarnings]:
        """The warnings of each task that has any."""
        found = {task: self._warnings_of(task) for task in TASKS if (task, "train") in self._splits}
        return {task: warnings for task, warnings in found.items() if warnings != TaskWarnings()}

    def _warnings_of(self, task: str) -> TaskWarnings:
        splits = {split: self._splits[task, split] for split in ("train", "select", "dev")}
        texts = {split: np.array(hashed.texts, dtype=np.int64) for split, hashed in splits.items()}
        rows = {split: np.array(hashed.rows, dtype=np.int64) for split, hashed in splits.items()}
        labels = {split: splits[split].labels for split in ("train", "dev")}
        classes = range(TASKS[task].n_classes) if TASKS[task].kind == "classification" else ()
        different = np.unique(rows["train"], return_index=True)[1]
        n_labels = np.unique(texts["train"][different], return_counts=True)[1]
        is_in_train = np.isin(texts["dev"], texts["train"])
        whole_train = np.unique(np.concatenate([rows["train"], rows["select"]]))
        return TaskWarnings(
            single_label=[split for split, given in labels.items() if len(given) == 1],
            empty_classes=[label for label in classes if label not in labels["train"]],
            contradictory=int((n_labels > 1).sum()),
            dev_in_train=int(is_in_train.sum()),
            dev_relabelled=int((is_in_train & ~np.isin(rows["dev"], rows["train"])).sum()),
            dev_is_train=np.array_equal(whole_train, np.unique(rows["dev"])),
        )
