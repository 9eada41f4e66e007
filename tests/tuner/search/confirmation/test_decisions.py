"""Who is confirmed, in which order, and what becomes of it: exact decisions, resumption through the real bridge, no Ray."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.shape import GangShape
from model.training.evaluation import Evaluation, Failure
from tests.support.bridge_session import _Saved
from tests.support.checkpoint_folders import made
from tests.support.clock import Clock
from tests.support.finalists import NONE, come_to, config, trial, tried
from tuner.artifacts.checkpoints import Checkpoints
from tuner.artifacts.models import Models
from tuner.config.budget import Budget, Meter, Spending, Used
from tuner.config.objective import Objective
from tuner.config.requirements import Requirements
from tuner.execution.bridge import FINISHED, Bridge
from tuner.execution.interruption import Interruption
from tuner.results.confirmation_text import NO, UNDECIDED, YES, sentences
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import Finalist, choose, fresh_seeds, in_order
from tuner.search.confirmation.outcome import FinalistResult, beats, ranked
from tuner.search.confirmation.reserve import Reserve, affordable, cost
from tuner.search.confirmation.statistics import Comparison, Dev
from tuner.search.confirmation.trainings import ConfirmationRecords, FinalistTrials
from tuner.tracking.events import Observer

DEFAULT = config(2e-5)


def names(finalists: list[Finalist]) -> list[str]:
    return [finalist.name for finalist in finalists]


class TestChoice:
    records = (
        trial(0, 2e-5, 0.5),
        trial(1, 3e-5, 0.7),
        trial(2, 4e-5, 0.9, state="PRUNED"),
        trial(3, 5e-5, 0.6),
        trial(4, 6e-5, None, state="FAIL"),
        trial(5, 7e-5, 0.8),
    )

    def test_the_best_complete_trials_and_the_default(self) -> None:
        found = choose(self.records, DEFAULT, 2)
        assert names(found) == ["trial 5", "trial 1", "default"]
        assert found[-1].trial is not None
        assert found[-1].trial.number == 0, "which a trial has tried"

    def test_a_default_that_no_trial_tried_is_a_finalist_too(self) -> None:
        found = choose(self.records, config(1e-3), 1)
        assert names(found) == ["trial 5", "default"]
        assert found[-1].trial is None

    def test_the_default_takes_no_place_of_a_trial(self) -> None:
        assert names(choose(self.records, config(7e-5), 2)) == ["trial 1", "trial 3", "default"]

    def test_seeds_and_repeats_make_no_configuration_of_their_own(self) -> None:
        records = (trial(0, 3e-5, 0.7), trial(1, 3e-5, 0.8, seed=4), trial(2, 5e-5, 0.6), trial(3, 3e-5, 0.8, same_as=1))
        assert names(choose(records, None, 2)) == ["trial 1", "trial 2"]

    def test_trials_that_meet_the_requirements_come_first(self) -> None:
        records = (*self.records, trial(6, 8e-5, 0.95, requirements={"sst/f1>=0.9": 0.2}))
        assert names(choose(records, None, 4)) == ["trial 5", "trial 1", "trial 3", "trial 0"]

    def test_under_several_goals_they_are_of_the_front_by_the_first_goal(self) -> None:
        values = [(0.5, 0.9), (0.7, 0.3), (0.6, 0.2), (0.8, 0.1)]
        records = [trial(i, 3e-5 + i / 1e5, a, scores={"sst/accuracy": a, "sst/f1": b}) for i, (a, b) in enumerate(values)]
        assert names(choose(records, None, 5)) == ["trial 3", "trial 1", "trial 0"]
        assert names(choose(records, None, 2)) == ["trial 3", "trial 1"]

    def test_what_was_confirmed_stays(self) -> None:
        assert names(choose(self.records, DEFAULT, 1, {Finalist(config(5e-5), None).identity})) == [
            "trial 5",
            "trial 3",
            "default",
        ]

    def test_of_nothing_there_is_nothing(self) -> None:
        assert choose([trial(0, 3e-5, 0.1, state="PRUNED")], DEFAULT, 2) == []
        assert names(choose([trial(0, 2e-5, 0.1)], DEFAULT, 2)) == ["default"], "the only complete trial is the default"


class TestSeeds:
    def test_are_fresh_and_the_same_each_time_and_more_begin_with_the_same(self) -> None:
        found = fresh_seeds(0, 3, {0})
        assert fresh_seeds(0, 5, {0})[:3] == found
        assert len({*found, 0}) == 4
        assert fresh_seeds(1, 3, {1}) != found
        assert fresh_seeds(0, 3, {found[0]})[:2] == found[1:], "a trial has had the first"
        assert all(0 <= seed < 2**31 for seed in found)

    def test_the_best_and_the_default_come_first_seed_by_seed(self) -> None:
        order = in_order(choose(TestChoice.records, DEFAULT, 3), [11, 12])
        assert list(map(str, order)) == [
            "trial 5 seed 11", "default seed 11", "trial 5 seed 12", "default seed 12",
            "trial 1 seed 11", "trial 1 seed 12", "trial 3 seed 11", "trial 3 seed 12",
        ]  # fmt: skip

    def test_a_training_is_known_by_its_configuration(self) -> None:
        (one,) = choose([trial(7, 3e-5, 0.5)], None, 1)
        (later,) = choose([trial(9, 3e-5, 0.6, seed=3)], None, 1)
        assert [t.number for t in one.trainings([1, 2])] == [t.number for t in later.trainings([1, 2])]
        assert one.trainings([1])[0].number != one.trainings([2])[0].number


def evaluation(index: int, score: float = 0.5) -> Evaluation:
    return Evaluation(index, 2, 10 * index, 20, 80 * index, {"sst/accuracy": score}, {}, float(index), compute=100.0 * index)


class Heard(Observer):
    def __init__(self) -> None:
        self.ended: list[tuple[int, str]] = []

    def trial_finished(self, record: TrialRecord) -> None:
        self.ended.append((record.number, record.state))


class Session:
    """One session of a confirmation of trial 5, trial 1 and the default on two seeds."""

    def __init__(self, folder: Path, spending: Spending | None = None) -> None:
        self.folder = folder
        self.trainings = in_order(choose(TestChoice.records, DEFAULT, 2), [11, 12])
        self.kept = ConfirmationRecords(folder)
        self.trials = FinalistTrials(self.trainings, self.kept, Objective("sst/accuracy"), NONE)
        self.models, self.checkpoints = Models(folder / "models"), Checkpoints(folder / "checkpoints", 1)
        self.heard, self.interruption = Heard(), Interruption()
        self.bridge = Bridge(
            self.trials,
            self.heard,
            self.models,
            self.checkpoints,
            lambda: 2,
            self.interruption,
            self.trials.begun,
            spending or Spending(),
        )
        self._n = 0

    def ask(self, name: str) -> tuple[str, dict[str, Any]]:
        asked = self.bridge.ask(name)
        assert isinstance(asked, dict), asked
        self.bridge.on_start(asked["number"])
        return str(self.trials.by_number[asked["number"]]), asked

    def report(self, number: int, index: int, score: float = 0.5, *, save: bool = False) -> bool:
        told = evaluation(index, score)
        ends = self.bridge.on_evaluation(number, told)
        if told.is_last or save:
            self._n += 1
            text = f"{number}-{index}"
            self.bridge.on_checkpoint(number, told, _Saved(made(self.folder / f"saved-{self._n}-{text}", text).path))
        return ends

    def train(self, name: str, score: float = 0.5) -> str:
        told, asked = self.ask(name)
        self.report(asked["number"], 1, score)
        self.report(asked["number"], 2, score)
        self.bridge.on_end(name)
        return told

    def states(self) -> dict[str, str]:
        return {str(self.trials.by_number[record.number]): record.state for record in self.trials.records()}


class TestTrainings:
    def test_killed_in_the_middle_it_goes_on_with_what_is_missing(self, tmp_path: Path) -> None:
        first = Session(tmp_path)
        assert first.train("a") == "trial 5 seed 11"
        told, asked = first.ask("b")
        first.report(asked["number"], 1, 0.3, save=True)
        # kill -9

        second = Session(tmp_path)
        assert second.states() == {"trial 5 seed 11": "COMPLETE", "default seed 11": "RUNNING"}
        again, went_on = second.ask("c")
        assert (again, went_on["number"]) == (told, asked["number"])
        assert went_on["checkpoint"] == str(tmp_path / "checkpoints" / f"trial_{asked['number']}_evaluation_1_ranks_1")
        second.report(went_on["number"], 2, 0.4)
        second.bridge.on_end("c")
        assert [look["score"] for look in second.trials.record(asked["number"]).evaluations] == [0.3, 0.4]
        assert [second.train(name) for name in "defg"] == [
            "trial 5 seed 12", "default seed 12", "trial 1 seed 11", "trial 1 seed 12",
        ]  # fmt: skip
        assert second.bridge.ask("h") == FINISHED
        assert len(second.heard.ended) == 5, "what was done is not told again"
        assert all(second.models.has(training.number) for training in second.trainings), "dev needs them all"

        third = Session(tmp_path)
        assert third.trials.n_missing == 0
        assert third.bridge.ask("i") == FINISHED

    def test_one_whose_model_was_stored_is_complete_without_training(self, tmp_path: Path) -> None:
        first = Session(tmp_path)
        _, asked = first.ask("a")
        first.report(asked["number"], 1)
        first.report(asked["number"], 2)
        second = Session(tmp_path)
        assert second.ask("a")[0] == "default seed 11"
        assert second.states()["trial 5 seed 11"] == "COMPLETE"

    def test_a_finalist_that_fails_is_out_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        session = Session(tmp_path)
        _, asked = session.ask("a")
        assert session.bridge.on_evaluation(asked["number"], Failure("sst/loss became nan at step 3", 3))
        session.bridge.on_end("a")
        assert [session.train(name) for name in "bcde"] == [
            "default seed 11", "default seed 12", "trial 1 seed 11", "trial 1 seed 12",
        ]  # fmt: skip
        assert session.bridge.ask("f") == FINISHED
        assert session.states()["trial 5 seed 11"] == "FAIL"
        assert Session(tmp_path).ask("a")[0] == "trial 5 seed 11", "the next session tries it once more"

    def test_a_score_that_is_no_number_is_a_failure(self, tmp_path: Path) -> None:
        session = Session(tmp_path)
        _, asked = session.ask("a")
        assert session.report(asked["number"], 1, math.nan)
        assert session.trials.record(asked["number"]).reason == "its score became nan at step 10"

    def test_a_budget_cuts_it_and_the_next_session_begins_it_anew(self, tmp_path: Path) -> None:
        clock = Clock()
        session = Session(tmp_path, Spending(Budget(time_s=60.0), meter=Meter(clock=clock)))
        told, asked = session.ask("a")
        clock.now += 61
        assert session.report(asked["number"], 1)
        assert session.states() == {told: "PRUNED"}
        assert session.bridge.ask("b") == FINISHED
        assert Session(tmp_path).trials.records() == []

    @pytest.mark.parametrize("content", ["", "[1]", '{"number": 3}', "\0"])
    def test_a_file_that_is_no_more_what_was_written_is_trained_again(self, tmp_path: Path, content: str) -> None:
        first = Session(tmp_path)
        first.train("a")
        (tmp_path / f"{first.trainings[0].number}.json").write_text(content)
        assert Session(tmp_path).ask("a")[0] == "trial 5 seed 11"

    def test_dev_is_kept_whole(self, tmp_path: Path) -> None:
        kept, dev = ConfirmationRecords(tmp_path), Dev({"sst": np.array([0.0, 3.0])}, {"sst": np.array([0.0, 2.0])})
        assert kept.dev(7) is None
        kept.put_dev(7, dev)
        found = kept.dev(7)
        assert found is not None
        assert found.metrics == dev.metrics
        assert found.metrics["sst/accuracy"] == 0.5
        (tmp_path / "7.dev.json").write_text('{"predictions": {"sst": [0.0')
        assert kept.dev(7) is None

    def test_its_progress_is_told_while_it_is_under_way(self, tmp_path: Path) -> None:
        session = Session(tmp_path)
        assert session.kept.progress() is None
        session.kept.begin([training.number for training in session.trainings])
        session.train("a")
        assert session.kept.progress() == (1, 6)
        session.kept.end()
        assert session.kept.progress() is None


def order(*finalists: FinalistResult, requirements: Requirements = NONE) -> list[str]:
    return [one.finalist.name for one, _ in ranked(finalists, requirements)]


class TestRanking:
    def test_the_bound_decides_and_not_the_search_score(self) -> None:
        assert order(tried("1", [0.70, 0.71], search=0.80), tried("2", [0.72, 0.73], search=0.75)) == ["trial 2", "trial 1"]

    def test_fewer_seeds_are_less_sure(self) -> None:
        assert order(tried("1", [0.715]), tried("2", [0.70, 0.72])) == ["trial 2", "trial 1"]

    def test_of_equals_the_cheaper_then_the_default_then_the_earlier(self) -> None:
        same = [0.7, 0.8]
        assert order(tried("1", same, compute=300.0), tried("2", [0.8, 0.7], compute=100.0)) == ["trial 2", "trial 1"]
        assert order(tried("3", same), tried("1", same), tried("default", same)) == ["default", "trial 1", "trial 3"]
        assert order(tried("1", [0.1 + 0.2] * 2, compute=2.0), tried("2", [0.3] * 2, compute=1.0)) == ["trial 2", "trial 1"]

    def test_one_seed_is_ranked_by_its_score(self) -> None:
        found = ranked([tried("1", [0.7]), tried("2", [0.8])], NONE)
        assert [(one.finalist.name, bound) for one, bound in found] == [("trial 2", None), ("trial 1", None)]

    def test_one_that_failed_on_a_seed_is_not_ranked(self) -> None:
        assert order(tried("1", [0.9, None]), tried("2", [0.6, 0.6])) == ["trial 2"]

    def test_a_mean_that_misses_the_requirements_comes_after_one_that_meets_them(self) -> None:
        required = Requirements.parse(["sst/accuracy<=0.75"])
        high, low = tried("1", [0.9, 0.9]), tried("2", [0.7, 0.7])
        assert order(high, low, requirements=required) == ["trial 2", "trial 1"]


class TestOutcome:
    def test_the_champion_is_the_best_seed_of_the_first_and_its_numbers_are_that_models(self) -> None:
        found = come_to(tried("1", [0.70, 0.74], search=0.8), tried("default", [0.60, 0.62]))
        assert found.champion is not None
        assert found.champion["score"] == 0.74
        assert found.champion["config"]["seed"] == found.champion["confirmed"]["seed"] == 12
        assert found.champion["number"] == 1
        confirmed = found.champion["confirmed"]
        assert (confirmed["mean"], confirmed["optimism"]) == pytest.approx((0.72, 0.08))
        assert confirmed["sd"] == pytest.approx(math.sqrt(2) * 0.02)
        assert found.model == found.champion["confirmed"]["training"]
        assert [one["rank"] for one in found.confirmation["finalists"]] == [1, 2]

    def test_a_champion_that_beats_the_default_on_dev(self) -> None:
        found = come_to(tried("1", [0.7, 0.7], right=0.9), tried("default", [0.6, 0.6], right=0.5)).confirmation
        assert found["beats_default"] == YES
        assert [one["against"] for one in found["comparisons"]] == ["runner-up", "default"], "which are the same finalist"
        assert "the champion beats the untuned default on dev" in sentences(found)

    def test_one_that_does_not_says_so(self) -> None:
        found = come_to(tried("1", [0.7, 0.7], right=0.5), tried("default", [0.6, 0.6], right=0.5)).confirmation
        assert found["beats_default"] == UNDECIDED
        assert "THE CHAMPION DOES NOT BEAT THE UNTUNED DEFAULT beyond chance on dev" in sentences(found)
        worse = come_to(tried("1", [0.7, 0.7], right=0.2), tried("default", [0.6, 0.6], right=0.9)).confirmation
        assert worse["beats_default"] == NO

    def test_a_default_that_wins_is_the_champion(self) -> None:
        found = come_to(tried("1", [0.6, 0.6]), tried("default", [0.7, 0.7]))
        assert found.champion is not None
        assert found.champion["number"] is None, "no trial had tried it"
        assert found.champion["confirmed"]["optimism"] is None
        assert found.confirmation["beats_default"] == NO
        assert [one["against"] for one in found.confirmation["comparisons"]] == ["runner-up"]
        assert "THE SEARCH DOES NOT BEAT THE UNTUNED DEFAULT, which is the champion" in sentences(found.confirmation)

    def test_without_a_default_nothing_is_said_of_it(self) -> None:
        found = come_to(tried("1", [0.6, 0.6]), tried("2", [0.7, 0.7]), tried("default", [0.9, None])).confirmation
        assert found["beats_default"] is None
        assert [one["name"] for one in found["finalists"]] == ["trial 2", "trial 1", "default"]
        assert found["finalists"][-1]["rank"] is None
        assert found["finalists"][-1]["trainings"][1]["reason"] == "sst/loss became nan"

    def test_where_all_fail_there_is_no_confirmed_champion(self) -> None:
        found = come_to(tried("1", [None]), tried("default", [None]))
        assert (found.champion, found.model, found.confirmation["beats_default"]) == (None, None, None)
        assert sentences(found.confirmation) == ["a note"]

    def test_a_requirement_is_met_where_the_mean_and_the_model_meet_it(self) -> None:
        required = Requirements.parse(["sst/accuracy>=0.72"])
        missed = come_to(tried("1", [0.70, 0.73], **{"sst_accuracy>=0.72": -0.01}), requirements=required).champion
        assert missed is not None
        assert not missed["feasible"], "the mean is 0.715"
        assert missed["requirements"]["sst/accuracy>=0.72"]["missed_by"] == pytest.approx(0.005)

    @pytest.mark.parametrize(("low", "high", "said"), [(0.01, 0.02, YES), (-0.02, -0.01, NO), (-0.01, 0.02, UNDECIDED)])
    def test_the_interval_decides(self, low: float, high: float, said: str) -> None:
        assert beats(Comparison(0.0, low, high, 0.5, 10), default_won=False) == said


class TestBudget:
    def test_what_so_many_trainings_cost(self) -> None:
        assert cost(5, 10.0, 2) == Used(30.0, 50.0)
        assert affordable(5, 10.0, 2, Used(20.0, math.inf)) == 4
        assert affordable(5, 10.0, 2, Used(math.inf, 30.0)) == 3
        assert affordable(5, 10.0, 2, Used(-1.0, math.inf)) == 0
        assert affordable(5, 0.0, 2, Used(math.inf, math.inf)) == 5

    def reserve(self, budget: Budget, clock: Clock, n: int = 4) -> Reserve:
        return Reserve(n, lambda: 2, budget, GangShape(1, 2, 1.0), clock)

    def test_is_so_often_the_longest_complete_trial(self) -> None:
        clock = Clock()
        reserve = self.reserve(Budget(time_s=1000.0), clock)
        assert reserve() == Used()
        reserve.trial_started(0, DEFAULT)
        clock.now += 20
        reserve.trial_finished(trial(0, 3e-5, 0.5))
        assert reserve() == Used(40.0, 80.0), "it held its gang for 20 s, of which it trained 8"
        reserve.trial_finished(trial(1, 3e-5, 0.5, state="PRUNED", seconds=90.0))
        reserve.trial_finished(trial(2, 3e-5, 0.5, seconds=90.0, same_as=0))
        assert reserve() == Used(40.0, 80.0), "what was pruned or repeated does not count"

    def test_is_half_of_the_budget_at_most(self) -> None:
        reserve = self.reserve(Budget(time_s=20.0, gpu_hours=0.005), Clock())
        reserve.trial_finished(trial(0, 3e-5, 0.5))
        assert reserve() == Used(10.0, 9.0)

    def test_the_search_ends_before_and_says_why(self) -> None:
        clock = Clock()
        budget = Budget(time_s=100.0, target=0.9)
        spending = Spending(budget, GangShape(1, 2), Meter(clock=clock), lambda: Used(30.0, 60.0))
        clock.now += 69
        assert spending.reached(0.5) is None
        clock.now += 1
        assert spending.reached(0.5) == (
            "the time budget of 1 min 40 s is used up, except 1 min of training reserved for the confirmation"
        )
        assert spending.left == Used(30.0, math.inf)
        clock.now += 30
        assert spending.reached(0.5) == "the time budget of 1 min 40 s is used up"

    def test_a_target_reserves_nothing(self) -> None:
        spending = Spending(Budget(target=0.9), reserve=lambda: Used(1e9, 1e9))
        assert spending.reached(0.8) is None
