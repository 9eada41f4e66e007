"""The paper's grid as a user runs it, and the table that is printed of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.searches import command
from tuner import report
from tuner.summary import GENERATED_NOTE

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """The twelve trainings of one seed in pretrain mode, on the demo corpus."""
    folder = tmp_path_factory.mktemp("paper")
    sizes = ["--set", "max_length=32", "--set", "budget.examples=192", "--set", "seed=0", "--set", "mode=pretrain"]
    arguments = ["--space", "paper_table2", "--profile", "laptop", *sizes, "--backbone", str(tiny_backbone), "--quiet"]
    process = command(*arguments, "--name", "p", "--runs-dir", str(folder), "--max-concurrent", "1")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return {"folder": folder, "results": json.loads((folder / "p" / "results.json").read_text(encoding="utf-8"))}


def test_every_training_is_run_once_and_none_is_pruned(found: dict[str, Any]) -> None:
    trials = found["results"]["trials"]
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * 12
    kinds = {(tuple(trial["config"]["mixture"]), trial["config"]["smart"]["enabled"]) for trial in trials}
    assert len(kinds) == 12
    for trial in trials:
        for evaluation in trial["evaluations"]:
            measured = {name.removeprefix("dev/").split("/")[0] for name in evaluation["metrics"] if name.startswith("dev/")}
            assert measured == set(trial["config"]["mixture"])


def test_its_table_has_every_cell_of_the_mode(found: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--paper", "p", "--runs-dir", str(found["folder"]), "--format", "markdown"]) == 0
    text = capsys.readouterr().out
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| SST+Quora+STS SMART")]
    assert rows, text
    assert "(1)" in rows[0][3], "the pretrain table has ours"
    assert GENERATED_NOTE in text
