"""The data summary of each task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import yaml

from model.data.source import DataSource, DataSummary, inspect, read

ALL = ("sst", "quora", "sts", "cfimdb")


def demo(tasks: Sequence[str]) -> DataSummary:
    return inspect(DataSource.parse("demo"), tasks)


def test_a_task_has_one_digest_whatever_is_read_with_it() -> None:
    whole = demo(ALL)
    assert len(set(whole.task_sha256.values())) == 4
    for task in ALL:
        assert demo([task]).task_sha256 == {task: whole.task_sha256[task]}


def test_the_digest_of_all_follows_from_those_of_the_tasks() -> None:
    assert demo(["sts", "sst"]).sha256 == demo(["sst", "sts"]).sha256
    assert len({demo(tasks).sha256 for tasks in (["sst"], ["sts"], ["sst", "sts"])}) == 3
    whole = demo(["sst", "sts"])
    digests = {**whole.task_sha256, "sts": "0" * 64}
    assert dataclasses.replace(whole, task_sha256=digests).sha256 != whole.sha256


@pytest.mark.parametrize("task", ALL)
def test_words_are_counted_over_all_texts_and_splits(task: str) -> None:
    dataset = read(DataSource.parse("demo"), [task])
    examples = [example for split in dataset.tasks[task].values() for example in split]
    mean = sum(len(" ".join(example.texts).split()) for example in examples) / len(examples)
    assert dataset.summary.words[task] == pytest.approx(mean, abs=0.005)


def test_a_summary_is_read_back_from_yaml() -> None:
    summary = demo(["sst"])
    assert DataSummary(**yaml.safe_load(yaml.safe_dump(dataclasses.asdict(summary)))) == summary
