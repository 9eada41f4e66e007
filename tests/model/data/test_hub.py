"""`--data hub`, against parquet files with the columns and types of the hub's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.config import ConfigError
from model.data.hub import read_rows
from model.data.source import DataSource, read
from model.tasks import TASKS

N = 40
TEXTS = [f"text {i}" for i in range(N)]
OTHERS = [f"other {i}" for i in range(N)]
IDX = pa.array(range(N), pa.int32())
CLASSES = pa.array([i % 2 for i in range(N)], pa.int64())

REPOSITORIES: dict[str, tuple[str, tuple[str, str], dict[str, Any]]] = {
    "sst": (
        "SetFit/sst5",
        ("train", "validation"),
        {"text": TEXTS, "label": pa.array([i % 5 for i in range(N)], pa.int64()), "label_text": ["neutral"] * N},
    ),
    "quora": (
        "nyu-mll/glue/qqp",
        ("train", "validation"),
        {"question1": TEXTS, "question2": OTHERS, "label": CLASSES, "idx": IDX},
    ),
    "sts": (
        "nyu-mll/glue/stsb",
        ("train", "validation"),
        {"sentence1": TEXTS, "sentence2": OTHERS, "label": pa.array([i / 8 for i in range(N)], pa.float32()), "idx": IDX},
    ),
    "cfimdb": ("stanfordnlp/imdb", ("train", "test"), {"text": TEXTS, "label": CLASSES}),
}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for path, splits, columns in REPOSITORIES.values():
        folder = tmp_path / "mirror" / path
        folder.mkdir(parents=True)
        for split in splits:
            pq.write_table(pa.table(columns), folder / f"{split}.parquet")
    return tmp_path / "mirror"


def test_every_task_reads_its_repository(mirror: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dataset = read(DataSource.parse(f"hub={mirror}"), list(TASKS))
    assert set(REPOSITORIES) == set(TASKS)
    for task, splits in dataset.tasks.items():
        rows = dataset.summary.rows[task]
        assert rows["train"] + rows["select"] == rows["dev"] == N
        expected = {(TEXTS[i], OTHERS[i])[: len(TASKS[task].text_columns)] for i in range(N)}
        assert {e.texts for e in splits["dev"]} == expected
    labels = {e.texts[0]: e.label for e in dataset.tasks["sts"]["dev"]}
    assert labels == {f"text {i}": i / 8 for i in range(N)}
    assert {e.id for e in dataset.tasks["quora"]["dev"]} == {str(i) for i in range(N)}
    assert not dataset.summary.generated
    assert capfd.readouterr().err == ""  # no progress bars


def test_rows_without_label_or_text_are_reported(mirror: Path) -> None:
    columns = {"text": ["fine", None, "unlabelled"], "label": pa.array([1, 2, -1], pa.int64())}
    for split in ("train", "validation"):
        pq.write_table(pa.table(columns), mirror / f"SetFit/sst5/{split}.parquet")
    _, empty, unlabelled = read_rows(TASKS["sst"], "train", mirror)
    assert str(empty) == "SetFit/sst5 train:2: text is empty"
    assert str(unlabelled) == "SetFit/sst5 train:3: label is -1; it must be an integer from 0 to 4"


def test_other_columns_are_named(mirror: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS, "stars": CLASSES}), mirror / "stanfordnlp/imdb/train.parquet")
    pq.write_table(pa.table({"text": TEXTS, "stars": CLASSES}), mirror / "stanfordnlp/imdb/test.parquet")
    with pytest.raises(ConfigError, match="stanfordnlp/imdb train has no column label; its columns are text, stars"):
        read_rows(TASKS["cfimdb"], "train", mirror)


def test_missing_repository_and_missing_split(mirror: Path) -> None:
    (mirror / "nyu-mll/glue/qqp/validation.parquet").unlink()
    (mirror / "SetFit/sst5/train.parquet").unlink()
    (mirror / "SetFit/sst5/validation.parquet").unlink()
    (mirror / "SetFit/sst5").rmdir()
    with pytest.raises(ConfigError) as error:
        read(DataSource.parse(f"hub={mirror}"), ["sst", "quora"])
    text = str(error.value)
    assert "the mirror has no SetFit/sst5" in text
    assert "cannot load nyu-mll/glue/qqp validation" in text


def test_a_broken_file_is_named(mirror: Path) -> None:
    (mirror / "stanfordnlp/imdb/test.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match=r"cannot load stanfordnlp/imdb test from .*mirror"):
        read_rows(TASKS["cfimdb"], "dev", mirror)


@pytest.mark.parametrize(
    ("name", "text", "facts"),
    [
        ("imdb.py", "import datasets\n", ["imdb.py", "loading scripts are not run: remove"]),
        ("README.md", "---\nconfigs: [\n---\n", ["README.md is broken: correct it"]),
        ("README.md", "---\nconfigs: 7\n---\n", ["download"]),
        ("README.md", "---\ndataset_info: [1]\n---\n", ["download"]),
        ("dataset_infos.json", "{", ["download"]),
    ],
)
def test_what_stands_beside_the_data_is_reported_in_a_sentence(mirror: Path, name: str, text: str, facts: list[str]) -> None:
    (mirror / "stanfordnlp/imdb" / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_rows(TASKS["cfimdb"], "train", mirror)
    (problem,) = error.value.problems
    assert [fact for fact in ("cannot load stanfordnlp/imdb train", *facts) if fact not in problem] == [], problem
    assert "\n" not in problem


@pytest.mark.slow
def test_unreachable_hub_is_one_message_with_advice(tmp_path: Path) -> None:
    code = """
from model.config import ConfigError
from model.data.source import DataSource, inspect
try:
    inspect(DataSource.parse("hub"), ["sst", "quora"])
except ConfigError as error:
    print(error)
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.count("cannot load") == 1  # an unreachable hub is asked once, not once for each split
    assert "cannot load SetFit/sst5 train from the hub" in done.stdout
    assert "--data hub=DIR" in done.stdout
    assert "Traceback" not in done.stderr
