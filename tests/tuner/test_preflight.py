"""The preflight: its choices and its arithmetic, and one search whose first gang is measured."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.util.placement_group import placement_group_table

from cluster.shape import GangShape
from model.config import TrialConfig, parse
from tests.support import tiny
from tests.support.estimate_summary import SUMMARY
from tests.support.searches import write_space
from tests.support.training_hook import HOOK
from tuner import plan as plans
from tuner.options import Options
from tuner.preflight import choose, probe, stage
from tuner.preflight.forecast import (
    SAVED,
    Crowd,
    Measured,
    Range,
    Timed,
    about,
    along,
    describe,
    evaluation_s,
    forecast,
    in_range,
    makespan,
    outcome,
    trial_s,
)
from tuner.study import PRUNERS


def config(**settings: Any) -> TrialConfig:
    base = {"mixture": ["sst", "sts"], "optim": {"batch_size": 10}, "budget": {"epochs": 2, "evaluations": 4}}
    return parse({**base, **settings})


PLAIN = {"enabled": False}


def test_the_work_of_an_update_is_tokens_times_the_cost_of_a_step() -> None:
    tokens = 10 * ((2 + 1.3 * 10) + (2 + 1.3 * 20))
    assert choose.work(config(smart=PLAIN), SUMMARY) == pytest.approx(tokens)
    assert choose.work(config(smart={"steps": 1, "mu": 1.0}), SUMMARY) == pytest.approx(3 * tokens)
    assert choose.work(config(smart=PLAIN, mode="pretrain"), SUMMARY) == pytest.approx(tokens / 3)


def test_the_largest_configuration_is_that_of_most_activations() -> None:
    small, wide = config(smart=PLAIN), config(smart=PLAIN, optim={"batch_size": 20})
    smart, teacher = (config(optim={"batch_size": 20}, smart={"mu": mu}) for mu in (0.0, 1.0))
    accumulated = config(optim={"batch_size": 20, "accumulation": 4})
    assert choose.largest([small, wide, smart, accumulated], 1) is smart
    assert choose.largest([teacher, smart], 1) is teacher
    assert choose.memory(smart, 1) == 2 * choose.memory(wide, 1) == 4 * choose.memory(small, 1)
    assert choose.memory(smart, 2) == choose.memory(smart, 1) / 2


def test_median_dearest_and_cheapest_of_each_encoding_are_measured_medians_first() -> None:
    sizes = (10, 20, 30, 40, 50)
    samples = [config(optim={"batch_size": n}, pair_encoding=e) for n in sizes for e in ("cosine", "cross")]
    random.Random(0).shuffle(samples)
    found = [(one.pair_encoding, one.optim.batch_size) for one in choose.along_the_cost(samples, SUMMARY)]
    assert found == [("cosine", 30), ("cross", 30), ("cosine", 50), ("cross", 50), ("cosine", 10), ("cross", 10)]
    assert choose.along_the_cost([samples[0]] * 4, SUMMARY) == [samples[0]]


def test_seconds_along_the_work() -> None:
    assert along([10.0, 20.0], [1.0, 3.0], 15.0) == 2.0
    assert along([10.0, 20.0], [1.0, 3.0], 5.0) == 0.5
    assert along([10.0, 20.0], [1.0, 3.0], 40.0) == 6.0
    assert along([10.0], [1.0], 30.0) == 3.0


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
    plan: Any = SimpleNamespace(samples=[one], summary=SUMMARY)
    foreseen = forecast([100.0], 10, 2, GangShape(), "none", 0.0)
    for crowd in (None, Crowd(at_once=4, slowdown=2.806)):
        line = stage.tell(plan, measured(Timed(one.to_dict(), 2.0, 0.5, 0.01, 7.0), crowd=crowd), foreseen)[0]
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


def test_the_range_goes_from_the_usual_pruning_to_none() -> None:
    found = forecast([100.0], 10, 2, GangShape(), "median", 0.0)
    assert found.seconds == Range(400.0, 400.0, 500.0), "500 s without the 0.2 that median saves"
    assert found.gang_s == Range(800.0, 800.0, 1000.0)
    assert (found.gpu_hours, found.price) == (None, None)
    unpruned = forecast([100.0], 10, 2, GangShape(), "none", 0.0)
    assert unpruned.seconds == Range(500.0, 500.0, 500.0)
    spread = forecast([50.0, 150.0], 10, 2, GangShape(), "none", 0.0).seconds
    assert spread.low < spread.expected < spread.high


def test_gpu_hours_and_price_are_of_what_gangs_hold() -> None:
    shape = GangShape(n_workers=2, gpus_per_worker=1.0)
    found = forecast([3600.0], 5, 1, shape, "none", 0.0, price_per_gpu_hour=2.5)
    assert found.gpu_hours == Range(10.0, 10.0, 10.0)
    assert found.price == Range(25.0, 25.0, 25.0)
    assert describe(found) == ["ETA 5.0 h (5.0–5.0)", "GPU-hours 10 (10–10), cost 25.00 (25.00–25.00)"]


def test_controls_come_before_and_a_time_budget_cuts() -> None:
    assert forecast([100.0], 10, 2, GangShape(), "none", 0.0, unpruned_s=60.0).seconds.expected == 530.0
    assert forecast([100.0], 10, 2, GangShape(), "none", 0.0, limit_s=120.0).seconds == Range(120.0, 120.0, 120.0)


def test_every_pruner_has_a_share() -> None:
    assert set(SAVED) == set(PRUNERS)
    assert all(0.0 <= share < 1.0 for share in SAVED.values())
    assert SAVED["none"] == 0.0


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
    foreseen = forecast([720.0], 1, 1, GangShape(), "none", 0.0)
    assert outcome(foreseen, 780.0) == "ETA 12 min (12–12), took 13 min: +8 %"
    assert outcome(foreseen, 648.0) == "ETA 12 min (12–12), took 11 min: -10 %"


def test_what_was_measured_is_read_back_and_a_torn_file_is_none(tmp_path: Path) -> None:
    found = measured(Timed(config().to_dict(), 2.0, 0.5, 0.01, 7.0))
    path = tmp_path / "x.json"
    for whole in (found, replace(found, crowd=Crowd(4, 2.8))):
        path.write_text(json.dumps(whole.to_dict()))
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
    with pytest.raises(ConfigError, match="give a price"):
        plans.make(Options(**given, price_per_gpu_hour=-1.0), has_gpu=False)


@pytest.mark.slow
def test_a_rehearsal_measures_a_real_trial(tiny_backbone: Path) -> None:
    from model.rehearsal import heaviest_update, rehearse
    from model.training import Training

    training = Training(tiny.config(tiny_backbone, mixing={"strategy": "proportional"}), tiny.data())
    seen: list[tuple[str, int, int]] = []
    update = training.engine.update

    def watched(number: int, shares: Any, seeds: Any) -> Any:
        seen.extend((batch.task, len(batch.labels), batch.input_ids.shape[-1]) for share in shares for batch in share)
        return update(number, shares, seeds)

    training.engine.update = watched  # type: ignore[method-assign]
    try:
        heaviest_update(training)
        (heaviest,) = seen
        found = rehearse(training, 3)
    finally:
        training.close()
    assert heaviest[0] in ("quora", "sts"), "pairs have two sides"
    assert heaviest[2] == max(length for task, _, length in seen if task == heaviest[0])
    assert found.n_updates == 3
    assert len(seen) == 4
    assert min(found.update_s, found.example_s, found.health_s) > 0


@pytest.mark.cluster
@pytest.mark.slow
def test_as_many_gangs_are_measured_as_train_at_once(tiny_backbone: Path) -> None:
    """As many of one core each as fit on a machine that says it has four; a search of seconds has no time for it."""
    one = tiny.config(tiny_backbone)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        data = ray.put(tiny.data())
        hasty, patient = (
            probe.in_gangs(GangShape(), data, probe.Assignment(one, (one,), bound_s, at_once=9), lambda: True)
            for bound_s in (2.0, probe.CROWD_LEAST_S)
        )
        assert (hasty.crowd, hasty.slowdown) == (None, 1.0)
        assert patient.crowd is not None
        assert patient.crowd.at_once == 4
        assert patient.slowdown >= 1.0
        assert patient.note is None
        assert {group["state"] for group in placement_group_table().values()} == {"REMOVED"}
    finally:
        ray.shutdown()


SPACE = """
name: small
metric: mean
targets: [sst, quora, sts]
options: {{trials: 2, finalists: 0, sampler: random, pruner: none, cpus_per_worker: 1, gpus_per_worker: 0}}
fixed:
  backbone: {backbone}
  max_length: 32
  mixture: [sst, quora, sts]
  budget.examples: 480
  budget.evaluations: 2
  optim.batch_size: 8
search:
  pair_encoding: {{choice: [cosine, cross]}}
  optim.dropout: {{float: [0.0, 0.3]}}
"""
STARVED = """
    init = training.__init__
    def starved(self, config, *arguments):
        init(self, config, *arguments)
        update = self.engine.update
        def checked(number, shares, seeds):
            if len(shares[0][0].labels) > {fits}:
                raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
            return update(number, shares, seeds)
        self.engine.update = checked
    training.__init__ = starved
"""


def search(folder: Path, backbone: Path, fits: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A search whose ranks have memory for micro-batches of `fits`."""
    hook = folder / f"hook{fits}"
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(HOOK + STARVED.format(fits=fits), encoding="utf-8")
    space = write_space(folder, backbone, SPACE)
    paths = os.pathsep.join(filter(None, [str(hook), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "tuner.search", "--no-dashboard", "--space", str(space)]
    command += ["--runs-dir", str(folder / "runs"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_search_is_measured_foreseen_and_judged(tmp_path: Path, tiny_backbone: Path) -> None:
    """Micro-batches of 2 fit and 8 do not; what was measured serves the next search, and a dry run leaves nothing."""
    done = search(tmp_path, tiny_backbone, 2, "--name", "one")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d configurations? measured in .*; a typical trial takes \d+ s, \d+ % of it evaluation", done.stderr)
    assert "ETA " in done.stderr
    assert "needs micro-batches of 2 instead of 8" in done.stderr
    assert ", took " in done.stdout
    results = json.loads((tmp_path / "runs" / "one" / "results.json").read_text(encoding="utf-8"))
    found = results["preflight"]
    assert found["took_s"] > 0
    assert found["error"] == pytest.approx((found["took_s"] - found["eta_s"]["expected"]) / found["eta_s"]["expected"])
    encodings = {one["config"]["pair_encoding"] for one in found["measured"]["timed"]}
    assert encodings == {"cosine", "cross"} or found["measured"]["left_out"] > 0, "so short a search is measured in seconds"
    assert all(trial["note"] == "accumulation 4 after out of memory" for trial in results["trials"])
    assert results["consistency"] == []
    assert (tmp_path / "runs" / "one" / stage.OWN).is_file()
    (cached,) = (tmp_path / "runs" / stage.FOLDER).iterdir()

    before = sorted(path for path in (tmp_path / "runs").rglob("*"))
    dry = search(tmp_path, tiny_backbone, 2, "--name", "two", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert f"measured in {found['measured']['took_s']:.0f} s" in dry.stdout, "the earlier search's"
    assert sorted(path for path in (tmp_path / "runs").rglob("*")) == before
    assert cached.is_file()


@pytest.mark.cluster
@pytest.mark.slow
def test_what_cannot_fit_is_refused_before_anything_is_trained(tmp_path: Path, tiny_backbone: Path) -> None:
    done = search(tmp_path, tiny_backbone, 0, "--name", "one")
    assert done.returncode == 2
    (said,) = [line for line in done.stderr.splitlines() if "micro-batch of 1" in line]
    for word in ("optim.batch_size 8", "max_length 32", "CUDA out of memory", "lower max_length"):
        assert word in said
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
