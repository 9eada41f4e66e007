"""What the bridge hands to Tune and makes of what comes back, with a real study on disk and no Ray."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.training.evaluation import Evaluation, Failure
from tests.support import samples
from tests.support.bridge_session import N_EVALUATIONS, Session
from tests.support.checkpoint_folders import Folder
from tuner.artifacts.models import Models
from tuner.execution import bridge as bridges
from tuner.execution.bridge import FINISHED, drop_beaten


def test_a_trial_goes_on_from_its_checkpoint_and_repeats_nothing(tmp_path: Path) -> None:
    first = Session(tmp_path)
    assert [first.ask(name)["checkpoint"] for name in "ab"] == [None, None]
    first.report(0, 1, save=True)
    first.report(0, 2)
    first.report(1, 1)
    # kill -9

    second = Session(tmp_path)
    again = [second.ask(name) for name in "ab"]
    assert [one["number"] for one in again] == [0, 1]
    assert [one["checkpoint"] for one in again] == [str(tmp_path / "checkpoints" / "trial_0_evaluation_1_ranks_1"), None]
    assert second.bridge.ask("c") is None, "no slot is free"
    for index in (2, 3, 4):
        assert second.report(0, index) == (index == 4)
    second.bridge.on_end("a")
    assert second.heard.evaluations == [(0, 3), (0, 4)]
    assert second.heard.ended == [(0, "COMPLETE")]
    assert second.checkpoints.last(0) is None, "what has ended needs no checkpoint"
    assert second.ask("c")["number"] == 2
    assert len(second.study.record(0).evaluations) == 4


def test_a_trial_whose_model_was_stored_is_complete_without_training(tmp_path: Path) -> None:
    first = Session(tmp_path, n_trials=1)
    first.ask("a")
    for index in (1, 2, 3, 4):
        first.report(0, index)
    assert first.study.record(0).state == "RUNNING"
    # kill -9 before Tune let go of the trial

    second = Session(tmp_path, n_trials=1)
    assert second.bridge.ask("a") == FINISHED
    assert second.heard.ended == [(0, "COMPLETE")]
    assert second.study.record(0).score == 0.5


def test_an_interruption_saves_what_runs_and_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(tmp_path)
    for name in "ab":
        session.ask(name)
    assert not session.report(0, 1)
    assert not session.bridge.should_stop()
    session.interruption.requested = True
    assert session.bridge.ask("c") is None
    assert not session.bridge.should_stop(), "two trials train"
    assert session.report(0, 2)
    session.bridge.on_end("a")
    assert not session.bridge.should_stop()
    assert session.bridge.on_evaluation(1, Failure("a rank failed", 10)), "which no checkpoint mends"
    session.bridge.on_end("b")
    assert session.bridge.should_stop()
    assert "saving running trials at their next evaluation" in capsys.readouterr().err
    assert session.heard.ended == [(1, "FAIL")]
    session.study.suspend()

    resumed = Session(tmp_path)
    assert resumed.ask("a") == {
        "number": 0,
        "config": resumed.study.record(0).config,
        "checkpoint": str(tmp_path / "checkpoints" / "trial_0_evaluation_2_ranks_1"),
    }
    assert resumed.ask("b")["number"] == 2


def test_an_interruption_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(tmp_path)
    session.ask("a")
    session.interruption.requested = True
    assert not session.bridge.should_stop()
    now = bridges.time.monotonic()
    monkeypatch.setattr(bridges.time, "monotonic", lambda: now + bridges.GRACE_S + 1)
    assert session.bridge.should_stop()


def test_a_trial_that_ends_at_its_last_evaluation_is_not_kept_waiting_by_an_interruption(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.ask("a")
    for index in (1, 2, 3):
        session.report(0, index)
    session.interruption.requested = True
    assert session.report(0, 4)
    session.bridge.on_end("a")
    assert session.heard.ended == [(0, "COMPLETE")]


def paused_session(folder: Path, n_trials: int = 9) -> Session:
    """Trial 0 trains in slot "a"; 1 and 2 came to the first rung after it, were worse, and have left slot "b"."""
    session = Session(folder, n_trials=n_trials, pruner="asha-promote")
    session.ask("a")
    assert not session.report(0, 1, 0.9)
    for number in (1, 2):
        assert session.ask("b")["number"] == number
        assert session.report(number, 1, 0.5 - 0.1 * number)
        session.bridge.on_end("b")
    return session


def checkpoint_of(folder: Path, number: int) -> str:
    return str(folder / "checkpoints" / f"trial_{number}_evaluation_1_ranks_1")


def test_a_trial_pauses_with_a_checkpoint_and_is_promoted_from_it(tmp_path: Path) -> None:
    session = paused_session(tmp_path)
    assert session.heard.paused == [1, 2]
    assert session.ask("b")["number"] == 3
    assert session.report(3, 1, 0.1)  # four came to the rung: two of them go on
    session.bridge.on_end("b")
    assert session.ask("b") == {
        "number": 1,
        "config": session.study.record(1).config,
        "checkpoint": checkpoint_of(tmp_path, 1),
    }
    assert not session.report(1, 2, 0.3), "the first to come to the next rung goes on"


def test_what_still_holds_its_processes_is_not_promoted(tmp_path: Path) -> None:
    session = Session(tmp_path, slots=3, pruner="asha-promote")
    for name in "abc":
        session.ask(name)
    session.report(0, 1, 0.9)
    assert session.report(1, 1, 0.5)
    session.bridge.on_error("a", "its processes died")  # now trial 1 is the best that is left
    assert session.bridge.ask("d") is None, "it is still being saved"
    session.bridge.on_end("b")
    assert session.ask("d")["number"] == 1


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_after_a_kill_the_paused_are_paused_and_repeat_nothing(tmp_path: Path, has_checkpoint: bool) -> None:
    paused_session(tmp_path)
    # kill -9
    if not has_checkpoint:
        shutil.rmtree(checkpoint_of(tmp_path, 1))
    again = Session(tmp_path, n_trials=9, pruner="asha-promote")
    again.checkpoints.drop_others({0, *again.study.paused})
    assert again.study.paused == [1, 2]
    assert again.ask("a")["number"] == 0
    again.bridge.on_error("a", "its processes died")
    asked = again.ask("a")
    assert (asked["number"], asked["checkpoint"]) == (1, checkpoint_of(tmp_path, 1) if has_checkpoint else None)
    for index in (2, 3, 4) if has_checkpoint else (1, 2, 3, 4):
        assert again.report(1, index, 0.4) == (index == 4)
    again.bridge.on_end("a")
    assert again.heard.evaluations == [(1, 2), (1, 3), (1, 4)]
    assert again.heard.ended == [(0, "FAIL"), (1, "COMPLETE")]


def test_the_search_waits_while_a_trial_runs_that_may_make_room_and_then_settles(tmp_path: Path) -> None:
    session = paused_session(tmp_path, n_trials=3)
    assert session.bridge.ask("b") is None
    for index in (2, 3, 4):
        session.report(0, index, 0.9)
    session.bridge.on_end("a")
    assert session.bridge.ask("b") == FINISHED
    assert session.heard.ended == [(0, "COMPLETE"), (1, "PRUNED"), (2, "PRUNED")]
    assert session.study.record(1).reason == "not promoted from evaluation 1 of 4, score 0.4000"
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_search_whose_last_trial_still_runs_is_not_finished(tmp_path: Path) -> None:
    """It may pause, and be promoted."""
    session = Session(tmp_path, n_trials=1, pruner="asha-promote")
    session.ask("a")
    assert session.bridge.ask("b") is None


def test_an_interruption_leaves_the_paused_paused(tmp_path: Path) -> None:
    session = paused_session(tmp_path)
    session.interruption.requested = True
    assert session.report(0, 2, 0.9)
    session.bridge.on_end("a")
    assert session.bridge.should_stop()
    assert [record.state for record in session.study.records()] == ["RUNNING", "PAUSED", "PAUSED"]
    session.study.suspend()
    assert [record.state for record in session.study.records()] == ["PAUSED", "PAUSED"]
    again = Session(tmp_path, n_trials=9, pruner="asha-promote")
    assert again.study.paused == [1, 2]
    assert again.ask("a")["number"] == 0


def test_a_pause_that_cannot_be_saved_costs_time_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(tmp_path, pruner="asha-promote")
    for name in "ab":
        session.ask(name)
    session.report(0, 1, 0.9)
    evaluation = Evaluation(1, N_EVALUATIONS, 10, 40, 80, {"sst/accuracy": 0.5}, {}, 1.0)
    assert session.bridge.on_evaluation(1, evaluation)
    session.bridge.on_checkpoint(1, evaluation, Folder(tmp_path / "gone"))
    assert "cannot keep the checkpoint of evaluation 1" in capsys.readouterr().err
    session.bridge.on_end("b")
    session.bridge.on_error("a", "its processes died")
    asked = session.ask("b")
    assert (asked["number"], asked["checkpoint"]) == (1, None)


def test_models_of_the_best_the_front_and_the_unfinished_are_kept(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / str(number)).mkdir()
    best, on_front = samples.record(1, score=0.6), samples.record(2, score=0.5)
    study: Any = SimpleNamespace(best=best, front=[on_front], unfinished={3})
    drop_beaten(Models(tmp_path), study)
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2", "3"}
