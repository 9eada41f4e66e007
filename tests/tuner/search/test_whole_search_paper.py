"""The paper's grid as a user runs it, and the table that is printed of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.searches import results_of, run_command, search_here
from tuner.commands import report
from tuner.results.text import GENERATED_NOTE

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

MIXTURE = ["sst", "quora"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> dict[str, Any]:
    """The two trainings of one seed and one mixture in pretrain mode, on the demo corpus. (`test_space` counts all of them.)"""
    folder = tmp_path_factory.mktemp("paper")
    fixed = {"max_length": 32, "budget.examples": 192, "seed": 0, "mode": "pretrain", "mixture": MIXTURE}
    sizes = [part for name, value in fixed.items() for part in ("--set", f"{name}={value}")]
    where = ["--backbone", str(tiny_backbone), "--name", "p", "--runs-dir", str(folder), "--max-concurrent", "1"]
    done = search_here("--space", "paper_table2", "--profile", "laptop", *sizes, *where)
    assert done.status == 0, done.err
    return {"folder": folder, "results": results_of(folder / "p")}


def test_every_training_is_run_once_and_none_is_pruned(found: dict[str, Any]) -> None:
    trials = found["results"]["trials"]
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * 2
    assert sorted(trial["config"]["smart"]["enabled"] for trial in trials) == [False, True]
    for trial in trials:
        assert trial["config"]["mixture"] == MIXTURE
        for evaluation in trial["evaluations"]:
            measured = {name.removeprefix("dev/").split("/")[0] for name in evaluation["metrics"] if name.startswith("dev/")}
            assert measured == set(MIXTURE)


def test_its_table_has_every_cell_of_the_mode(found: dict[str, Any]) -> None:
    done = run_command(report.main, "--paper", "p", "--runs-dir", str(found["folder"]), "--format", "markdown")
    assert done.status == 0, done.err
    rows = [line.split("|")[1:-1] for line in done.out.splitlines() if line.startswith("| SST+Quora SMART")]
    assert rows, done.out
    assert "(1)" in rows[0][3], "the pretrain table has ours"
    assert GENERATED_NOTE in done.out
