"""`python -m tuner status`: the truth about a search while it runs, after it was killed, and when it has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import samples
from tests.support.records import bare
from tests.support.status_folder import folder
from tests.support.stored_study import SPACE, play
from tuner.commands.run_command import DONE, WRONG_USAGE
from tuner.commands.status import main, status
from tuner.config import run_folder
from tuner.config.objective import Objective
from tuner.config.options import Options
from tuner.results import results_json as results
from tuner.space import load
from tuner.study import Study

__all__ = ["folder"]  # fixtures


@pytest.fixture
def study(folder: Path, tmp_path: Path) -> Study:
    (tmp_path / "tiny.yaml").write_text(SPACE, encoding="utf-8")
    storage, objective = f"journal:{folder / 'study.journal'}", Objective("mean", ("sst", "sts"))
    return Study(storage, "night", load(tmp_path / "tiny.yaml"), objective, "random", "none", 0, 9, 2)


def begin(study: Study, score: float) -> int:
    """A trial that has made its first evaluation of two."""
    asked = study.ask()
    assert asked is not None
    study.report(asked.number, samples.evaluation(1, score, pearson=score))
    return asked.number


def test_a_running_search(folder: Path, study: Study) -> None:
    play(study, 0.5)
    play(study, 0.7)
    study.fail(begin(study, 0.2), "the disk is full")
    begin(study, 0.6)
    with run_folder.opened(folder, Options()):
        found = status(folder)
    assert (found.stage, found.n_trials, found.wall_s) == ("searching", 9, 75.0)
    assert found.states == {"COMPLETE": 2, "PRUNED": 0, "FAIL": 1, "RUNNING": 1, "PAUSED": 0}
    assert (found.best, found.score) == (1, 0.7)
    (running,) = found.running
    assert (running.number, running.evaluation, running.score) == (3, 1, 0.6)
    assert found.last_failure == "the disk is full"


def test_a_search_that_still_prepares_its_data(folder: Path) -> None:
    with run_folder.opened(folder, Options()):
        found = status(folder)
    assert (found.stage, sum(found.states.values()), found.best) == ("searching", 0, None)


def test_killed_and_finished_searches_are_distinguished(folder: Path, study: Study) -> None:
    play(study, 0.5)
    assert status(folder).stage == "interrupted"
    for finished, stage in ((None, "interrupted"), ("2026-01-02T04:00:00+00:00", "finished")):
        results.write(folder / results.FILE_NAME, bare(finished=finished))
        assert status(folder).stage == stage


def test_lines_for_people_and_json_for_programs(folder: Path, study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    play(study, 0.5)
    begin(study, 0.25)
    arguments = ["night", "--runs-dir", str(folder.parent)]
    assert main(arguments) == DONE
    assert capsys.readouterr().out.splitlines() == [
        "night: interrupted, began 2026-01-02T03:04:05+00:00, 1:15 of searching",
        "trials: 1 ended (1 COMPLETE, 1 RUNNING), 1.5 of 9 full trials' compute used",
        "best: trial 0, score 0.5000 (sst/accuracy 0.5000, sts/pearson 0.5000)",
        "unfinished: trial 1, evaluation 1 of 10, score 0.2500",
    ]
    assert main([*arguments, "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["running"][0]["number"] == 1


def test_paused_trials_are_shown_while_it_runs_and_after(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(SPACE, encoding="utf-8")
    storage, objective = f"journal:{folder / 'study.journal'}", Objective("mean", ("sst", "sts"))
    study = Study(storage, "night", load(tmp_path / "tiny.yaml"), objective, "random", "asha-promote", 0, 9, 2)
    play(study, 0.5)
    for score in (0.4, 0.3):
        study.release(begin(study, score))
    told = []
    for between in (lambda: None, study.suspend):
        between()
        assert main(["night", "--runs-dir", str(folder.parent)]) == DONE
        told.append(capsys.readouterr().out.splitlines()[1:])
    assert (
        told[0]
        == told[1]
        == [
            "trials: 1 ended (1 COMPLETE, 2 PAUSED), 2 of 9 full trials' compute used",
            "best: trial 0, score 0.5000 (sst/accuracy 0.5000, sts/pearson 0.5000)",
            "paused: 2, to go on if promoted; the furthest is trial 1, evaluation 1 of 10",
        ]
    )


def test_no_such_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["day", "--runs-dir", str(tmp_path)]) == WRONG_USAGE
    assert "there is no run day" in capsys.readouterr().err
