"""The bridge between Tune and the study, driven as Tune drives it: what a budget's end does to trials."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cluster.shape import GangShape
from tests.support import samples
from tests.support.clock import Clock
from tuner.artifacts.checkpoints import Checkpoints
from tuner.artifacts.models import LAST_WRITTEN, Models
from tuner.config.budget import Budget, Meter, Spending
from tuner.config.objective import Objective
from tuner.execution.bridge import FINISHED, Bridge
from tuner.execution.interruption import Interruption
from tuner.results.trial_record import TrialRecord
from tuner.space import load
from tuner.study import Study
from tuner.tracking.events import Observer

SPACE = """\
name: tiny
fixed: {mixture: [sst, sts]}
search:
  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}
"""


class Heard(Observer):
    def __init__(self) -> None:
        self.finished: list[TrialRecord] = []

    def trial_finished(self, record: TrialRecord) -> None:
        self.finished.append(record)


class Checkpoint:
    """Tune's checkpoint of a model, as far as the bridge uses it."""

    def to_directory(self, path: str) -> str:
        Path(path).mkdir(parents=True)
        (Path(path) / LAST_WRITTEN).touch()
        return path


class Search:
    """A study and its bridge, with a clock to turn."""

    def __init__(self, folder: Path, budget: Budget, *, n_trials: int = 9, pruner: str = "none") -> None:
        path = folder / "tiny.yaml"
        path.write_text(SPACE, encoding="utf-8")
        storage = f"journal:{folder / 'study.journal'}"
        objective = Objective("mean", ("sst", "sts"))
        self.study = Study(storage, "study", load(path), objective, "random", pruner, 0, n_trials, 2, max_trials=n_trials)
        self.clock, self.heard = Clock(), Heard()
        spending = Spending(budget, GangShape(1, 2, 0.5), Meter(clock=self.clock))
        models = Models(folder / "models")
        checkpoints = Checkpoints(folder / "checkpoints", 1)
        self.bridge = Bridge(self.study, self.heard, models, checkpoints, lambda: 2, Interruption(), spending=spending)

    def start(self, trial_id: str) -> int:
        asked = self.bridge.ask(trial_id)
        assert isinstance(asked, dict)
        number: int = asked["number"]
        self.bridge.on_start(number)
        return number

    def evaluate(self, number: int, index: int, score: float) -> bool:
        return self.bridge.on_evaluation(number, samples.evaluation(index, score, pearson=score))

    def complete(self, trial_id: str, number: int, score: float) -> None:
        last = samples.evaluation(2, score, pearson=score)
        assert self.bridge.on_evaluation(number, last)
        self.bridge.on_checkpoint(number, last, Checkpoint())
        self.bridge.on_end(trial_id)


def test_what_runs_when_the_time_is_up_is_cut_at_its_next_evaluation(tmp_path: Path) -> None:
    search = Search(tmp_path, Budget(time_s=9000))
    number = search.start("a")
    search.clock.now += 9000
    assert search.bridge.ask("b") == FINISHED
    assert search.evaluate(number, 1, 0.5)
    search.bridge.on_end("a")
    record = search.study.record(number)
    reason = "cut at evaluation 1 of 2: the time budget of 2 h 30 min is used up"
    assert (record.state, record.score, record.reason) == ("PRUNED", 0.5, reason)
    assert search.heard.finished == [record], "it is told once"
    assert search.bridge.stopped_by == "the time budget of 2 h 30 min is used up"


def test_what_has_trained_to_its_end_is_not_cut(tmp_path: Path) -> None:
    search = Search(tmp_path, Budget(time_s=60))
    number = search.start("a")
    search.evaluate(number, 1, 0.5)
    search.clock.now += 60
    search.complete("a", number, 0.5)
    assert search.study.record(number).state == "COMPLETE"


def test_the_target_ends_a_search_when_a_trial_that_reached_it_is_complete(tmp_path: Path) -> None:
    search = Search(tmp_path, Budget(target=0.8))
    first, second = search.start("a"), search.start("b")
    assert search.evaluate(second, 1, 0.9) is False, "it is not complete yet"
    search.complete("a", first, 0.79)
    third = search.start("c")
    search.complete("b", second, 0.85)
    assert search.bridge.ask("d") == FINISHED
    assert search.evaluate(third, 1, 0.1)
    assert search.study.record(third).reason == "cut at evaluation 1 of 2: the target 0.8 is reached with a score of 0.8500"
    best = search.study.best
    assert best is not None and best.number == second


def test_a_resumed_search_that_has_its_target_asks_for_nothing(tmp_path: Path) -> None:
    search = Search(tmp_path, Budget())
    search.complete("a", search.start("a"), 0.9)
    assert Search(tmp_path, Budget(target=0.8)).bridge.ask("b") == FINISHED
    assert isinstance(Search(tmp_path, Budget(target=0.95)).bridge.ask("b"), dict)


def test_hours_are_those_that_trials_held(tmp_path: Path) -> None:
    """A gang holds half a GPU: the budget is two hours of one gang."""
    search = Search(tmp_path, Budget(gpu_hours=1.0))
    search.clock.now += 99999  # nothing is held
    first, second = search.start("a"), search.start("b")
    search.clock.now += 3599
    assert search.evaluate(first, 1, 0.5) is False
    search.complete("a", first, 0.5)
    search.clock.now += 1
    assert search.evaluate(second, 1, 0.5) is False
    search.clock.now += 1
    assert search.bridge.ask("c") == FINISHED


def test_without_a_budget_the_number_of_trials_ends_it(tmp_path: Path) -> None:
    search = Search(tmp_path, Budget(), n_trials=1)
    number = search.start("a")
    search.clock.now += 9e9
    search.complete("a", number, 0.5)
    assert search.bridge.ask("b") == FINISHED
    assert search.bridge.stopped_by is None


def test_a_refused_configuration_is_told(tmp_path: Path) -> None:
    """Settings that break a rule end a trial when it is asked for, and whoever listens hears so."""
    search = Search(tmp_path, Budget(), n_trials=2)
    search.study.space = replace(search.study.space, fixed={"mixture": ["sst", "sts"], "mixing.loss_weights": "explicit"})
    assert search.bridge.ask("a") == FINISHED
    assert [(record.number, record.state) for record in search.heard.finished] == [(0, "FAIL"), (1, "FAIL")]


def test_what_is_paused_when_the_time_is_up_is_settled_and_what_pauses_later_too(tmp_path: Path) -> None:
    search = Search(tmp_path, Budget(time_s=9000), pruner="asha-promote")
    first, second = search.start("a"), search.start("b")
    assert not search.evaluate(first, 1, 0.9)
    assert search.evaluate(second, 1, 0.5)
    search.bridge.on_end("b")
    third = search.start("b")
    search.clock.now += 9000
    assert search.bridge.ask("c") == FINISHED
    assert search.evaluate(third, 1, 0.4)
    search.bridge.on_end("b")
    up = "not promoted from evaluation 1 of 2, score {}: the time budget of 2 h 30 min is used up"
    assert [record.reason for record in search.heard.finished] == [up.format("0.5000"), up.format("0.4000")]
    assert [search.study.record(number).state for number in (first, second, third)] == ["RUNNING", "PRUNED", "PRUNED"]
    search.complete("a", first, 0.9)
    assert search.bridge.ask("b") == FINISHED
    assert search.study.paused == []
