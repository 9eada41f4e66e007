"""The pruner of a search that names none, and why it is that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model.config import TrialConfig, parse
from model.data.source import DataSummary
from tuner.config.options import Options
from tuner.search import main
from tuner.search.plan import Plan, make
from tuner.search.plan.resolve import MANY_EXAMPLES, default_pruner

NEEDED = "asha needs 1000 or all of select: set budget.early_eval_examples, or name a --pruner"


def summary(**select: int) -> DataSummary:
    """Data with so many examples in `select` of each task."""
    rows = {task: {"train": 10 * n, "select": n, "dev": n} for task, n in select.items()}
    nothing = dict.fromkeys(select, 0)
    return DataSummary("data", False, dict.fromkeys(select, ""), rows, nothing, dict.fromkeys(select, 10.0))


def sample(early: int | None, *mixture: str) -> TrialConfig:
    return parse({"mixture": list(mixture), "budget": {"examples": 480, "epochs": None, "early_eval_examples": early}})


LARGE = summary(sst=5000, quora=20000, sts=3000)


@pytest.mark.parametrize(
    ("early", "pruner", "reason"),
    [
        (64, "median", f"pruner median, because early evaluations see 64 examples of a task; {NEEDED}"),
        (999, "median", f"pruner median, because early evaluations see 999 examples of a task; {NEEDED}"),
        (1000, "asha", "pruner asha, because early evaluations see 1000 examples of a task or more; --pruner names another"),
        (2500, "asha", "pruner asha, because early evaluations see 2500 examples of a task or more; --pruner names another"),
        (5000, "asha", "pruner asha, because early evaluations see 5000 examples of a task or more; --pruner names another"),
        (None, "asha", "pruner asha, because early evaluations see all of select; --pruner names another"),
        (20000, "asha", "pruner asha, because early evaluations see all of select; --pruner names another"),
    ],
)
def test_it_depends_on_the_examples_of_early_evaluations_and_the_reason_names_them(
    early: int | None, pruner: str, reason: str
) -> None:
    """All of select is not fewer than anything: of `quora` alone there is more than 5000."""
    assert MANY_EXAMPLES == 1000
    assert default_pruner((sample(early, "sst", "quora", "sts"),), LARGE) == (pruner, reason)


def test_all_of_a_small_select_is_enough() -> None:
    small = summary(sst=300, sts=63)
    for early in (None, 300, 301, 5000):
        found = default_pruner((sample(early, "sst", "sts"),), small)
        assert found == ("asha", "pruner asha, because early evaluations see all of select; --pruner names another")
    pruner, reason = default_pruner((sample(299, "sst", "sts"),), small)
    assert pruner == "median", "of sst one is left out"
    assert "see 299 examples of a task;" in reason


def test_every_task_must_be_seen_enough_of() -> None:
    """A part of one task's select decides for all: what is seen whole of the others makes up for nothing."""
    data = summary(sst=400, quora=5000)
    assert default_pruner((sample(500, "sst"),), data)[0] == "asha"
    assert default_pruner((sample(500, "quora"),), data)[0] == "median"
    pruner, reason = default_pruner((sample(500, "sst", "quora"),), data)
    assert (pruner, "see 500 examples of a task;" in reason) == ("median", True)
    assert default_pruner((sample(1000, "sst", "quora"),), data)[0] == "asha"


def test_of_several_configurations_the_one_that_sees_least_decides() -> None:
    samples = tuple(sample(early, "sst") for early in (None, 2000, 1500))
    assert default_pruner(samples, LARGE) == default_pruner(samples[2:], LARGE)
    pruner, reason = default_pruner((*samples, sample(100, "sst")), LARGE)
    assert (pruner, "see 100 examples of a task;" in reason) == ("median", True)
    mixed = (sample(3000, "sts"), sample(3000, "sst"))
    assert "3000 examples" in default_pruner(mixed, LARGE)[1], "of sts that is all, of sst it is not"


def planned(folder: Path, **options: Any) -> Plan:
    return make(Options(profile="laptop", runs_dir=str(folder), **options), has_gpu=False)


def reasons(plan: Plan) -> list[str]:
    return [note for note in plan.notes if note.startswith("pruner ")]


def test_a_plan_has_it_and_says_why(tmp_path: Path) -> None:
    """The laptop's data have 309 to 351 examples in each select."""
    few = planned(tmp_path)
    assert few.pruner == "median"
    assert reasons(few) == [f"pruner median, because early evaluations see 64 examples of a task; {NEEDED}"]
    whole = planned(tmp_path, settings=("budget.early_eval_examples=351",))
    assert whole.pruner == "asha"
    assert reasons(whole) == ["pruner asha, because early evaluations see all of select; --pruner names another"]


@pytest.mark.parametrize(("early", "named"), [(64, "asha"), (100_000, "median")])
def test_a_named_pruner_wins_and_needs_no_reason(tmp_path: Path, early: int, named: str) -> None:
    plan = planned(tmp_path, pruner=named, settings=(f"budget.early_eval_examples={early}",))
    assert (plan.pruner, reasons(plan)) == (named, [])


def dry_run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What one prints, with single spaces."""
    given = ("--profile", "laptop", "--dry-run", "--no-preflight", "--runs-dir", str(folder / "runs"), *arguments)
    assert main([*given]) == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_the_dry_run_prints_it_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = dry_run(tmp_path, capsys)
    assert "sampler tpe, pruner median" in few
    assert "pruner median, because early evaluations see 64 examples of a task; asha needs 1000 or all of select" in few
    whole = dry_run(tmp_path, capsys, "--set", "budget.early_eval_examples=1000")
    assert "sampler tpe, pruner asha" in whole
    assert "pruner asha, because early evaluations see all of select; --pruner names another" in whole
