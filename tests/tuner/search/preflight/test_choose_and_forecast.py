"""The preflight: its choices and its arithmetic."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.shape import GangShape
from model.config import TrialConfig, parse
from tests.support import tiny
from tests.support.estimate_summary import SUMMARY
from tuner.config.options import Options
from tuner.search import plan as plans
from tuner.search.preflight import estimate, probe, stage
from tuner.search.preflight.forecast import (
    Crowd,
    Measured,
    Range,
    Timed,
    about,
    describe,
    evaluation_s,
    forecast,
    in_range,
    interpolate,
    makespan,
    outcome,
    trial_s,
)


def config(**settings: Any) -> TrialConfig:
    base = {"mixture": ["sst", "sts"], "optim": {"batch_size": 10}, "budget": {"epochs": 2, "evaluations": 4}}
    return parse({**base, **settings})


PLAIN = {"enabled": False}


def test_the_work_of_an_update_is_tokens_times_the_cost_of_a_step() -> None:
    tokens = 10 * ((2 + 1.3 * 10) + (2 + 1.3 * 20))
    assert estimate.work(config(smart=PLAIN), SUMMARY) == pytest.approx(tokens)
    assert estimate.work(config(smart={"steps": 1, "mu": 1.0}), SUMMARY) == pytest.approx(3 * tokens)
    assert estimate.work(config(smart=PLAIN, mode="pretrain"), SUMMARY) == pytest.approx(tokens / 3)


def test_the_largest_configuration_is_that_of_most_activations() -> None:
    small, wide = config(smart=PLAIN), config(smart=PLAIN, optim={"batch_size": 20})
    smart, teacher = (config(optim={"batch_size": 20}, smart={"mu": mu}) for mu in (0.0, 1.0))
    accumulated = config(optim={"batch_size": 20, "accumulation": 4})
    assert estimate.largest([small, wide, smart, accumulated], 1) is smart
    assert estimate.largest([teacher, smart], 1) is teacher
    assert estimate.memory(smart, 1) == 2 * estimate.memory(wide, 1) == 4 * estimate.memory(small, 1)
    assert estimate.memory(smart, 2) == estimate.memory(smart, 1) / 2


def test_median_dearest_and_cheapest_of_each_encoding_are_measured_medians_first() -> None:
    sizes = (10, 20, 30, 40, 50)
    samples = [config(optim={"batch_size": n}, pair_encoding=e) for n in sizes for e in ("cosine", "cross")]
    random.Random(0).shuffle(samples)
    found = [(one.pair_encoding, one.optim.batch_size) for one in estimate.along_the_cost(samples, SUMMARY)]
    assert found == [("cosine", 30), ("cross", 30), ("cosine", 50), ("cross", 50), ("cosine", 10), ("cross", 10)]
    assert estimate.along_the_cost([samples[0]] * 4, SUMMARY) == [samples[0]]


def test_seconds_along_the_work() -> None:
    assert interpolate([10.0, 20.0], [1.0, 3.0], 15.0) == 2.0
    assert interpolate([10.0, 20.0], [1.0, 3.0], 5.0) == 0.5
    assert interpolate([10.0, 20.0], [1.0, 3.0], 40.0) == 6.0
    assert interpolate([10.0], [1.0], 30.0) == 3.0


def measured(*timed: Timed, start_s: float = 10.0, crowd: Crowd | None = None) -> Measured:
    return Measured(timed, left_out=0, start_s=start_s, note=None, took_s=5.0, crowd=crowd)


def test_a_trial_is_its_beginning_its_updates_and_its_evaluations() -> None:
    one = config(smart=PLAIN)
    found = trial_s(one, SUMMARY, measured(Timed(one.to_dict(), 2.0, 0.5, 0.01, 7.0)))
    assert found == pytest.approx(2.0 + 60 * 0.5 + 4 * 40 * 0.01), "without SMART there is no health to measure"
    smart = config()
    found = trial_s(smart, SUMMARY, measured(Timed(smart.to_dict(), 2.0, 0.5, 0.01, 7.0)))
    assert found == pytest.approx(2.0 + 60 * 0.5 + 4 * 40 * 0.01 + 4 * 7.0)
    of_it = evaluation_s(smart, SUMMARY, measured(Timed(smart.to_dict(), 2.0, 0.5, 0.01, 7.0)))
    assert of_it == pytest.approx(4 * 40 * 0.01 + 4 * 7.0)


def test_trials_at_once_slow_each_other_but_not_their_beginning() -> None:
    one = config()
    crowd = Crowd(at_once=4, slowdown=3.0)
    alone, beside = (measured(Timed(one.to_dict(), 2.0, 0.5, 0.01, 7.0), crowd=c) for c in (None, crowd))
    assert trial_s(one, SUMMARY, beside) - 2.0 == pytest.approx(3.0 * (trial_s(one, SUMMARY, alone) - 2.0))
    assert evaluation_s(one, SUMMARY, beside) == pytest.approx(3.0 * evaluation_s(one, SUMMARY, alone))


def test_the_slowdown_is_the_mean_over_gangs_and_never_a_gain() -> None:
    assert probe.slowdown(2.0, [5.0, 7.0]) == 3.0
    assert probe.slowdown(2.0, [1.9, 1.9]) == 1.0


def test_what_trials_at_once_do_to_each_other_is_said_where_it_is_known() -> None:
    one = config()
    work: Any = SimpleNamespace(samples=[one], summary=SUMMARY)
    foreseen = forecast([100.0], 10, 2, GangShape(), 0.0)
    for crowd in (None, Crowd(at_once=4, slowdown=2.806)):
        line = stage.lines_of(work, measured(Timed(one.to_dict(), 2.0, 0.5, 0.01, 7.0), crowd=crowd), foreseen)[0]
        assert line.endswith("; 4 trials at once take 2.81 times as long as one alone" if crowd else "of it evaluation")


def test_an_encoding_is_told_from_its_own_measurements() -> None:
    cosine, cross = (config(smart=PLAIN, pair_encoding=e) for e in ("cosine", "cross"))
    both = measured(Timed(cosine.to_dict(), 0.0, 1.0, 0.0, 0.0), Timed(cross.to_dict(), 0.0, 2.0, 0.0, 0.0))
    assert trial_s(cosine, SUMMARY, both) == pytest.approx(60.0)
    assert trial_s(cross, SUMMARY, both) == pytest.approx(120.0)


def test_trials_take_the_slot_that_is_free_first() -> None:
    assert makespan([5.0, 1.0, 1.0, 1.0], 2, 10.0) == 15.0
    assert makespan([4.0, 4.0, 4.0], 2, 0.0) == 8.0
    assert makespan([3.0] * 6, 1, 2.0) == 20.0


def test_a_search_takes_its_full_trials_whatever_the_pruner_saves() -> None:
    found = forecast([100.0], 10, 2, GangShape(), 0.0)
    assert found.seconds == Range(500.0, 500.0, 500.0)
    assert found.gang_s == Range(1000.0, 1000.0, 1000.0)
    assert (found.gpu_hours, found.price) == (None, None)
    rest = forecast([100.0], 2.5, 1, GangShape(), 0.0)
    assert rest.gang_s.expected == pytest.approx(250.0), "of a resumed search what is left"
    spread = forecast([50.0, 150.0], 10, 2, GangShape(), 0.0).seconds
    assert spread.low < spread.expected < spread.high


def test_gpu_hours_and_price_are_of_what_gangs_hold() -> None:
    shape = GangShape(n_workers=2, gpus_per_worker=1.0)
    found = forecast([3600.0], 5, 1, shape, 0.0, price_per_gpu_hour=2.5)
    assert found.gpu_hours == Range(10.0, 10.0, 10.0)
    assert found.price == Range(25.0, 25.0, 25.0)
    assert describe(found) == ["ETA 5.0 h (5.0–5.0)", "GPU-hours 10 (10–10), cost 25.00 (25.00–25.00)"]


def test_controls_come_before_and_a_time_budget_cuts() -> None:
    assert forecast([100.0], 10, 2, GangShape(), 0.0, besides_s=60.0).seconds.expected == 530.0
    assert forecast([100.0], 10, 2, GangShape(), 0.0, limit_s=120.0).seconds == Range(120.0, 120.0, 120.0)


def test_times_in_words() -> None:
    assert [about(s) for s in (44.6, 89.4, 90.0, 597.0, 720.0, 5400.0, 36000.0)] == [
        "45 s",
        "89 s",
        "1.5 min",
        "10 min",
        "12 min",
        "1.5 h",
        "10.0 h",
    ]
    assert in_range(Range(720.0, 480.0, 900.0)) == "12 min (8.0–15)"
    assert in_range(Range(100.0, 60.0, 7200.0)) == "1.7 min (60 s–2.0 h)"
    foreseen = forecast([720.0], 1, 1, GangShape(), 0.0)
    assert outcome(foreseen, 780.0) == "ETA 12 min (12–12), took 13 min: +8 %"
    assert outcome(foreseen, 648.0) == "ETA 12 min (12–12), took 11 min: -10 %"


def test_what_was_measured_is_read_back_and_a_torn_file_is_none(tmp_path: Path) -> None:
    found = measured(Timed(config().to_dict(), 2.0, 0.5, 0.01, 7.0))
    path = tmp_path / "x.json"
    for whole in (found, replace(found, crowd=Crowd(4, 2.8))):
        path.write_text(json.dumps(asdict(whole)))
        assert stage.read(path) == whole
    for text in ("{", "{}", "[]", '{"timed": []}'):
        path.write_text(text)
        assert stage.read(path) is None
    assert stage.read(tmp_path / "none.json") is None


def test_a_price_needs_gpus(tmp_path: Path) -> None:
    from model.config import ConfigError

    given = {"profile": "laptop", "runs_dir": str(tmp_path)}
    with pytest.raises(ConfigError, match="the trials have no GPU"):
        plans.make(Options(**given, price_per_gpu_hour=2.0), has_gpu=False)
    with pytest.raises(ConfigError, match="price-per-gpu-hour -1: give 0 or more"):
        plans.make(Options(**given, price_per_gpu_hour=-1.0), has_gpu=False)


@pytest.mark.slow
def test_a_rehearsal_measures_a_real_trial(tiny_backbone: Path) -> None:
    from model.training.trial import Training

    training = Training(tiny.config(tiny_backbone, mixing={"strategy": "proportional"}), tiny.data())
    seen: list[tuple[str, int, int]] = []
    update = training.engine.update

    def watched(number: int, shares: Any, seeds: Any) -> Any:
        seen.extend((batch.task, len(batch.labels), batch.input_ids.shape[-1]) for share in shares for batch in share)
        return update(number, shares, seeds)

    training.engine.update = watched  # type: ignore[method-assign]
    try:
        training.heaviest_update()
        (heaviest,) = seen
        found = training.rehearse(3)
    finally:
        training.close()
    assert heaviest[0] in ("quora", "sts"), "pairs have two sides"
    assert heaviest[2] == max(length for task, _, length in seen if task == heaviest[0])
    assert len(seen) == 4
    assert min(found.update_s, found.example_s, found.health_s) > 0
