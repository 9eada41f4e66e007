"""The confirmation from its plan to its outcome, with a stand-in for Tune and for the models: the rest is real."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.config import ConfigError, TrialConfig
from model.training.evaluation import Evaluation, Failure
from tests.support.bridge_session import _Saved
from tests.support.checkpoint_folders import made
from tests.support.clock import Clock
from tuner.config.budget import Budget, Meter, Spending, Used
from tuner.config.options import Options
from tuner.config.requirements import Requirements
from tuner.execution.bridge import FINISHED, Bridge
from tuner.execution.interruption import Interruption
from tuner.execution.runner import Runner
from tuner.results.confirmation_text import heading
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation import stage
from tuner.search.confirmation.outcome import Outcome
from tuner.search.confirmation.stage import Stage
from tuner.search.confirmation.statistics import Dev
from tuner.search.confirmation.trainings import FOLDER
from tuner.search.context import Context
from tuner.search.plan import Plan, make
from tuner.search.plan.dry_run import describe
from tuner.tracking.events import Observer

SPACE = """
name: tiny
metric: sst/accuracy
options: {finalists: 2, seeds: 2}
fixed: {mixture: [sst], backbone: embedded, max_length: 32, budget.examples: 320, budget.evaluations: 2}
search: {optim.lr: {float: [1.0e-5, 1.0e-3], log: true}}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "tiny.yaml").write_text(SPACE, encoding="utf-8")
    return make(Options(space=str(folder / "tiny.yaml"), runs_dir=str(folder), name="night"), has_gpu=False)


def trial(plan: Plan, number: int, score: float) -> TrialRecord:
    config = plan.samples[number].model_copy(update={"seed": 0}).to_dict()
    return TrialRecord(number, "COMPLETE", score, {"sst/accuracy": score}, [], config, 1.0, None, {"sst/accuracy": score})


class Tracking(Observer):
    def announce(self, sides: dict[int, Any]) -> None:
        self.sides = sides

    def catch_up(self, records: list[TrialRecord]) -> None:
        self.known = [record.number for record in records]


@dataclass
class Sessions:
    """Sessions of one run's confirmation, each with its own driver."""

    plan: Plan
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    trained: list[tuple[float, int]] = field(default_factory=list)
    """Learning rate and seed of each training that was done."""
    scored: list[int] = field(default_factory=list)
    score: Callable[[TrialConfig], float] = lambda config: 0.5 + 100 * config.optim.lr
    most: int = 99
    """Trainings after which the user presses Ctrl-C."""

    def run(
        self, *scores: float, budget: Budget | None = None, training_s: float = 1.0, clock: Any = None, **asked: Any
    ) -> Outcome | None:
        """Confirm trials with these search scores."""
        confirmation = self.plan.confirmation
        assert confirmation is not None
        plan = replace(self.plan, run_dir=self.folder, confirmation=replace(confirmation, **asked))
        self.interruption = Interruption()
        self.monkeypatch.setattr(Runner, "_train", lambda runner, bridge, folder: self._tune(bridge))
        self.monkeypatch.setattr(stage, "dev_scores", self._dev)
        spending = Spending(budget or Budget(), plan.shape, Meter(clock=clock or time.monotonic), lambda: Used(5.0, 5.0))
        runner = Runner(plan.shape, lambda: 1, self.interruption, None, 60.0, 600.0)
        context = Context(self.folder, plan.options.seed, runner, spending)
        parts = (context, plan.confirmation, plan.objective, Requirements(), Tracking(), Observer(), training_s)
        return Stage(*parts).run([trial(self.plan, number, score) for number, score in enumerate(scores)])  # type: ignore[arg-type]

    def _tune(self, bridge: Bridge) -> dict[int, str]:
        n_done = 0
        while isinstance(asked := bridge.ask("a"), dict):
            config = TrialConfig.model_validate(asked["config"])
            number, score = asked["number"], self.score(config)
            bridge.on_start(number)
            if math.isnan(score):
                bridge.on_evaluation(number, Failure("sst/loss became nan at step 3", 3))
            else:
                self._train(bridge, number, score)
                self.trained.append((config.optim.lr, config.seed))
            bridge.on_end("a")
            n_done += 1
            self.interruption.requested = n_done == self.most
        assert asked in (FINISHED, None)
        return {}

    def _train(self, bridge: Bridge, number: int, score: float) -> None:
        for index in (1, 2):
            told = Evaluation(index, 2, index, 2, index, {"sst/accuracy": score}, {}, float(index), compute=float(index))
            bridge.on_evaluation(number, told)
        bridge.on_checkpoint(number, told, _Saved(made(self.folder / f"saved-{number}-{len(self.trained)}", "weights").path))

    def _dev(self, folders: dict[int, Path], *others: Any) -> Iterator[tuple[int, Dev]]:
        for number, folder in folders.items():
            assert folder.is_dir(), "dev is scored while the model is there"
            self.scored.append(number)
            yield number, Dev({"sst": np.zeros(40)}, {"sst": np.zeros(40)})

    @property
    def models(self) -> set[str]:
        return {path.name for path in (self.folder / FOLDER / "models").iterdir()}


@pytest.fixture
def sessions(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    return Sessions(plan, tmp_path, monkeypatch)


def names(found: Outcome) -> list[str]:
    return [one["name"] for one in found.confirmation["finalists"]]


def test_each_is_trained_once_on_each_seed_and_scored_once_on_dev(sessions: Sessions) -> None:
    found = sessions.run(0.6, 0.7, 0.8)
    assert found is not None
    assert sorted(names(found)) == ["default", "trial 1", "trial 2"]
    assert len(set(sessions.trained)) == len(sessions.trained) == 6
    assert len(set(sessions.scored)) == len(sessions.scored) == 6
    assert len(sessions.models) == 3, "of each finalist the model that stands for it"
    assert str(found.model) in sessions.models
    again = sessions.run(0.6, 0.7, 0.8)
    assert again == found
    assert (len(sessions.trained), len(sessions.scored)) == (6, 6), "nothing is done twice"


def test_interrupted_it_goes_on_with_what_is_missing(sessions: Sessions) -> None:
    sessions.most = 2
    assert sessions.run(0.6, 0.7, 0.8) is None
    assert len(sessions.trained) == 2
    assert sessions.scored == []
    sessions.most = 99
    assert sessions.run(0.6, 0.7, 0.8) is not None
    assert len(set(sessions.trained)) == len(sessions.trained) == 6


def test_more_trials_are_confirmed_anew_and_what_is_there_is_used(sessions: Sessions) -> None:
    first = sessions.run(0.6, 0.7, 0.8)
    found = sessions.run(0.6, 0.7, 0.8, 0.9, 0.95)
    assert first is not None
    assert found is not None
    assert set(names(found)) == {*names(first), "trial 3", "trial 4"}, "an earlier champion cannot drop out"
    assert len(set(sessions.trained)) == len(sessions.trained) == 10
    more = sessions.run(0.6, 0.7, 0.8, 0.9, 0.95, n_seeds=3)
    assert more is not None
    assert set(names(more)) == {"default", "trial 3", "trial 4"}, "only what the search calls best is worth further seeds"
    assert len(set(sessions.trained)) == len(sessions.trained) == 13


def test_what_the_budget_cannot_pay_is_left_out_and_told(sessions: Sessions) -> None:
    found = sessions.run(0.6, 0.7, 0.8, budget=Budget(time_s=3600.0), training_s=1000.0)
    assert found is not None
    assert [len(one["trainings"]) for one in found.confirmation["finalists"] if one["rank"]] in ([2, 1], [1, 2])
    assert found.confirmation["notes"][0].startswith(
        "what is left of the budget pays 3 of 6 trainings, the best trial's and the default's first; --resume with a larger"
    )
    assert "trial 1 was not confirmed: the budget ended before" in found.confirmation["notes"]
    larger = sessions.run(0.6, 0.7, 0.8, budget=Budget(time_s=36000.0), training_s=1000.0)
    assert larger is not None
    assert larger.confirmation["notes"] == []
    assert len(set(sessions.trained)) == len(sessions.trained) == 6


def test_a_budget_that_ends_in_the_middle_cuts_and_is_told(sessions: Sessions) -> None:
    clock = Clock()

    def later(config: TrialConfig) -> float:
        clock.now += 25.0
        return 0.5

    sessions.score = later
    found = sessions.run(0.8, budget=Budget(time_s=60.0), training_s=10.0, clock=clock)
    assert found is not None
    assert len(sessions.trained) == 3, "the third is cut at its first evaluation"
    states = [training["state"] for one in found.confirmation["finalists"] for training in one["trainings"]]
    assert sorted(states) == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert "the confirmation ended early: the time budget of 1 min is used up" in found.confirmation["notes"]


def test_without_any_budget_left_nothing_is_confirmed(sessions: Sessions) -> None:
    found = sessions.run(0.6, 0.7, budget=Budget(time_s=60.0), training_s=1000.0)
    assert found is not None
    assert (found.champion, found.confirmation["beats_default"]) == (None, None)
    assert found.confirmation["notes"][0].startswith("what is left of the budget pays 0 of 6 trainings")
    assert heading(found.confirmation).startswith("no finalist was confirmed")


def test_a_default_that_fails_is_told(sessions: Sessions, plan: Plan) -> None:
    assert plan.confirmation is not None
    assert plan.confirmation.default is not None
    lr = plan.confirmation.default.optim.lr
    sessions.score = lambda config: math.nan if config.optim.lr == lr else 0.7
    found = sessions.run(0.6, 0.7)
    assert found is not None
    assert found.confirmation["beats_default"] is None
    (failed, without) = found.confirmation["notes"]
    assert failed.startswith("the untuned default failed on the seed ")
    assert failed.endswith("and is left out: sst/loss became nan at step 3")
    assert without == "so there is no untuned default to compare with"


def test_a_model_that_is_gone_is_trained_again_where_it_is_needed(sessions: Sessions) -> None:
    assert sessions.run(0.8) is not None
    shutil.rmtree(sessions.folder / FOLDER / "models")
    found = sessions.run(0.8)
    assert found is not None
    assert str(found.model) in sessions.models
    assert len(sessions.trained) == 4 + 2, "one of each finalist"


class TestPlan:
    def options(self, plan: Plan, **changes: Any) -> Options:
        return replace(plan.options, name="other", **changes)

    def test_the_space_says_how_many_and_the_command_line_has_precedence(self, plan: Plan) -> None:
        for changes, expected in (({}, (2, 2)), ({"finalists": 1, "seeds": 5}, (1, 5)), ({"trials": 1}, (1, 2))):
            asked = make(self.options(plan, **changes), has_gpu=False).confirmation
            assert asked is not None
            assert (asked.n_finalists, asked.n_seeds) == expected
        assert make(self.options(plan, finalists=0), has_gpu=False).confirmation is None

    def test_a_dry_run_tells_what_it_costs(self, plan: Plan) -> None:
        told = describe(replace(plan, options=replace(plan.options, no_preflight=True)))
        assert "the best 2 trials and the untuned default, on 2 fresh seeds each, 6 trainings more at full budget" in told
        assert "% of it for the confirmation" in told
        limited = make(self.options(plan, time_budget="45m", target=0.9), has_gpu=False)
        assert "the expected time of the confirmation is reserved, at most half" in describe(limited)
        assert "reserved" not in describe(make(self.options(plan, target=0.9), has_gpu=False))
        assert "confirmation" not in describe(make(self.options(plan, finalists=0), has_gpu=False))

    @pytest.mark.parametrize(("profile", "expected"), [("laptop", 2), ("gpu", 3)])
    def test_with_gpus_there_are_more_where_nobody_says(self, tmp_path: Path, profile: str, expected: int) -> None:
        asked = make(Options(profile=profile, runs_dir=str(tmp_path)), has_gpu=profile == "gpu").confirmation
        assert asked is not None
        assert (asked.n_finalists, asked.n_seeds) == (expected, expected)
        assert asked.default is not None
        assert not asked.default.smart.enabled

    @pytest.mark.parametrize("space", ["paper_table1", "paper_table2"])
    def test_a_grid_of_the_paper_has_none(self, tmp_path: Path, space: str) -> None:
        assert make(Options(space=space, profile="laptop", runs_dir=str(tmp_path)), has_gpu=False).confirmation is None

    def test_wrong_numbers_are_told(self, plan: Plan, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            make(self.options(plan, finalists=-1, seeds=0), has_gpu=False)
        assert sorted(caught.value.problems) == [
            "--finalists -1: give 0 or more",
            "--seeds 0: give 1 or more",
        ]
        (tmp_path / "s.yaml").write_text(SPACE.replace("finalists: 2, seeds: 2", "finalists: two, seeds: 0, finalist: 1"))
        with pytest.raises(ConfigError) as caught:
            make(self.options(plan, space=str(tmp_path / "s.yaml")), has_gpu=False)
        for word in ("finalists: input should be a valid integer", "seeds: ", "did you mean finalists?"):
            assert any(word in problem for problem in caught.value.problems), word

    def test_a_default_that_cannot_run_on_the_data_is_told_and_is_no_finalist(self, plan: Plan, tmp_path: Path) -> None:
        text = SPACE.replace("budget.examples: 320", "budget.examples: 24").replace(
            "search: {", "search: {optim.batch_size: {choice: [8]}, "
        )
        (tmp_path / "s.yaml").write_text(text)
        found = make(self.options(plan, space=str(tmp_path / "s.yaml")), has_gpu=False)
        assert found.confirmation is not None
        assert found.confirmation.default is None
        assert any(note.startswith("the confirmation has no untuned default: ") for note in found.notes)
