"""A search called from Python: the same options, checked alike, and a typed view of what it left."""

from __future__ import annotations

import inspect
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from model.config import ConfigError
from tests.support import samples
from tuner import search
from tuner.config.keywords import options_of
from tuner.config.options import Options, parse_arguments
from tuner.execution.interruption import Interruption
from tuner.results import results_json as results
from tuner.results import search_result as outcome
from tuner.results.search_result import SearchResult

KEYWORDS: dict[str, Any] = {
    "space": Path("own.yaml"),
    "settings": {"optim.lr": 2e-5, "smart.enabled": True, "mixture": ["sst", "sts"], "budget.epochs": None},
    "tasks": ["sst", "sts"],
    "metric": ["sst/accuracy", "sts/pearson"],
    "require": "sst/accuracy>=0.3",
    "warm_start": [Path("first"), "second"],
    "time_budget": 90,
    "gpu_hours": 2,
    "trials": 8,
    "profile": None,
}
ARGUMENTS = [
    *("--space", "own.yaml", "--set", "optim.lr=2.0e-05", "--set", "smart.enabled=true", "--set", "mixture=[sst, sts]"),
    *("--set", "budget.epochs=null", "--tasks", "sst,sts", "--metric", "sst/accuracy,sts/pearson"),
    *("--require", "sst/accuracy>=0.3", "--warm-start", "first", "--warm-start", "second"),
    *("--time-budget", "90", "--gpu-hours", "2", "--trials", "8"),
]


def test_keywords_are_the_command_lines_options() -> None:
    assert options_of(KEYWORDS) == parse_arguments(ARGUMENTS)
    assert options_of({}) == Options()


def test_completion_knows_every_option_and_its_default() -> None:
    found = inspect.signature(search)
    assert {name: parameter.default for name, parameter in found.parameters.items()} == {
        field.name: field.default for field in fields(Options)
    }
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in found.parameters.values())


def test_wrong_keywords_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        search(trails=3, trials="8", quiet=1, seed=True, data=3, gpu_hours="2", settings=[3], nonsense=1)
    trails, nonsense, *values = error.value.problems
    assert trails == "search() has no option trails (did you mean trials?)"
    assert nonsense.startswith("search() has no option nonsense; the options are space, profile,")
    assert values == [
        "trials='8': give a whole number",
        "quiet=1: give True or False",
        "seed=True: give a whole number",
        "data=3: give a text",
        "gpu_hours='2': give a number",
        "settings=(3,): give a text, or a list of texts",
    ]


def test_what_a_command_line_would_refuse_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        search(space="smart_mtll", data=tmp_path / "none", trials=0, runs_dir=tmp_path / "runs")
    said = "\n".join(error.value.problems)
    for word in ("did you mean smart_mtl?", "is not a folder", "--trials 0"):
        assert word in said
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ConfigError, match="leave out --space"):
        search(resume="night", space="smart_mtl", runs_dir=tmp_path)
    with pytest.raises(ConfigError, match="is not a valid value"):
        search(settings={"optim.lr": object()})


def test_a_dry_run_prints_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(dry_run=True, profile="laptop", no_preflight=True, runs_dir=tmp_path / "runs") is None
    assert "8 full trials' compute" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_no_handler_of_signals_off_the_main_thread() -> None:
    entered: list[bool] = []

    def listen() -> None:
        with Interruption().listening():
            entered.append(True)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert entered == [True]


def result_of(run_dir: Path, champion: int | None = 1, **changes: Any) -> SearchResult:
    """The view of a written results.json of three trials."""
    records = [samples.record(0, score=0.4), samples.record(1, score=0.6), samples.record(2, "FAIL", reason="diverged")]
    best = None if champion is None else records[champion]
    run_dir.mkdir(exist_ok=True)
    found = samples.results(samples.facts(run_dir), records, best, front=records[:2], **changes)
    results.write(run_dir / results.FILE_NAME, found)
    return SearchResult.read(run_dir)


def test_the_view_says_what_the_file_says(tmp_path: Path) -> None:
    found = result_of(tmp_path / "night")
    assert (found.path, found.exit_status) == (tmp_path / "night", 0)
    assert [(trial.number, trial.state, trial.score) for trial in found.trials] == [
        (0, "COMPLETE", 0.4),
        (1, "COMPLETE", 0.6),
        (2, "FAIL", None),
    ]
    assert found.trials[1].config == samples.CONFIG
    assert found.trials[2].reason == "diverged"
    assert [look["score"] for look in found.trials[1].evaluations] == [0.5, 0.6]
    assert [trial.number for trial in found.front] == [0, 1]
    assert found.champion is not None
    assert (found.champion.number, found.champion.score, found.champion.config) == (1, 0.6, samples.CONFIG)
    assert found.champion.path == tmp_path / "night" / "champion"
    assert str(found) == f"night: 3 trials, champion trial 1, score 0.6000, in {tmp_path / 'night'}"
    with pytest.raises(AttributeError):
        found.champion.score = 1.0  # type: ignore[misc]


def test_a_default_that_won_is_no_trial(tmp_path: Path) -> None:
    written = result_of(tmp_path / "night").raw
    results.write(tmp_path / "night" / results.FILE_NAME, {**written, "champion": {**written["champion"], "number": None}})
    found = SearchResult.read(tmp_path / "night")
    assert found.champion is not None
    assert found.champion.number is None
    assert "champion the untuned default, score 0.6000" in str(found)


def test_exit_status_is_the_command_lines(tmp_path: Path) -> None:
    assert result_of(tmp_path / "none", champion=None).exit_status == outcome.FAILED == 1
    assert result_of(tmp_path / "cut", finished=None).exit_status == outcome.INTERRUPTED == 130
    far = samples.record(0, score=0.4, requirements={"sst/accuracy>=0.5": 0.1})
    found = samples.results(samples.facts(tmp_path), [far], far)
    assert outcome.exit_status(found) == outcome.SHORT == 3
    assert (outcome.CHAMPION, outcome.WRONG_USAGE) == (0, 2)


def test_a_frame_of_the_trials(tmp_path: Path) -> None:
    frame = result_of(tmp_path / "night").to_frame()
    assert list(frame.index) == [0, 1, 2]
    assert list(frame["state"]) == ["COMPLETE", "COMPLETE", "FAIL"]
    assert frame.loc[1, "sst/accuracy"] == 0.6
    assert frame.loc[1, "mixture"] == "sst+sts"
    assert frame.loc[1, "optim.lr"] == samples.CONFIG.optim.lr


def test_no_run_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        SearchResult.read(tmp_path / "none")


def test_predict_refuses_what_it_cannot_judge(tmp_path: Path) -> None:
    champion = result_of(tmp_path / "night").champion
    assert champion is not None
    for task, texts, said in (
        ("st", ["a"], r"not trained on st \(did you mean ss?t"),
        ("sst", "a text", "takes a list"),
        ("sst", ["a", " "], "item 1 is none"),
        ("sst", [("a", "b")], "item 0 is none"),
        ("sts", ["a"], "a pair of texts"),
        ("sst", [3], "item 0 is none"),
    ):
        with pytest.raises(ConfigError, match=said):
            champion.predict(task, texts)  # type: ignore[arg-type]
    assert champion.predict("sst", []) == []
