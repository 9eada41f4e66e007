"""Everything wrong with a command line is told at once, each in a sentence, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.config import ConfigError
from tuner.options import Options
from tuner.plan import make


def problems_of(**options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make(Options(**options), has_gpu=False)  # type: ignore[arg-type]
    return list(caught.value.problems)


def test_options_space_metric_goals_and_data_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "ids-sst-train.csv").write_text("id\tsentence\tsentiment\n1\tgood\t9\n")
    found = problems_of(
        profile="laptop", data=str(tmp_path), tasks="sst", metric="sst/acc", trials=0, time_budget="soon", gpu_hours=3.0,
        pruner="med", tracking_uri="ftp://x", require=("sst/accuracy",), runs_dir=str(tmp_path),
    )  # fmt: skip
    wanted = (
        "--trials 0",
        "--time-budget soon",
        "--pruner med",
        "unknown metric sst/acc",
        "--require sst/acc",
        "--tracking-uri ftp",
    )
    assert [problem.startswith(word) for problem, word in zip(found, wanted, strict=False)] == [True] * len(wanted)
    assert any("ids-sst-dev.csv" in problem for problem in found[6:]), "the data are read although the metric is wrong"


def test_what_needs_a_broken_part_is_not_guessed_at(tmp_path: Path) -> None:
    """Without a space there is no metric to check, and no gang to check budgets against."""
    found = problems_of(space="smart_mlt", metric="sst/acc", gpu_hours=3.0, pruner="med", runs_dir=str(tmp_path))
    assert len(found) == 2
    assert [word in problem for word, problem in zip(("smart_mlt", "--pruner med"), found, strict=True)] == [True, True]


def test_goals_and_budget_are_told_with_the_gang(tmp_path: Path) -> None:
    found = problems_of(
        profile="laptop", metric="sst/accuracy,sts/pearson", pruner="wilcoxon", sampler="gp", target=0.9, gpu_hours=2.0,
        gpus_per_worker=1.5, workers_per_trial=2, runs_dir=str(tmp_path),
    )  # fmt: skip
    for word in ("wilcoxon", "--target 0.9", "--gpus-per-worker 1.5"):
        assert any(word in problem for problem in found), word
    assert not any("--gpu-hours" in problem for problem in found), "whether there are GPUs is not known"
