"""When a search has had enough, by a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.shape import GangShape
from model.config import ConfigError
from tests.support import samples
from tests.support.clock import Clock
from tuner import search
from tuner.config import options, run_folder
from tuner.config.budget import Budget, Meter, Used, in_words, seconds_of
from tuner.tracking.events import EVERY_S, BudgetLog
from tuner.tracking.progress import terminal as progress

CPU = GangShape(n_workers=2, cpus_per_worker=3)
GPU = GangShape(n_workers=2, cpus_per_worker=3, gpus_per_worker=0.5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h30m", 9000), ("90s", 90), ("45m", 2700), ("5400", 5400), ("1.5h", 5400), ("1d 2H", 93600), ("1h5", 3605)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "2x", "30m2h", "-5", "1.2.3", "h", "nan", "."])
def test_no_time(text: str) -> None:
    with pytest.raises(ConfigError, match="give a time such as 2h30m"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(9000, "2 h 30 min"), (2700, "45 min"), (90, "1 min 30 s"), (0.5, "0.5 s"), (3600, "1 h"), (0, "0 s")],
)
def test_times_are_told(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("budget", "just_not", "reached", "reason"),
    [
        (Budget(time_s=60), Used(59.9, 999), Used(60, 0), "the time budget of 1 min is used up"),
        (Budget(gpu_hours=1), Used(9e9, 3599), Used(0, 3600), "the budget of 1 GPU-hours is used up"),
    ],
)
def test_a_budget_is_used_up(budget: Budget, just_not: Used, reached: Used, reason: str) -> None:
    assert budget.reached(just_not, 1.0, GPU) is None
    assert budget.reached(reached, None, GPU) == reason


def test_the_target_is_reached_by_a_complete_trial() -> None:
    budget = Budget(target=0.8)
    assert budget.reached(Used(9e9, 9e9), None, CPU) is None
    assert budget.reached(Used(), 0.7999, CPU) is None
    assert budget.reached(Used(), 0.8, CPU) == "the target 0.8 is reached with a score of 0.8000"


def test_without_limits_a_search_never_has_enough() -> None:
    assert not Budget().is_limited
    assert Budget().reached(Used(9e9, 9e9), 1.0, GPU) is None


def test_every_problem_is_told() -> None:
    time, gpus = Budget(time_s=0.0, gpu_hours=1.0).problems(CPU)
    assert time == "--time-budget 0: give a time above 0"
    assert gpus.startswith("--gpu-hours 1: the trials have no GPU (2 × (3 CPU) on one node)")
    assert Budget(60, 1, 0.5).problems(GPU) == []
    given = options.Options(gpu_hours=float("nan"), target=85.0, trials=0, seed=-1, price_per_gpu_hour=float("inf"))
    assert options.problems_of(given) == [
        "--seed -1: give a number from 0 to 2147483647",
        "--trials 0: give 1 or more",
        "--gpu-hours nan: give more than 0",
        "--target 85: give a number from -1 to 1",
        "--price-per-gpu-hour inf: give a finite number",
    ]
    assert options.problems_of(options.Options(quiet=True, json=True)) == [
        "--quiet and --json exclude each other: leave one out"
    ]


def test_a_budget_in_words() -> None:
    assert Budget().describe() == "none"
    budget = Budget(9000, 4, 0.85)
    limits = "2 h 30 min or 4 GPU-hours or a score of 0.85"
    assert budget.describe() == f"{limits}; running trials are then cut at their next evaluation"


def test_the_meter_adds_up_gangs_and_sessions() -> None:
    clock = Clock()
    meter = Meter(Used(1000.0, 2000.0), clock)
    clock.now += 5
    meter.hold(0)
    clock.now += 10
    meter.hold(0)  # a retry: it held on
    meter.hold(1)
    clock.now += 10
    assert meter.used == Used(1025.0, 2030.0)
    meter.release(0)
    meter.release(7)  # never had one
    clock.now += 100
    assert meter.used == Used(1125.0, 2130.0)
    meter.release(1)
    clock.now += 100
    assert meter.used == Used(1225.0, 2130.0)


def test_what_was_used_goes_on_with_the_run(tmp_path: Path) -> None:
    run_folder.write_state(tmp_path, run_folder.State("2026-01-01T00:00:00+00:00", "run", 100.0, 200.0))
    clock = Clock()
    meter = Meter(Used(100.0, 200.0), clock)
    budget_log = BudgetLog(tmp_path, meter, clock)
    meter.hold(0)
    clock.now += EVERY_S - 1
    budget_log.tick()
    before = run_folder.read_state(tmp_path)
    assert before is not None and before.wall_s == 100.0, "not written at every tick"
    clock.now += 1
    budget_log.tick()
    after = run_folder.State("2026-01-01T00:00:00+00:00", "run", 110.0, 210.0)
    assert run_folder.read_state(tmp_path) == after
    run_folder.update_state(tmp_path, mlflow_run_id="other")
    clock.now += 1
    budget_log.search_finished({})
    assert run_folder.read_state(tmp_path) == replace(after, mlflow_run_id="other", wall_s=111.0, gang_s=211.0)


@pytest.mark.slow
def test_a_dry_run_shows_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--profile", "laptop", "--time-budget", "45m", "--dry-run", "--no-preflight", "--runs-dir", str(tmp_path)]
    assert search.main(arguments) == 0
    assert "budget     45 min; " in capsys.readouterr().out


def test_the_first_lines_show_the_budget(tmp_path: Path) -> None:
    assert "budget 2 h" in progress.header(samples.facts(tmp_path, budget="2 h"))
    assert not any("budget" in line for line in progress.header(samples.facts(tmp_path)))


def test_a_resumed_search_takes_a_larger_budget(tmp_path: Path) -> None:
    (tmp_path / "night").mkdir()
    options.save(options.Options(time_budget="1h", seeds=2), tmp_path / "night")
    taken = options.parse_arguments(
        ["--resume", "night", "--runs-dir", str(tmp_path), "--time-budget", "2h", "--target", "0.9"]
    )
    assert (taken.time_budget, taken.target, taken.seeds) == ("2h", 0.9, 2)


def test_a_resumed_search_names_the_budget_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "night"
    folder.mkdir()
    options.save(options.Options(time_budget="1h"), folder)
    path = folder / options.FILE_NAME
    path.write_text(
        path.read_text(encoding="utf-8").replace("{", '{"cpu_hours": 2.0, "on_budget": "cut",', 1), encoding="utf-8"
    )
    assert options.load(folder).time_budget == "1h"
    assert capsys.readouterr().err == "", "only a search has a budget"
    assert options.parse_arguments(["--resume", "night", "--runs-dir", str(tmp_path)]).time_budget == "1h"
    assert capsys.readouterr().err.startswith("the run was started with --cpu-hours 2.0, which this version does not have;")


@pytest.mark.parametrize("options_", [{"data": "caf\udce9"}, {"runs_dir": "/tmp/\udcff"}, {"settings": ("backbone=b\udc80",)}])
def test_a_name_that_is_not_utf8_is_refused(options_: dict[str, Any]) -> None:
    """Ray encodes command lines strictly."""
    (problem,) = options.problems_of(options.Options(**options_))
    assert problem.startswith("--") and "\ufffd is not UTF-8" in problem and "rename it" in problem
