"""What benchmarks of whole searches make of events: gaps, times to a target, phases of a start, tables."""

from __future__ import annotations

import csv
import math
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks import evaluation, gaps, memory, sides, start, whole
from benchmarks.arguments import WRONG_USAGE, add_search_options, options_of, run
from benchmarks.stock_ray import Recorded, trial_entry
from tuner.config.options import parse_arguments

T0 = 1000.0


def times(*pairs: tuple[float, float]) -> list[sides.TrialTimes]:
    """Trials by first and last step, whose last evaluation takes half a second."""
    return [sides.TrialTimes(first, last, last + 0.5) for first, last in pairs]


def test_gaps_of_one_slot_lie_between_neighbours() -> None:
    trials = times((20.0, 30.0), (0.0, 10.0), (12.0, 19.0))
    assert sides.gaps(trials, 1) == [2.0, 1.0]
    assert sides.gaps(trials, 1, after_evaluation=True) == [1.5, 0.5]


def test_a_trial_takes_the_slot_that_has_been_free_longest() -> None:
    assert sides.gaps(times((0.0, 10.0), (1.0, 4.0), (5.0, 11.0), (13.0, 20.0)), 2) == [1.0, 3.0]


def test_fewer_trials_than_slots_have_no_gaps() -> None:
    assert sides.gaps(times((0.0, 1.0)), 2) == []
    assert math.isnan(sides.percentile([], 0.5))


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.95, 4.0), (0.25, 1.0), (0.0, 1.0), (1.0, 4.0)])
def test_a_percentile_is_a_value_that_was_seen(share: float, value: float) -> None:
    assert sides.percentile([4.0, 1.0, 3.0, 2.0], share) == value


EVENTS: list[dict[str, Any]] = [
    {"event": "began", "at": T0 + 5},
    {"event": "asked", "at": T0 + 6, "trial": 0},
    {"event": "evaluated", "at": T0 + 14, "trial": 0, "seconds": 3.0, "evaluation_s": 1.0, "trained_at": T0 + 12.0},
    {"event": "evaluated", "at": T0 + 18, "trial": 0, "seconds": 6.0, "evaluation_s": 0.5, "trained_at": T0 + 16.0},
    {"event": "finished", "at": T0 + 19, "trial": 0, "state": "COMPLETE"},
    {"event": "finished", "at": T0 + 20, "trial": 1, "state": "FAIL"},
    {"event": "finished", "at": T0 + 21, "trial": 2, "state": "COMPLETE"},
]


def test_steps_are_read_off_a_timeline() -> None:
    ran = sides.of_timeline(EVENTS, {0: 0.5, 1: 0.9, 2: 0.7}, T0, T0 + 30)
    assert ran.trials == (sides.TrialTimes(T0 + 10, T0 + 16, T0 + 16.5),)
    assert ran.first_step_s == 10
    assert ran.found == ((T0 + 19, 0.5), (T0 + 21, 0.7))
    assert (ran.best, ran.reached_s(0.4), ran.reached_s(0.6), ran.reached_s(0.8)) == (0.7, 19, 21, math.inf)


def test_the_phases_of_a_start_add_up() -> None:
    marks = {"checked": 1.0, "connected": 4.5} | start.of_timeline(EVENTS, T0)
    found = start.phases(marks)
    assert list(found.values()) == [1.0, 3.5, 0.5, 1.0, 4.0]
    assert sum(found.values()) == marks["first step"] == 10


def told(trial: str, index: int, score: float, *, is_last: bool = False) -> dict[str, Any]:
    return {
        "trial": trial,
        "at": T0 + index,
        "evaluated_at": T0 + index - 0.1,
        "index": index,
        "is_last": is_last,
        "score": score,
    }


def test_stock_rays_record_becomes_the_same() -> None:
    reports = [told("a", 1, 0.9), told("a", 2, 0.6, is_last=True), told("b", 1, 0.2)]
    trials = [trial_entry("a", [T0, T0 + 1, T0 + 2], reports), trial_entry("b", [T0 + 4, T0 + 5], reports)]
    trials.append(trial_entry("never trained", [], reports))
    ran = sides.of_stock({"reports": reports, "trials": trials}, T0 - 10, T0 + 10)
    assert ran.trials == (sides.TrialTimes(T0, T0 + 2, T0 + 2), sides.TrialTimes(T0 + 4, T0 + 5, T0 + 5))
    assert ran.found == ((T0 + 2, 0.6),), "a score counts on the whole split alone"
    assert [trial["is_whole"] for trial in trials] == [True, False, False]


def test_stock_ray_ends_at_a_whole_trial_with_the_target() -> None:
    recorded = Recorded([told("a", 1, 0.9)])
    assert not recorded.reached(0.5)
    recorded.reports.append(told("a", 2, 0.6, is_last=True))
    assert (recorded.reached(0.5), recorded.reached(0.7), recorded.reached(None)) == (True, False, False)


def test_a_ratio_needs_both_sides() -> None:
    assert whole.ratio_of({sides.OURS: [10.0, 5.0, math.inf], sides.STOCK: [40.0, math.inf, 7.0]}) == [4.0]


def test_a_median_comes_with_its_range() -> None:
    assert sides.median_and_range([3.0, 1.0, 2.0], 0) == "2 (1 … 3)"
    assert sides.median_and_range([]) == "-"


def test_both_commands_get_the_same_search() -> None:
    text = ArgumentParser()
    add_search_options(text)
    given = ["--space=smart_mtl", "--data=demo", "--trials=4", "--seed=3", "--set=max_length=32", "--backbone=folder"]
    options = options_of(text.parse_args(given))
    assert sides.arguments_of(options) == [*given[:5], "--backbone=folder"]
    ours = parse_arguments(sides.arguments_of(options))
    assert (ours.trials, ours.seed, ours.settings, ours.backbone) == (4, 3, ("max_length=32",), "folder")


def test_a_larger_corpus_has_other_rows(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "sts-train.csv").write_text(
        "\tid\tsentence1\tsentence2\tsimilarity\n0\ta\tone\ttwo\t1\n1\tb\tx\ty\t2\n", encoding="utf-8"
    )
    n_bytes = memory.write_corpus(tmp_path / "twice", base, 2, 1)
    path = tmp_path / "twice" / "sts-train.csv"
    assert n_bytes == path.stat().st_size
    with path.open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file, delimiter="\t")
    assert [row[1:] for row in rows] == [["a-0", "one 0", "two 0", "1"], ["a-1", "one 1", "two 1", "1"]]


def test_of_several_processes_the_largest_counts() -> None:
    peaks = memory.Peaks()
    for n_bytes in (3, 5, 4):
        peaks.see("rank", n_bytes)
    assert peaks.most == {"rank": 5}


@pytest.mark.slow
def test_wrong_options_are_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the benchmark itself, and of a search that it starts."""
    no_data, no_trials = ["--data", "/nowhere", "--threads", "1"], ["--trials", "0", "--only", sides.OURS]
    for main in (lambda: evaluation.main(no_data), lambda: gaps.main(no_trials)):
        with pytest.raises(SystemExit) as ended:
            run(main)
        assert ended.value.code == WRONG_USAGE
    assert capsys.readouterr().err.splitlines() == [
        "--data /nowhere: /nowhere is not a folder; give a folder, demo, hub or hub=DIR",
        "--trials 0: give 1 or more",
    ]
