"""Requirements: how they are read, what the study does with them, and what a search hands over under them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from model.config import ConfigError
from model.training.evaluation import Evaluation
from tests.support import samples
from tests.support.cases import slow_but
from tuner.config.objective import Objective
from tuner.config.options import Options, parse_arguments, save
from tuner.config.requirements import Requirement, Requirements, shortfall
from tuner.results.pareto import best_of, front_of
from tuner.results.results_json import rank
from tuner.results.summary import print_summary
from tuner.results.trial_record import TrialRecord
from tuner.search.plan import make
from tuner.space import load
from tuner.study import SAMPLERS, Study, Verdict

PEARSON = "sts/pearson>=0.5"


class TestReading:
    @pytest.mark.parametrize(("text", "expected"), [
        ("quora/accuracy>=0.80", Requirement("quora/accuracy", ">=", 0.8)),
        (" own_mean >= .5 ", Requirement("own_mean", ">=", 0.5)),
        ("cue_gap/cfimdb/accuracy<=0.1", Requirement("cue_gap/cfimdb/accuracy", "<=", 0.1)),
        ("clean/cfimdb/f1>=0.9", Requirement("clean/cfimdb/f1", ">=", 0.9)),
        ("sts/pearson>=-0.5", Requirement("sts/pearson", ">=", -0.5)),
    ])  # fmt: skip
    def test_a_text_is_a_metric_a_sense_and_a_bound(self, text: str, expected: Requirement) -> None:
        assert Requirement.parse(text) == expected
        assert Requirement.parse(str(expected)) == expected

    @pytest.mark.parametrize(("texts", "expected"), [
        (["quora/accuracy"], ["quora/accuracy is not METRIC>=NUMBER or METRIC<=NUMBER"]),
        (["quora/accuracy>0.8"], ["is not METRIC>=NUMBER"]),
        (["qora/accuracy>=0.8"], ["unknown metric qora/accuracy (did you mean quora/accuracy?)"]),
        (["dev/sst/accuracy>=0.8"], ["is on dev: nothing is chosen on what is reported"]),
        (["quora/accuracy>=80"], ["80 is outside what metrics can be, -1 to 1"]),
        (["quora/accuracy>=high"], ["high is not a number"]),
        (["quora/accuracy>=nan"], ["nan is not a number"]),
        (["sst/f1>=0.5", "sst/f1>=0.6"], ["--require names sst/f1>= 2 times"]),
        (["sst/f1>=0.7", "sst/f1<=0.6"], ["--require sst/f1>=0.7 and sst/f1<=0.6: "]),
        (["mean>=0.5"], ["the metric mean needs targets"]),
        (["qora/f1>=x", "nothing"], ["unknown metric qora/f1", "x is not a number", "--require nothing is not METRIC"]),
    ])  # fmt: skip
    def test_all_mistakes_are_told_at_once(self, texts: list[str], expected: list[str]) -> None:
        with pytest.raises(ConfigError) as raised:
            Requirements.parse(texts)
        for part in expected:
            assert any(part in problem for problem in raised.value.problems), raised.value.problems

    def test_the_excess_is_what_is_missed(self) -> None:
        required = Requirements.parse(["mean>=0.6", "quora/f1<=0.5"], ("sst", "quora"))
        excess = required.excess({"sst/accuracy": 0.4, "quora/accuracy": 0.6, "quora/f1": 0.3})
        assert excess == {"mean>=0.6": pytest.approx(0.1), "quora/f1<=0.5": pytest.approx(-0.2)}
        assert shortfall(excess) == pytest.approx(0.1)
        assert required.required_tasks == ("sst", "quora")

    def test_the_cue_gap_needs_both_arms(self) -> None:
        assert set(Requirements.parse(["cue_gap/cfimdb/accuracy<=0.1"]).watched) == {"clean", "inverted"}


def record(number: int, score: float, missed: float, other: float = 0.0) -> TrialRecord:
    scores = {"sst/accuracy": score, "quora/f1": other}
    return replace(samples.record(number, score=score), scores=scores, requirements={PEARSON: missed})


TRIALS = st.lists(st.tuples(*[st.integers(0, 3).map(lambda n: n / 4)] * 2, st.integers(-1, 2).map(float)), max_size=8)


class TestOrder:
    @settings(max_examples=60, derandomize=True, deadline=None)
    @given(trials=TRIALS)
    def test_trials_that_meet_the_requirements_come_first(self, trials: list[tuple[float, float, float]]) -> None:
        records = [record(number, score, missed, other) for number, (score, other, missed) in enumerate(trials)]
        best, front = best_of(records), front_of(records)
        feasible = [one for one in records if one.shortfall == 0]
        if not records:
            assert best is None
            return
        assert best in front
        assert best is not None
        if feasible:
            assert best.score == max(one.score or 0.0 for one in feasible)
            assert front == front_of(feasible)
        else:
            assert best.shortfall == min(one.shortfall for one in records)

    def test_results_rank_them_so_and_say_what_is_missed(self, tmp_path: Path) -> None:
        records = [
            record(0, 0.9, 0.2),
            record(1, 0.5, -0.1),
            record(2, 0.8, 0.1),
            replace(record(3, 0.95, 0.0), state="PRUNED"),
        ]
        facts = samples.facts(tmp_path / "run", requirements=(PEARSON,))
        found = samples.results(facts, records, records[1])
        assert [trial["number"] for trial in rank(found["trials"])] == [1, 2, 0, 3]
        assert found["requirements"] == [PEARSON]
        assert found["trials"][0]["requirements"] == {PEARSON: {"met": False, "missed_by": 0.2}}
        assert found["champion"]["feasible"] is True
        assert found["champion"]["requirements"] == {PEARSON: {"met": True, "missed_by": 0.0}}

    def test_the_summary_says_when_none_meets_them(self, tmp_path: Path) -> None:
        records = [record(0, 0.9, 0.2), record(1, 0.5, 0.1)]
        facts = samples.facts(tmp_path / "run", requirements=(PEARSON,))
        text = printed(samples.results(facts, records, records[1]))
        assert f"required: {PEARSON}; 0 of 2 complete trials meet that" in text
        assert f"NO TRIAL MEETS THE REQUIREMENTS: the champion is only the nearest; it misses {PEARSON} by 0.1000" in text
        assert "missed" in text.splitlines()[0]

    def test_the_summary_is_silent_without_requirements(self, tmp_path: Path) -> None:
        records = [samples.record(0, score=0.9)]
        text = printed(samples.results(samples.facts(tmp_path / "run"), records, records[0]))
        assert "require" not in text.lower()
        assert "missed" not in text


def printed(results: dict[str, Any]) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    print_summary(console, results)
    return console.export_text()


SPACE = """\
name: trade
search:
  optim.dropout: {float: [0.0, 0.5]}
  optim.lr: {float: [1.0e-6, 1.0e-3], log: true}
"""
"""sst gains from dropout what sts loses."""


def open_study(folder: Path, sampler: str = "tpe", pruner: str = "none", goals: str = "sst/accuracy", n: int = 40,
               texts: tuple[str, ...] = (PEARSON,)) -> Study:  # fmt: skip
    (folder / "trade.yaml").write_text(SPACE, encoding="utf-8")
    return Study(
        f"journal:{folder / 'j'}", "s", load(folder / "trade.yaml"), Objective(goals), sampler, pruner, 1, n, 5,
        requirements=Requirements.parse(texts),
    )  # fmt: skip


def evaluation(index: int, sst: float, sts: float) -> Evaluation:
    return replace(samples.evaluation(index, sst, sts), n_evaluations=5)


def race(study: Study) -> list[TrialRecord]:
    """One trial after the other; sts/pearson meets 0.5 where the dropout is at most 0.15."""
    while (asked := study.ask()) is not None:
        dropout = asked.config.optim.dropout
        for index in range(1, 6):
            share = index / 5
            if (
                study.report(asked.number, evaluation(index, share * (0.5 + dropout), share * (0.65 - dropout)))
                is Verdict.PRUNE
            ):
                break
        else:
            study.complete(asked.number)
    return study.records()


CONSTRAINED = [name for name, sampler in SAMPLERS.items() if sampler.constraints]


class TestStudy:
    @pytest.mark.parametrize("sampler", slow_but(CONSTRAINED, "tpe", "nsga2"))
    def test_samplers_prefer_what_meets_the_requirements(self, tmp_path: Path, sampler: str) -> None:
        (tmp_path / "without").mkdir()
        (tmp_path / "with").mkdir()
        n = 26 if sampler == "gp" else 40
        free = race(open_study(tmp_path / "without", sampler, n=n, texts=()))
        bound = race(open_study(tmp_path / "with", sampler, n=n))

        def met(records: list[TrialRecord]) -> int:
            """Trials of the second half that meet it, or miss it by 0.01 at most: the best lie on the boundary."""
            return sum(one.config["optim"]["dropout"] <= 0.16 for one in records[n // 2 :])

        assert met(bound) >= met(free) + 5
        best = best_of(bound)
        assert best is not None
        assert best.shortfall == 0
        assert best.score == max(one.score or 0.0 for one in bound if one.shortfall == 0)

    @pytest.mark.parametrize("sampler", slow_but([name for name in SAMPLERS if name != "grid"], "tpe", "nsga2"))
    def test_every_sampler_runs_under_requirements_and_optuna_knows_the_excess(self, tmp_path: Path, sampler: str) -> None:
        study = open_study(tmp_path, sampler, n=14)
        race(study)
        for trial, found in zip(study._study.trials, study.records(), strict=True):
            assert trial.constraints == found.requirements
            assert found.requirements == {PEARSON: pytest.approx(0.5 - found.metrics["sts/pearson"])}

    def test_a_lower_score_is_not_pruned_where_it_is_the_price_of_a_requirement(self, tmp_path: Path) -> None:
        study = open_study(tmp_path, "random", "median", n=20)
        for _ in range(6):
            asked = study.ask()
            assert asked is not None
            for index in range(1, 6):
                study.report(asked.number, evaluation(index, 0.9, 0.2))
            study.complete(asked.number)
        priced, worse = study.ask(), study.ask()
        assert priced is not None
        assert worse is not None
        study.report(priced.number, evaluation(1, 0.3, 0.6))
        study.report(worse.number, evaluation(1, 0.3, 0.1))
        assert study.report(priced.number, evaluation(2, 0.3, 0.6)) is Verdict.CONTINUE
        assert study.report(worse.number, evaluation(2, 0.3, 0.1)) is Verdict.PRUNE

    def test_two_goals_a_pruner_and_a_requirement(self, tmp_path: Path) -> None:
        study = open_study(tmp_path, "nsga2", "median", "sst/accuracy,sts/spearman", n=30, texts=("sts/pearson>=0.3",))
        while (asked := study.ask()) is not None:
            dropout = asked.config.optim.dropout
            for index in range(1, 6):
                metrics = {"sst/accuracy": dropout, "sts/spearman": 1e4 * asked.config.optim.lr, "sts/pearson": 0.5 - dropout}
                told = replace(evaluation(index, 0, 0), metrics={name: value * index / 5 for name, value in metrics.items()})
                if study.report(asked.number, told) is Verdict.PRUNE:
                    break
            else:
                study.complete(asked.number)
        states = {one.state for one in study.records()}
        assert states == {"COMPLETE", "PRUNED"}
        assert all(one.shortfall == 0 for one in study.front)
        assert study.best in study.front
        stored = optuna.load_study(study_name="s", storage=study._study._storage)
        assert {trial.number for trial in stored.best_trials} == {one.number for one in study.front}

    def test_a_required_metric_that_is_not_finite_fails_the_trial(self, tmp_path: Path) -> None:
        study = open_study(tmp_path)
        asked = study.ask()
        assert asked is not None
        assert study.report(asked.number, evaluation(1, 0.5, float("nan"))) is Verdict.STOP
        failed = study.record(asked.number)
        assert "the required metric became nan at evaluation 1 of 5, step 10: sst/accuracy 0.5, sts/pearson nan" in str(
            failed.reason
        )
        assert failed.requirements == {}

    def test_a_kill_between_the_constraint_and_the_end_is_mended(self, tmp_path: Path) -> None:
        study = open_study(tmp_path)
        asked = study.ask()
        assert asked is not None
        for index in range(1, 6):
            study.report(asked.number, evaluation(index, 0.5, 0.4))
        study._store.constrain(asked.number)
        again = open_study(tmp_path)
        again.complete(asked.number)
        assert again.record(asked.number).requirements == {PEARSON: pytest.approx(0.1)}

    def test_a_study_has_one_set_of_requirements(self, tmp_path: Path) -> None:
        open_study(tmp_path, texts=(PEARSON, "sst/f1>=0.1"))
        open_study(tmp_path, texts=("sst/f1>=0.10", PEARSON))
        with pytest.raises(ConfigError, match="was begun with other requirements; go on with that"):
            open_study(tmp_path, texts=())

    def test_hyperband_is_refused_because_a_lower_score_may_be_the_price(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match="--pruner hyperband compares trials by one goal, and --require adds to it: use one of median"
        ):
            open_study(tmp_path, pruner="hyperband")


class TestPlan:
    def options(self, folder: Path, **changes: Any) -> Options:
        return Options(**{"runs_dir": str(folder), "profile": "laptop", "metric": "sst/accuracy"} | changes)

    def test_mixtures_without_the_task_are_left_out(self, tmp_path: Path) -> None:
        plan = make(self.options(tmp_path, require=("quora/accuracy>=0.8",)), has_gpu=False)
        assert all("quora" in sample.mixture for sample in plan.samples)
        assert plan.requirements.texts == ["quora/accuracy>=0.8"]
        assert any("lacks quora, which the metric or a requirement needs" in note for note in plan.notes)

    def test_the_plan_says_when_the_sampler_does_not_look_at_them(self, tmp_path: Path) -> None:
        plan = make(self.options(tmp_path, require=("mean>=0.5",), sampler="random"), has_gpu=False)
        assert "the sampler random does not look at the requirements; tpe, gp, nsga2 do" in plan.notes

    @pytest.mark.parametrize(("changes", "expected"), [
        ({"require": ("qora/f1>=0.5", "sst/f1>=2"), "metric": "sst/accurcy", "pruner": "median"},
         ["unknown metric qora/f1", "2 is outside", "unknown metric sst/accurcy"]),
        ({"require": ("mean>=0.5",), "pruner": "wilcoxon"}, ["--pruner wilcoxon compares trials by one goal"]),
        ({"require": ("cue_gap/cfimdb/accuracy<=0.1",), "space": "robust_cfimdb", "metric": "cfimdb/accuracy",
          "settings": ("watch=[clean]",)}, ['--require needs trials that watch inverted: --set "watch=[clean, inverted]"']),
    ])  # fmt: skip
    def test_mistakes_are_told_together(self, tmp_path: Path, changes: dict[str, Any], expected: list[str]) -> None:
        with pytest.raises(ConfigError) as raised:
            make(self.options(tmp_path, **changes), has_gpu=False)
        for part in expected:
            assert any(part in problem for problem in raised.value.problems), raised.value.problems

    def test_a_resumed_search_keeps_them(self, tmp_path: Path) -> None:
        given = parse_arguments(["--require", "sst/f1>=0.5", "--require", "quora/f1>=0.5", "--runs-dir", str(tmp_path)])
        (tmp_path / "x").mkdir()
        save(given, tmp_path / "x")
        resumed = parse_arguments(["--resume", "x", "--runs-dir", str(tmp_path)])
        assert resumed.require == ("sst/f1>=0.5", "quora/f1>=0.5")
        old = json.loads((tmp_path / "x" / "search.json").read_text(encoding="utf-8"))
        del old["require"]
        (tmp_path / "x" / "search.json").write_text(json.dumps(old), encoding="utf-8")
        assert parse_arguments(["--resume", "x", "--runs-dir", str(tmp_path)]).require == ()


def test_results_without_requirements_have_the_keys_too(tmp_path: Path) -> None:
    records = [samples.record(0, score=0.9)]
    found = samples.results(samples.facts(tmp_path / "run"), records, records[0])
    assert found["requirements"] == []
    assert found["trials"][0]["requirements"] == {}
    assert found["champion"]["feasible"] is True
