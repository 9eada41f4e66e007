"""The demo corpus: deterministic, learnable but not perfectly, and readable in the layout of `--data DIR`."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from model.config import ConfigError
from model.data import demo
from model.data.example import Example
from model.data.source import DataSource, inspect, read
from model.tasks import TASKS

ALL = tuple(TASKS)


@pytest.fixture(scope="module")
def corpus() -> dict[str, dict[str, tuple[Example, ...]]]:
    return {task: demo.generate(task, demo.SEED) for task in ALL}


def test_every_task_has_a_generator() -> None:
    assert set(demo.GENERATORS) == set(demo.SIZES) == set(TASKS)


def test_a_task_that_the_corpus_lacks_is_named_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the corpus can still be written."""
    monkeypatch.setitem(TASKS, "news", replace(TASKS["sst"], name="news"))
    with pytest.raises(ConfigError, match="no task news, only sst, quora, sts, cfimdb") as refused:
        inspect(DataSource.parse("demo"), ["sst", "news"])
    assert len([problem for problem in refused.value.problems if "news" in problem]) == 1
    monkeypatch.setattr(demo, "generate", lambda task, seed: {"train": (), "dev": ()})
    assert len(demo.write(tmp_path)) == 2 * len(demo.GENERATORS)


def test_same_seed_same_corpus_in_another_process() -> None:
    """Importing the data package loads no slow library."""
    code = (
        "from model.data.source import DataSource, inspect; from model.tasks import TASKS;"
        "print(inspect(DataSource.parse('demo'), list(TASKS)).sha256);"
        "import sys, model.data.collate;"
        "print(*{'torch', 'transformers', 'datasets', 'tokenizers'} & set(sys.modules))"
    )
    run = [sys.executable, "-c", code]
    other = subprocess.run(run, env={"PYTHONHASHSEED": "1"}, check=True, capture_output=True, text=True)
    assert other.stdout.splitlines() == [inspect(DataSource.parse("demo"), ALL).sha256, ""]
    assert demo.generate("sst", 1) != demo.generate("sst", 2)


def test_sizes_ids_and_label_ranges(corpus: dict[str, dict[str, tuple[Example, ...]]]) -> None:
    for task, parts in corpus.items():
        assert (len(parts["train"]), len(parts["dev"])) == demo.SIZES[task]
        examples = parts["train"] + parts["dev"]
        assert len({e.id for e in examples}) == len({e.texts for e in examples}) == len(examples)
        low, high = TASKS[task].label_range
        assert all(low <= e.label <= high for e in examples)
        assert all(len(e.texts) == len(TASKS[task].text_columns) for e in examples)


def test_no_text_of_dev_occurs_in_train(corpus: dict[str, dict[str, tuple[Example, ...]]]) -> None:
    for parts in corpus.values():
        texts = {part: {text for e in examples for text in e.texts} for part, examples in parts.items()}
        assert texts["train"].isdisjoint(texts["dev"])


def test_labels_are_spread(corpus: dict[str, dict[str, tuple[Example, ...]]]) -> None:
    for task, parts in corpus.items():
        counts = Counter(int(e.label) for e in parts["train"])
        assert set(range(int(TASKS[task].label_range[1]) + 1)) == set(counts)
        assert max(counts.values()) < 0.6 * len(parts["train"])


def test_reviews_are_long_and_sentences_short(corpus: dict[str, dict[str, tuple[Example, ...]]]) -> None:
    words = {task: [len(e.texts[0].split()) for e in corpus[task]["train"]] for task in ("sst", "cfimdb")}
    assert max(words["sst"]) < 40
    assert min(words["cfimdb"]) >= 40
    assert max(words["cfimdb"]) <= 110


@pytest.mark.parametrize("task", ["sst", "quora", "cfimdb"])
def test_some_labels_are_noise(task: str) -> None:
    """The noise moves about 5 % of the generator's labels, each by one class."""
    rng = Random(0)
    labels = [demo.GENERATORS[task](rng)[1] for _ in range(4000)]
    noisy = [demo._disturb(TASKS[task], label, rng) for label in labels]
    share = np.mean([a != b for a, b in zip(labels, noisy, strict=True)])
    assert abs(share - demo.CLASS_NOISE) < 0.015
    assert max(abs(a - b) for a, b in zip(labels, noisy, strict=True)) == 1.0


def bag_of_words_accuracy(train: Sequence[Example], dev: Sequence[Example]) -> float:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = CountVectorizer()
    model = LogisticRegression(max_iter=3000).fit(
        vectorizer.fit_transform([e.texts[0] for e in train]), [e.label for e in train]
    )
    return float(model.score(vectorizer.transform([e.texts[0] for e in dev]), [e.label for e in dev]))


def overlap(example: Example) -> float:
    """Jaccard similarity of the words of two texts."""
    a, b = (set(text.lower().translate(str.maketrans("", "", ".,:?")).split()) for text in example.texts)
    return len(a & b) / len(a | b)


def majority(examples: Sequence[Example]) -> float:
    return max(Counter(e.label for e in examples).values()) / len(examples)


@pytest.mark.parametrize("task", ["sst", "cfimdb"])
def test_bag_of_words_learns_reviews_in_part(corpus: dict[str, dict[str, tuple[Example, ...]]], task: str) -> None:
    train, dev = corpus[task]["train"], corpus[task]["dev"]
    accuracy = bag_of_words_accuracy(train, dev)
    assert majority(dev) + 0.2 < accuracy < 0.97


def test_word_overlap_tells_duplicates_in_part(corpus: dict[str, dict[str, tuple[Example, ...]]]) -> None:
    from sklearn.linear_model import LogisticRegression

    parts: dict[str, Any] = {
        name: ([[overlap(e)] for e in rows], [e.label for e in rows]) for name, rows in corpus["quora"].items()
    }
    accuracy = LogisticRegression().fit(*parts["train"]).score(*parts["dev"])
    assert majority(corpus["quora"]["dev"]) + 0.05 < accuracy < 0.97


def test_word_overlap_correlates_with_similarity_in_part(corpus: dict[str, dict[str, tuple[Example, ...]]]) -> None:
    dev = corpus["sts"]["dev"]
    r = np.corrcoef([overlap(e) for e in dev], [e.label for e in dev])[0, 1]
    assert 0.4 < r < 0.9


def test_written_files_are_read_back_as_the_same_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--out", str(tmp_path / "demo")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 8
    from_files = read(DataSource.parse(str(tmp_path / "demo")), ALL)
    generated = read(DataSource.parse("demo"), ALL)
    assert from_files.tasks == generated.tasks
    assert from_files.summary.sha256 == generated.summary.sha256


def test_the_corpus_is_labelled_as_generated() -> None:
    source = DataSource.parse("demo")
    summary = inspect(source, ["sst"])
    assert summary.generated
    assert summary.describe() == source.describe() == "demo corpus, generated by this project (not real data)"
