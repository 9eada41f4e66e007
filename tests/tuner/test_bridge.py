"""What the bridge hands to Tune and makes of what comes back, with a real study on disk and no Ray."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from model.evaluation import Evaluation, Failure
from tests.tuner.test_checkpoints import Folder, made
from tuner import bridge as bridges
from tuner.bridge import FINISHED, Bridge
from tuner.checkpoints import Checkpoints
from tuner.interruption import Interruption
from tuner.models import Models
from tuner.objective import Objective
from tuner.observer import SilentObserver
from tuner.record import TrialRecord
from tuner.space import load
from tuner.study import Study

SPACE = """
name: tiny
fixed: {mixture: [sst]}
search: {optim.lr: {float: [1.0e-5, 1.0e-3], log: true}}
"""
N_EVALUATIONS = 4


@dataclass
class Heard(SilentObserver):
    """Notes what it hears."""

    evaluations: list[tuple[int, int]] = field(default_factory=list)
    ended: list[tuple[int, str]] = field(default_factory=list)

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self.evaluations.append((number, evaluation.index))

    def trial_finished(self, record: TrialRecord) -> None:
        self.ended.append((record.number, record.state))


class Session:
    """One session of a search on `folder`, as `tuner.search` sets it up."""

    def __init__(self, folder: Path, n_trials: int = 3, slots: int = 2, pruner: str = "none") -> None:
        (folder / "tiny.yaml").write_text(SPACE, encoding="utf-8")
        arguments = (load(folder / "tiny.yaml"), Objective("sst/accuracy"), "random", pruner, 0, n_trials, N_EVALUATIONS)
        self.folder = folder
        self.study = Study.open(f"journal:{folder / 'journal'}", "study", *arguments)
        self.heard = Heard()
        self.interruption = Interruption()
        self.checkpoints = Checkpoints(folder / "checkpoints", 1)
        self.models = Models(folder / "models")
        unfinished = self.study.take_up()
        parts = (self.study, self.heard, self.models, self.checkpoints, lambda: slots, self.interruption)
        self.bridge = Bridge(*parts, unfinished)
        self._n_saved = 0

    def ask(self, trial_id: str) -> dict[str, Any]:
        asked = self.bridge.ask(trial_id)
        assert isinstance(asked, dict)
        self.bridge.started(asked["number"])
        return asked

    def report(self, number: int, index: int, score: float = 0.5, *, save: bool = False) -> bool:
        """One evaluation comes up; where it is asked for or due, so does what was saved. Returns whether the trial ends."""
        evaluation = Evaluation(index, N_EVALUATIONS, 10 * index, 40, 80 * index, {"sst/accuracy": score}, {}, float(index))
        ends = self.bridge.reported(number, evaluation)
        if save or evaluation.is_last or self.bridge.wants_checkpoint(number):
            self._n_saved += 1
            self.bridge.saved(number, evaluation, self._saved(f"{number} {index}"))
        return ends

    def _saved(self, text: str) -> Any:
        folder = made(self.folder / f"saved-{self._n_saved}-{text.replace(' ', '-')}", text)
        return _Saved(folder.path)


class _Saved(Folder):
    def to_directory(self, path: str) -> None:
        shutil.copytree(self.path, path)


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
    second.bridge.ended("a")
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
    assert not session.bridge.should_end()
    session.interruption.requested = True
    assert session.bridge.ask("c") is None
    assert not session.bridge.should_end(), "two trials train"
    assert session.report(0, 2)
    session.bridge.ended("a")
    assert not session.bridge.should_end()
    assert session.bridge.reported(1, Failure("a rank failed", 10)), "which no checkpoint mends"
    session.bridge.ended("b")
    assert session.bridge.should_end()
    assert "saved at their next evaluation" in capsys.readouterr().err
    assert session.heard.ended == [(1, "FAIL")]
    session.study.park()

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
    assert not session.bridge.should_end()
    now = bridges.time.monotonic()
    monkeypatch.setattr(bridges.time, "monotonic", lambda: now + bridges.GRACE_S + 1)
    assert session.bridge.should_end()


def test_a_trial_that_ends_at_its_last_evaluation_is_not_kept_waiting_by_an_interruption(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.ask("a")
    for index in (1, 2, 3):
        session.report(0, index)
    session.interruption.requested = True
    assert session.report(0, 4)
    session.bridge.ended("a")
    assert session.heard.ended == [(0, "COMPLETE")]
