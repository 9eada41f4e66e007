"""The simulator: worlds, the clock, decisions, and the comparison of policies."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.synthetic import Synthetic
from model.config import ConfigError, TrialConfig, parse
from model.training.evaluation import Evaluation
from tests.support.cases import slow_but
from tests.support.courses import OBJECTIVE, configs, scores, space
from tests.support.records import bare
from tests.support.samples import record as sample_record
from tuner.artifacts.models import LAST_WRITTEN
from tuner.commands.simulate import compare
from tuner.commands.simulate.clock import Charges, Course, Ended, Log, play
from tuner.commands.simulate.command import main, make, parser
from tuner.commands.simulate.distance import LEAST, distances, position, weights
from tuner.commands.simulate.replay import Replay, kept_part
from tuner.config.objective import Objective
from tuner.space import Space
from tuner.study import Study, Suggestion, Verdict

__all__ = ["space"]  # a fixture

N_SELECT = {"sst": 750, "quora": 1600, "sts": 600, "cfimdb": 150}
FREE = Charges(cold_s=0, warm_s=0, prune_s=0, save_s=0, load_s=0, report_s=0, ask_s=0)


def open_study(space: Space, seed: int, sampler: str = "tpe", pruner: str = "median", n_trials: int = 12) -> Study:
    return Study("memory:", "simulated", space, OBJECTIVE, sampler, pruner, seed, n_trials, 10)


# Records


def test_positions_are_in_units_of_the_ranges(space: Space) -> None:
    config = next(config for config in configs(space, 100) if config.smart.enabled and config.mixing.strategy == "ratios")
    here = position(space, config)
    assert here["optim.lr"] == pytest.approx(math.log(config.optim.lr / 2e-5) / math.log(3e-4 / 2e-5))
    assert here["optim.dropout"] == pytest.approx(config.optim.dropout / 0.3)
    assert here["mixture"] == "+".join(config.mixture)
    shares = [here[f"mixing.ratios[{task}]"] for task in config.mixture]
    assert np.mean(shares) == pytest.approx(0.5)
    assert "mixing.temperature" not in here


def recorded(space: Space, ends: list[tuple[str, int, float]]) -> list[dict[str, Any]]:
    """Trials with a state, a number of evaluations and a last score; curves are straight."""
    trials = []
    for number, (state, n, last) in enumerate(ends):
        evaluations = [
            {"score": last * i / n, "seconds": 2.0 * i, "compute": 70.0 * i, "step": i, "metrics": {}} for i in range(1, n + 1)
        ]
        config = configs(space, len(ends))[number].to_dict()
        trials.append(sample_record(number, state, None, evaluations=evaluations, config=config).to_dict())
    return trials


def run_of(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """What a replay reads of the results.json with these trials."""
    rows = {task: {"select": n} for task, n in N_SELECT.items()}
    return bare(trials=trials, data={"source": "demo", "sha256": "ab12", "rows": rows})


def test_a_recorded_configuration_takes_its_recorded_course(space: Space) -> None:
    trials = recorded(space, [("COMPLETE", 10, 0.5), ("COMPLETE", 10, 0.7), ("PRUNED", 3, 0.2)])
    world = Replay.of([run_of(trials)], space, OBJECTIVE)
    for trial in trials[:2]:
        course = world.course(parse(trial["config"]))
        assert scores(course) == pytest.approx([e["score"] for e in trial["evaluations"]])
        assert [e.seconds for e in course.evaluations] == pytest.approx([e["seconds"] for e in trial["evaluations"]])
        assert [e.compute for e in course.evaluations] == pytest.approx([e["compute"] for e in trial["evaluations"]])
    assert world.best == pytest.approx(0.7)


def test_a_pruned_trial_goes_on_as_the_complete_ones_did(space: Space) -> None:
    """It gains 0.06 an evaluation, as they do on average, and loses at the last one what was noise of few examples."""
    trials = recorded(space, [("COMPLETE", 10, 0.5), ("COMPLETE", 10, 0.7), ("PRUNED", 3, 0.2)])
    config = parse(trials[2]["config"])
    course = Replay.of([run_of(trials)], space, OBJECTIVE).course(config)
    assert scores(course)[2:9] == pytest.approx([0.2 + 0.06 * i for i in range(7)])
    at_3 = [0.15, 0.21, 0.2]
    share = kept_part((float(np.mean(at_3)), float(np.var(at_3))), config, OBJECTIVE, N_SELECT)
    assert 0.3 < share < 0.6
    assert scores(course)[-1] == pytest.approx(0.2 + 0.06 * 7 - (1 - share) * (0.2 - np.mean(at_3)))
    assert course.evaluations[-1].seconds == pytest.approx(20.0)


def test_on_all_of_select_a_pruned_trial_keeps_its_whole_difference(space: Space) -> None:
    whole = space.fix({"budget.early_eval_examples": None})
    trials = recorded(whole, [("COMPLETE", 10, 0.5), ("COMPLETE", 10, 0.7), ("PRUNED", 3, 0.2)])
    course = Replay.of([run_of(trials)], whole, OBJECTIVE).course(parse(trials[2]["config"]))
    assert scores(course)[-1] == pytest.approx(0.2 + 0.06 * 7)


def test_an_early_difference_is_kept_as_far_as_it_is_not_noise(space: Space) -> None:
    (config,) = configs(space, 1)
    early, last = 3 / 64, 1 / 750 + 1 / 1600 + 1 / 600  # of three tasks, 1 / examples
    noise = 0.5 * 0.16 * early / 9 * (1 - last / early)
    assert kept_part((0.8, 0.01), config, OBJECTIVE, N_SELECT) == pytest.approx(1 - noise / 0.01)
    assert kept_part((0.8, noise / 2), config, OBJECTIVE, N_SELECT) == 0.0
    assert kept_part((0.8, 0.0), config, OBJECTIVE, N_SELECT) == 0.0


def test_the_noise_of_any_task_is_that_of_its_recorded_examples() -> None:
    config = parse({"mixture": ["sst"], "budget": {"examples": 100, "early_eval_examples": 64}})
    few, many = (kept_part((0.8, 0.01), config, Objective("sst/accuracy"), {"sst": n}) for n in (65, 10**6))
    assert many == pytest.approx(1 - 0.5 * 0.16 / 64 / 0.01, rel=1e-3)
    assert few == pytest.approx(1 - 0.5 * 0.16 * (1 / 64 - 1 / 65) / 0.01)


def test_an_unrecorded_configuration_lies_between_its_neighbours(space: Space) -> None:
    ends = [("COMPLETE", 10, 0.1 * number) for number in range(1, 8)]
    world = Replay.of([run_of(recorded(space, ends))], space, OBJECTIVE)
    for config in configs(space, 20, seed=9):
        assert 0.1 < scores(world.course(config))[-1] < 0.7
    error, blind = world.leave_one_out()
    assert 0 < error < 1
    assert blind == pytest.approx(np.mean([abs(s - (2.8 - s) / 6) for s in np.arange(1, 8) / 10]))


def test_a_recorded_failure_spreads_to_its_neighbourhood(space: Space) -> None:
    trials = recorded(space, [("COMPLETE", 10, 0.5), ("FAIL", 4, 0.3)])
    world = Replay.of([run_of(trials)], space, OBJECTIVE)
    failing = scores(world.course(parse(trials[1]["config"])))
    assert failing[:4] == pytest.approx([0.075, 0.15, 0.225, 0.3])
    assert all(math.isnan(score) for score in failing[4:])


def test_a_record_without_a_whole_curve_is_refused(space: Space) -> None:
    with pytest.raises(ConfigError, match="no COMPLETE trial"):
        Replay.of([run_of(recorded(space, [("PRUNED", 3, 0.2)]))], space, OBJECTIVE)


def test_distances() -> None:
    others = [{"a": 0.2, "b": "x"}, {"a": 1.2, "b": "y"}, {"a": 0.2}, {"a": 0.7, "b": "x"}]
    found = distances({"a": 0.2, "b": "x"}, others, {"a": 0.8, "b": 0.2})
    assert found == pytest.approx([0, 1, math.sqrt(0.2), math.sqrt(0.8 * 0.5**2)])


def test_a_coordinate_weighs_as_much_as_the_ends_depend_on_it() -> None:
    rng = np.random.default_rng(0)
    here = [{"a": float(rng.random()), "b": float(rng.random()), "c": "xy"[rng.integers(2)]} for _ in range(60)]
    ends = np.array([(one["a"] - 0.3) ** 2 for one in here])  # type: ignore[operator]
    found = weights(here, ends)
    assert sum(found.values()) == pytest.approx(1)
    assert found["a"] > 0.85
    failing = weights(here, np.where([one["c"] == "x" for one in here], np.nan, 1.0))
    assert failing["c"] > 0.8, "what decides over failures counts too"


def test_of_a_tiny_record_or_of_noise_no_coordinate_weighs_more_than_another() -> None:
    here = [{"a": i / LEAST, "b": 0.5} for i in range(LEAST)]
    assert weights(here[:-1], np.arange(LEAST - 1.0)) == {"a": 0.5, "b": 0.5}
    assert weights(here, np.ones(LEAST)) == {"a": 0.5, "b": 0.5}
    assert weights(here, np.arange(float(LEAST)))["a"] > 0.6


def test_weights_predict_a_trial_left_out_better(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    world, trials = Synthetic(space, OBJECTIVE, 0, 1e10), []
    for number, config in enumerate(configs(space, 60)):
        found = scores(world.course(config))
        n = int(np.isfinite(found).sum())
        evaluations = [{"score": score, "seconds": 1.0, "metrics": {}} for score in found[:n]]
        state = "COMPLETE" if n == 10 else "FAIL"
        trials.append(sample_record(number, state, None, evaluations=evaluations, config=config.to_dict()).to_dict())
    error, blind = Replay.of([run_of(trials)], space, OBJECTIVE).leave_one_out()
    monkeypatch.setattr("tuner.commands.simulate.distance.LEAST", 999)
    unweighted, _ = Replay.of([run_of(trials)], space, OBJECTIVE).leave_one_out()
    assert error < 0.8 * blind
    assert error < 0.8 * unweighted


# The clock


@dataclass
class Straight:
    """A world in which trial number n scores n at each of its two evaluations, 10 s apart, or what `odd` says."""

    odd: dict[int, float]
    objective = Objective("sst/accuracy")
    best = 9.0

    def course(self, config: TrialConfig) -> Course:
        value = self.odd.get(config.seed, float(config.seed))
        made = tuple(Evaluation(i, 2, i, 2, i, {"sst/accuracy": value}, {}, 10.0 * i) for i in (1, 2))
        return Course(made, value)


class Script:
    """Asks for trials 0, 1, … and prunes those named; writes down what it hears."""

    def __init__(self, n_trials: int, pruned: set[int] = frozenset()) -> None:  # type: ignore[assignment]
        self.left, self.pruned = list(range(n_trials)), pruned
        self.heard: list[tuple[int, int]] = []

    def ask(self) -> Suggestion | None:
        return Suggestion(number := self.left.pop(0), TrialConfig(seed=number)) if self.left else None

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        self.heard.append((number, evaluation.index))
        if math.isnan(evaluation.metrics["sst/accuracy"]):
            return Verdict.STOP
        return Verdict.PRUNE if number in self.pruned else Verdict.CONTINUE

    def release(self, number: int) -> None:
        """It pauses nothing."""

    def complete(self, number: int) -> None:
        self.heard.append((number, 0))


def test_two_slots_share_the_trials_and_reports_come_in_order_of_time() -> None:
    script = Script(3)
    log = play(script, Straight({}), 2, FREE)
    assert script.heard == [(0, 1), (1, 1), (0, 2), (0, 0), (1, 2), (1, 0), (2, 1), (2, 2), (2, 0)]
    assert [(trial.at_s, trial.score) for trial in log.ended] == [(20, 0), (20, 1), (40, 2)]
    assert (log.busy_s, log.end_s) == (60, 40)


def test_every_charge_is_on_the_bill() -> None:
    charges = Charges(cold_s=100, warm_s=5, prune_s=3, report_s=1, ask_s=2, ask_growth_s=0.5)
    log = play(Script(3, pruned={0}), Straight({1: math.nan}), 1, charges)
    first = 2 + 100 + 10 + 1 + 3  # asked, cold, trained, reported, pruned
    second = 2.5 + 5 + 10 + 1 + 3  # asked of a larger study, warm; then failed, and its processes are gone
    third = 3 + 100 + 10 + 1 + 10 + 1
    assert log.end_s == log.busy_s == first + second + third
    assert (len(log.ended), log.n_pruned, log.n_failed, log.n_cut) == (1, 1, 1, 0)


class Pausing(Script):
    """Pauses trial 0 at its first evaluation, and promotes it once trial 1 is complete."""

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        verdict = super().report(number, evaluation)
        return Verdict.PAUSE if (number, evaluation.index) == (0, 1) else verdict

    def release(self, number: int) -> None:
        self.heard.append((number, -1))

    def ask(self) -> Suggestion | None:
        if (1, 0) in self.heard and (0, -1) in self.heard and (0, 2) not in self.heard:
            return Suggestion(0, TrialConfig(seed=0))
        return super().ask()


def test_a_paused_trial_frees_its_slot_and_a_promoted_one_pays_for_its_checkpoint() -> None:
    charges = Charges(cold_s=100, warm_s=5, prune_s=3, save_s=7, load_s=11, report_s=1, ask_s=2)
    script = Pausing(2)
    log = play(script, Straight({}), 1, charges)
    assert script.heard == [(0, 1), (0, -1), (1, 1), (1, 2), (1, 0), (0, 2), (0, 0)]
    first = 2 + 100 + 10 + 1 + 3 + 7  # asked, cold, trained, reported, freed, saved
    second = 2 + 5 + 10 + 1 + 10 + 1
    promoted = 2 + 5 + 11 + 10 + 1  # asked, warm, loaded, the other evaluation alone
    assert log.end_s == log.busy_s == first + second + promoted
    assert (len(log.ended), log.n_promoted, log.n_pruned) == (2, 1, 0)


def test_an_idle_slot_hears_of_a_promotion_and_what_is_never_promoted_is_pruned() -> None:
    log = play(Pausing(2), Straight({}), 2, FREE)
    assert [(trial.at_s, trial.score) for trial in log.ended] == [(20, 1), (30, 0)]
    log = play(Pausing(1), Straight({}), 2, FREE)
    assert (len(log.ended), log.n_promoted, log.n_pruned) == (0, 0, 1)


def test_the_driver_serves_one_after_another() -> None:
    log = play(Script(3), Straight({}), 3, replace(FREE, ask_s=4))
    assert [trial.at_s for trial in log.ended] == [24, 28, 32]


def test_when_time_is_up_running_trials_are_charged_and_discarded() -> None:
    log = play(Script(9), Straight({}), 2, FREE, until_s=50)
    assert (len(log.ended), log.n_cut, log.busy_s, log.end_s) == (4, 2, 100, 50)


# The same decisions as a search


class ThroughBridge:
    """The bridge of a real search as `Decisions`; what Tune does between its calls is done here."""

    def __init__(self, study: Study, folder: Path, n_slots: int) -> None:
        from tuner.artifacts.checkpoints import Checkpoints
        from tuner.artifacts.models import Models
        from tuner.execution.bridge import Bridge
        from tuner.execution.interruption import Interruption
        from tuner.tracking.events import Observer

        self.study = study
        kept = Models(folder / "models"), Checkpoints(folder / "checkpoints", 1)
        self.bridge = Bridge(study, Observer(), *kept, lambda: n_slots, Interruption())
        self.ids: dict[int, str] = {}
        self.n_started = 0

    def ask(self) -> Suggestion | None:
        self.n_started += 1
        config = self.bridge.ask(f"t{self.n_started}")
        assert config is not None or self.study.waits, "a slot asks only when it is free"
        if config is None or isinstance(config, str):
            return None
        self.ids[config["number"]] = f"t{self.n_started}"
        self.bridge.on_start(config["number"])
        return Suggestion(config["number"], parse(config["config"]))

    def report(self, number: int, evaluation: Evaluation) -> Verdict:
        stops = self.bridge.on_evaluation(number, evaluation)
        if evaluation.is_last:
            self.bridge.on_checkpoint(number, evaluation, Trained())
        state = self.study.record(number).state
        if not stops or state == "RUNNING":
            return Verdict.CONTINUE
        if state == "PAUSED":
            assert self.bridge.wants_checkpoint(number)
            return Verdict.PAUSE
        self.bridge.on_end(self.ids[number])
        return Verdict.PRUNE if state == "PRUNED" else Verdict.STOP

    def release(self, number: int) -> None:
        self.bridge.on_end(self.ids[number])

    def complete(self, number: int) -> None:
        self.bridge.on_end(self.ids[number])


class Trained:
    """A checkpoint of Tune's, as far as `Models.keep` looks at it."""

    def to_directory(self, folder: str) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / LAST_WRITTEN).touch()


@pytest.mark.parametrize("n_slots", slow_but([1, 4], 4))
@pytest.mark.parametrize("pruner", slow_but(["median", "asha", "asha-promote"], "median"))
def test_the_study_decides_as_it_does_behind_the_bridge(space: Space, tmp_path: Path, pruner: str, n_slots: int) -> None:
    world = Synthetic(space, OBJECTIVE, 0, 1e10)
    plain, real = (open_study(space, 5, pruner=pruner, n_trials=24) for _ in range(2))
    log = play(plain, world, n_slots, Charges())
    bridged = play(ThroughBridge(real, tmp_path, n_slots), world, n_slots, Charges())
    assert [record.to_dict() for record in plain.records()] == [record.to_dict() for record in real.records()]
    assert log == bridged
    assert log.n_pruned > 3


@pytest.mark.parametrize("pruner", ["median", "asha-promote"])
@pytest.mark.slow
def test_states_in_the_log_are_those_in_the_study(space: Space, pruner: str) -> None:
    study = open_study(space, 1, pruner=pruner, n_trials=30)
    log = play(study, Synthetic(space, OBJECTIVE, 7, 1e10), 4, Charges())
    states = [record.state for record in study.records()]
    assert [states.count(state) for state in ("COMPLETE", "PRUNED", "FAIL")] == [len(log.ended), log.n_pruned, log.n_failed]
    assert study.best is not None
    assert max(trial.score for trial in log.ended) == study.best.score


# What is said of policies

LOG = Log(ended=[Ended(10, 0.5, 0.4), Ended(20, 0.4, 0.9), Ended(30, 0.8, 0.7), Ended(50, 0.9, 0.6)])


def test_regret_is_that_of_the_trial_with_the_best_reported_score() -> None:
    assert [compare.regret_at(LOG, 1.0, time) for time in (0, 10, 29, 30, 99)] == pytest.approx([0.6, 0.6, 0.6, 0.3, 0.4])
    assert compare.anytime_regret(LOG, 1.0, 100) == pytest.approx((0.6 * 30 + 0.3 * 20 + 0.4 * 50) / 100)
    assert compare.anytime_regret(LOG, 1.0, 40) == pytest.approx((0.6 * 30 + 0.3 * 10) / 40)
    assert compare.time_to(LOG, 0.7) == 30
    assert compare.time_to(LOG, 0.9) == math.inf
    assert math.isnan(compare.regret_at(Log(), 1.0, 5))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 9))
def test_an_interval_holds_its_mean_and_is_repeatable(values: list[float], seed: int) -> None:
    found = compare.interval(values, seed)
    assert min(values) - 1e-12 <= found.low <= found.mean + 1e-12
    assert found.mean <= found.high + 1e-12 <= max(values) + 1e-9
    assert found == compare.interval(values, seed)


def test_the_interval_of_the_mean_is_that_of_scipy() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).normal(size=40)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    ours = compare.interval(values.tolist(), 0)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


# The command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(scope="module")
def record(space: Space, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three trials."""
    from tuner.config import options as search_options
    from tuner.results import results_json

    folder = tmp_path_factory.mktemp("record")
    trials = recorded(space, [("COMPLETE", 10, 0.5), ("COMPLETE", 10, 0.7), ("PRUNED", 3, 0.2)])
    search_options.save(search_options.Options(profile="laptop"), folder)
    results_json.write(folder / results_json.FILE_NAME, run_of(trials))
    return folder


@pytest.mark.slow
def test_the_same_seed_prints_the_same(capsys: pytest.CaptureFixture[str], record: Path) -> None:
    policies = ("--policy", "random+median", "--policy", "tpe+none")
    command = ("--record", str(record), "--trials", "6", "--repetitions", "2", *policies, "--json")
    first, again = run(capsys, *command), run(capsys, *command)
    assert first == again
    found = json.loads(first[1])
    assert [policy["name"] for policy in found["policies"]] == ["random+median", "tpe+none"]
    hours = [policy["hours"] for policy in found["policies"]]
    assert hours[0] == hours[1], "all have the same time"
    assert run(capsys, *command, "--seed", "1")[1] != first[1]


def test_a_record_is_replayed_from_its_folder(capsys: pytest.CaptureFixture[str], record: Path) -> None:
    status, out, _ = run(capsys, "--record", str(record), "--trials", "5", "--repetitions", "1", "--policy", "tpe+none")
    assert status == 0
    assert "3 recorded trials" in " ".join(out.split())
    assert "tpe+none" in out
    assert max(len(line) for line in out.splitlines()) <= 80


@pytest.mark.parametrize(("arguments", "told"), [
    (("--slots", "0"), "give --record RUN"),
    (("--slots", "0"), "--slots 0: give 1 or more"),
    (("--hours", "0"), "--hours 0: give a number above 0"),
    (("--policy", "tpe"), "--policy tpe is not SAMPLER\\+PRUNER"),
    (("--policy", "tpee+asha"), r"unknown sampler tpee \(did you mean tpe\?\)"),
    (("--record", "/no/such/run"), "does not exist"),
    (("--record", "RECORD", "--metric", "sst/f2"), "unknown metric sst/f2"),
])  # fmt: skip
def test_problems_are_reported(arguments: tuple[str, ...], told: str, record: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        make(parser().parse_args([str(record) if argument == "RECORD" else argument for argument in arguments]))


def test_wrong_usage_ends_with_2_and_all_sentences() -> None:
    command = [sys.executable, "-m", "tuner", "simulate", "--slots", "0", "--repetitions", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 3


def test_every_option_is_explained() -> None:
    assert [action.dest for action in parser()._actions if not (action.help or "").strip()] == []
