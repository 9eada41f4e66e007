"""A real search that starts from a recorded one, and goes on without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny import write_backbone
from tuner import search

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SPACE = """
name: warm
metric: sst/accuracy
options: {{finalists: 0, pruner: none, cpus_per_worker: 1, gpus_per_worker: 0}}
fixed:
  backbone: {backbone}
  max_length: 32
  mixture: [sst]
  budget.examples: 240
  budget.evaluations: 2
  budget.early_eval_examples: 32
search:
  optim.lr: {{float: [1.0e-5, {high}], log: true}}
  {more}
"""


def space(folder: Path, name: str, high: str, more: str) -> str:
    path = folder / name
    path.write_text(SPACE.format(backbone=folder / "backbone", high=high, more=more), encoding="utf-8")
    return str(path)


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_a_search_starts_from_another_and_goes_on_without_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_backbone(tmp_path / "backbone")
    runs = ["--runs-dir", str(tmp_path / "runs"), "--no-preflight", "--no-register", "--no-dashboard", "--max-concurrent", "1"]
    old = space(tmp_path, "old.yaml", "1.0e-3", "seed: {choice: [0]}")
    assert search.main(["--space", old, "--name", "first", "--trials", "3", "--quiet", *runs]) == search.CHAMPION
    before = results(tmp_path / "runs" / "first")
    assert before["warm_start"] is None

    new = space(tmp_path, "new.yaml", "1.0e-2", "optim.warmup: {float: [0.0, 0.2]}")
    given = ["--space", new, "--name", "second", "--trials", "2", "--warm-start", "first", *runs]
    assert search.main([*given, "--dry-run"]) == search.CHAMPION
    assert "3 of 3 trials of first can be used" in capfd.readouterr().out
    assert search.main(given) == search.CHAMPION
    assert "1 earlier configurations were tried first" in capfd.readouterr().out
    found = results(tmp_path / "runs" / "second")
    best = before["champion"]["config"]
    assert [trial["number"] for trial in found["trials"]] == [0, 1]
    assert found["trials"][0]["config"] == best
    assert found["trials"][0]["score"] == before["champion"]["score"]  # the same configuration, data and seed
    assert found["warm_start"]["sources"] == [{"name": "first", "trials": 3, "used": 3, "compared": 3, "dropped": {}}]
    assert found["warm_start"]["n_started"] == 1

    shutil.rmtree(tmp_path / "runs" / "first")
    assert search.main(["--resume", "second", "--trials", "3", *runs]) == search.CHAMPION
    after = results(tmp_path / "runs" / "second")
    assert len(after["trials"]) == 3
    assert after["warm_start"]["sources"] == found["warm_start"]["sources"]
    assert after["warm_start"]["n_remembered"] == 3
    assert after["warm_start"]["n_started"] == 1
