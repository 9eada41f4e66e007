"""Warnings about the data, against counts with plain sets."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.data_warnings import RowHashes, TaskWarnings
from model.data.example import Example
from model.data.source import DataSource, inspect

Rows = list[tuple[str, tuple[str, ...], float]]
"""Split, texts and label of each row."""


def warnings_of(rows: Rows, task: str = "quora") -> TaskWarnings:
    hashes = RowHashes()
    for number, (split, texts, label) in enumerate(rows):
        hashes.add(task, split, Example(str(number), texts, label))
    return hashes.warnings().get(task, TaskWarnings())


A, B, C, D = ("a", "b"), ("b", "a"), ("c", "c"), ("ab", "")
BOTH = [("train", C, 0.0), ("train", D, 1.0), ("dev", ("x", "y"), 0.0), ("dev", ("z", "y"), 1.0)]
"""Two rows of each label, which give no warning."""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], {}),
        ([("train", A, 1.0), ("train", B, 0.0)], {}),  # a pair in the other order is another input
        ([("train", A, 1.0), ("dev", B, 0.0)], {}),
        ([("train", A, 1.0), ("train", A, 0.0), ("train", A, 0.0)], {"contradictory": 1}),
        ([("train", A, 1.0), ("select", A, 0.0)], {}),
        ([("train", A, 1.0), ("dev", A, 1.0), ("dev", A, 1.0)], {"dev_in_train": 2}),
        ([("train", A, 1.0), ("dev", A, 1.0), ("dev", A, 0.0)], {"dev_in_train": 2, "dev_relabelled": 1}),
        ([("select", A, 1.0), ("dev", A, 1.0)], {}),
    ],
)
def test_each_is_counted(rows: Rows, expected: dict[str, int]) -> None:
    assert warnings_of([*BOTH, *rows]) == TaskWarnings(**expected)  # type: ignore[arg-type]


def test_labels_and_classes() -> None:
    dev = [("dev", ("x",), 1.0), ("dev", ("y",), 2.0)]
    found = warnings_of([("train", ("a",), 4.0), ("select", ("b",), 1.0), *dev], "sst")
    assert found == TaskWarnings(single_label=["train"], empty_classes=[0, 1, 2, 3])
    first, second = found.sentences("sst", 2)
    assert first == "sst: all rows of train have the same label; add rows with others"
    assert second.startswith("sst: train has no rows of very negative, negative, neutral, positive;")
    scores = [("train", ("a", "b"), 0.0), ("train", ("a", "c"), 2.5), ("dev", ("d", "d"), 1.0)]
    assert warnings_of(scores, "sts") == TaskWarnings(single_label=["dev"]), "a regression has no classes"


def test_dev_equal_to_train_in_any_order() -> None:
    rows = [(("a", "b"), 0.0), (("a", "c"), 1.0), (("a", "d"), 1.0)]
    train: Rows = [("select" if number == 1 else "train", *row) for number, row in enumerate(rows)]
    found = warnings_of([*train, *(("dev", *row) for row in reversed(rows))])
    assert found.dev_is_train
    assert found.sentences("quora", 3) == [
        "quora: dev has the rows of train: scores on it say nothing about new texts; give other rows"
    ]
    assert not warnings_of([*train, *(("dev", *row) for row in rows[1:])]).dev_is_train


@given(
    st.lists(st.tuples(st.sampled_from(["train", "select", "dev"]), st.sampled_from(["a", "b", "c"]), st.sampled_from([0, 1])))
)
def test_counts_are_those_of_plain_sets(drawn: list[tuple[str, str, int]]) -> None:
    found = warnings_of([(split, (text,), float(label)) for split, text, label in drawn], "cfimdb")
    train = {(text, label) for split, text, label in drawn if split == "train"}
    texts = [text for text, _ in train]
    dev = [(text, label) for split, text, label in drawn if split == "dev"]
    if train:
        assert found.contradictory == sum(texts.count(text) == 2 for text in set(texts))
        assert found.dev_in_train == sum(text in texts for text, _ in dev)
        assert found.dev_relabelled == sum(text in texts and (text, label) not in train for text, label in dev)
        assert found.empty_classes == [label for label in (0, 1) if label not in {label for _, label in train}]


def test_the_demo_corpus_has_none() -> None:
    hashes = RowHashes()
    inspect(DataSource.parse("demo"), ("sst", "sts"), observe=hashes.add)
    assert hashes.warnings() == {}


def test_they_are_json() -> None:
    found = warnings_of([*BOTH, ("train", A, 1.0), ("dev", A, 0.0)])
    assert TaskWarnings(**asdict(found)) == found
    assert {type(value) for value in asdict(found).values()} <= {int, bool, list}
