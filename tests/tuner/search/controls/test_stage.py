"""Single-task controls: what they are, what their results depend on, and what `no-negative-transfer` makes of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.config import ConfigError, TrialConfig
from model.tasks import TASKS
from tests.support import samples
from tuner.config.objective import Objective
from tuner.config.options import Options
from tuner.config.requirements import NoNegativeTransfer, Requirements
from tuner.search.controls import Cache, Control, ControlResult, ControlTrials, configure, key
from tuner.search.plan import make
from tuner.search.plan.dry_run import describe
from tuner.space import load
from tuner.study import Study, Verdict

SHARE = st.integers(0, 10).map(lambda n: n / 10)


class TestRequirement:
    @pytest.mark.parametrize(("text", "margin"), [
        ("no-negative-transfer", 0.01), ("no-negative-transfer:0.02", 0.02), (" no-negative-transfer:0", 0.0),
    ])  # fmt: skip
    def test_a_text_may_name_the_margin(self, text: str, margin: float) -> None:
        found = Requirements.parse([text])
        assert found.transfer == NoNegativeTransfer(margin)
        assert Requirements.parse(found.texts) == found

    @pytest.mark.parametrize(("texts", "expected"), [
        (["no-negative-transfer:2"], "give a margin from 0 to 1"),
        (["no-negative-transfer:"], "give a margin from 0 to 1"),
        (["no-negative-trasfer"], "(did you mean no-negative-transfer?)"),
        (["no-negative-transfer", "no-negative-transfer:0.1"], "names no-negative-transfer 2 times"),
    ])  # fmt: skip
    def test_mistakes_are_told(self, texts: list[str], expected: str) -> None:
        with pytest.raises(ConfigError) as raised:
            Requirements.parse(texts)
        assert any(expected in problem for problem in raised.value.problems), raised.value.problems

    @settings(max_examples=80, derandomize=True, deadline=None)
    @given(alone=st.tuples(SHARE, SHARE, SHARE), mixed=st.tuples(SHARE, SHARE), margin=SHARE)
    def test_the_excess_is_that_of_the_task_which_loses_most(
        self, alone: tuple[float, ...], mixed: tuple[float, ...], margin: float
    ) -> None:
        controls = dict(zip(("sst", "sts", "quora"), alone, strict=True))
        required = NoNegativeTransfer(margin, controls)
        metrics = {"sst/accuracy": mixed[0], "sts/pearson": mixed[1], "sst/f1": 0.0, "dev/quora/accuracy": 0.0}
        losses = [alone[0] - mixed[0], alone[1] - mixed[1]]
        assert required.excess(metrics) == pytest.approx(max(losses) - margin)
        is_met = all(own >= control - margin for own, control in zip(mixed, alone, strict=False))
        assert (required.excess(metrics) <= 1e-12) == is_met or math.isclose(max(losses), margin)

    def test_a_metric_that_is_not_a_number_is_no_success(self) -> None:
        required = NoNegativeTransfer(0.0, {"sst": 0.1, "sts": 0.1})
        assert math.isnan(required.excess({"sst/accuracy": 0.9, "sts/pearson": math.nan}))


def control(config: TrialConfig | None = None, task: str = "sst") -> Control:
    config = config or configure(load("smart_mtl", "laptop"), task, 0)
    return Control(task, config, key(config, "aa", 1))


REACHED = ControlResult("sst", "sst/accuracy", 0.4, 12.0, {}, "first", [])


class TestControl:
    @pytest.mark.parametrize("task", TASKS)
    def test_is_the_untuned_default_with_the_task_alone_and_without_smart(self, task: str) -> None:
        space = load("smart_mtl", "laptop")
        config = configure(space, task, 7)
        assert config.mixture == (task,)
        assert not config.smart.enabled
        assert config.seed == 7
        assert config.optim.lr == space.start[0]["optim.lr"]
        assert config.budget.evaluations == space.fixed["budget.evaluations"]

    def test_its_key_depends_on_what_its_result_depends_on(self, tmp_path: Path) -> None:
        config = configure(load("smart_mtl", "laptop"), "sst", 0)
        assert key(config, "aa", 1) == key(config.model_copy(), "aa", 1)
        longer = config.model_copy(update={"budget": config.budget.model_copy(update={"evaluations": 3})})
        (tmp_path / "model.safetensors").write_bytes(b"one")
        local = config.model_copy(update={"backbone": str(tmp_path)})
        keys = [key(config, "aa", 1), key(config, "bb", 1), key(config, "aa", 2), key(longer, "aa", 1), key(local, "aa", 1)]
        (tmp_path / "model.safetensors").write_bytes(b"two")
        keys.append(key(local, "aa", 1))
        assert len(set(keys)) == len(keys)

    def test_is_kept_for_whoever_asks_next(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path / "cache")
        assert cache.get(control()) is None
        cache.put(control(), REACHED)
        assert Cache(tmp_path / "cache").get(control()) == REACHED

    @pytest.mark.parametrize("content", ["", "{}", "[1]", '{"task": "sts"', "\0"])
    def test_a_file_that_is_no_more_what_was_written_is_trained_again(self, tmp_path: Path, content: str) -> None:
        cache = Cache(tmp_path)
        cache.put(control(), REACHED)
        (tmp_path / f"{control().key}.json").write_text(content, encoding="utf-8")
        assert cache.get(control()) is None


class TestTraining:
    def test_each_is_asked_for_once_and_kept_when_it_is_complete(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path)
        trials = ControlTrials([control(), control(task="sts")], cache, "first")
        first, second = trials.ask(), trials.ask()
        assert first is not None
        assert second is not None
        assert trials.ask() is None
        for index in (1, 2):
            assert trials.report(first.number, replace(samples.evaluation(index, 0.3), metrics={"sst/accuracy": 0.3})) is (
                Verdict.CONTINUE
            )
        assert cache.get(control()) is None, "not before its end"
        trials.complete(first.number)
        found = cache.get(control())
        assert found is not None
        assert (found.value, found.metric, found.trained_by) == (0.3, "sst/accuracy", "first")

    def test_one_that_is_not_finite_fails_and_is_not_kept(self, tmp_path: Path) -> None:
        cache = Cache(tmp_path)
        trials = ControlTrials([control(task="sts")], cache, "first")
        asked = trials.ask()
        assert asked is not None
        told = replace(samples.evaluation(1, 0.3), metrics={"sts/pearson": math.nan})
        assert trials.report(asked.number, told) is Verdict.STOP
        assert trials.record(asked.number).state == "FAIL"
        assert trials.record(asked.number).reason == "its score became nan at step 10"
        assert cache.get(control(task="sts")) is None


def test_the_study_prefers_trials_that_lose_nothing(tmp_path: Path) -> None:
    required = Requirements.parse(["no-negative-transfer"]).with_controls({"sst": 0.5, "sts": 0.4, "quora": 0.0, "cfimdb": 0.0})
    study = Study(
        f"journal:{tmp_path / 'j'}", "s", load("smart_mtl", "laptop"), Objective("sst/accuracy"), "tpe", "none", 0, 3, 2,
        requirements=required,
    )  # fmt: skip
    for sst, sts in ((0.9, 0.38), (0.5, 0.395), (0.6, 0.3)):
        asked = study.ask()
        assert asked is not None
        for index in (1, 2):
            study.report(asked.number, samples.evaluation(index, sst, sts))
        study.complete(asked.number)
    assert study.best is not None
    assert study.best.number == 1
    assert [record.requirements["no-negative-transfer:0.01"] for record in study.records()] == pytest.approx(
        [0.01, -0.005, 0.09]
    )


class TestPlan:
    def options(self, folder: Path, **changes: Any) -> Options:
        return Options(**{"runs_dir": str(folder), "profile": "laptop", "require": ("no-negative-transfer",)} | changes)

    def test_every_task_of_the_space_has_a_control_and_the_plan_says_so(self, tmp_path: Path) -> None:
        plan = make(self.options(tmp_path, tasks="sst,sts", metric="sst/accuracy"), has_gpu=False)
        assert [one.task for one in plan.controls] == ["sst", "sts"]
        Cache(tmp_path / ".controls").put(plan.controls[0], REACHED)
        assert "controls   sst (in the cache), sts: each trained alone first" in describe(plan)

    def test_without_the_requirement_there_are_none(self, tmp_path: Path) -> None:
        plan = make(self.options(tmp_path, require=()), has_gpu=False)
        assert plan.controls == ()
        assert "controls" not in describe(plan)
