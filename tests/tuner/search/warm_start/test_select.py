"""A warm start: earlier configurations found again in a new space, and a history believed only while it proves right."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.synthetic import Synthetic
from model.canonical import canonical
from model.config import ConfigError, parse
from model.training.evaluation import Evaluation
from tests.support import mlflow_store, samples
from tuner.config.objective import Objective
from tuner.config.options import Options, parse_arguments
from tuner.search import plan, warm_start
from tuner.search.warm_start import MOST_STARTS, EarlierTrial, Source, from_experiment, select
from tuner.space import Space, available, load
from tuner.space.mapping import UnmappableError, map_config
from tuner.study import Study
from tuner.study.samplers.history import MAX_TRIALS, EarlierPoint, History, HistoryView
from tuner.tracking.mlflow import MlflowTracking, flatten, read_experiment

SHA = "ab" * 32
METRIC = Objective("sst/accuracy")
BASE = "name: small\nfixed: {mixture: [sst], budget.examples: 480}\n"
SMALL = BASE + "search:\n  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}\n  optim.dropout: {float: [0.0, 0.5]}\n"


def space_of(text: str, folder: Path) -> Space:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path)


@pytest.fixture
def small(tmp_path: Path) -> Space:
    return space_of(SMALL, tmp_path)


def config(**optim: Any) -> dict[str, Any]:
    return parse({"mixture": ["sst"], "budget": {"examples": 480}, "optim": {"lr": 1e-4, **optim}}).to_dict()


def trial(number: int, score: float, state: str = "COMPLETE", **changes: Any) -> EarlierTrial:
    values: dict[str, Any] = {"config": config(), "metrics": {"sst/accuracy": score}, "n_evaluations": 5, "data_sha256": SHA}
    return EarlierTrial(number, state, **{**values, **changes})


def chosen(space: Space, *trials: EarlierTrial, n_trials: int = 20, remembers: bool = True) -> Any:
    return select((Source("old", trials),), space, METRIC, SHA, n_trials, remembers=remembers)


# Mapping


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(available()), seed=st.integers(0, 2**32))
@pytest.mark.slow
def test_what_a_space_draws_is_found_again(name: str, seed: int) -> None:
    space = load(name, "laptop")
    picks = space.draw(random.Random(seed))
    drawn = space.config(picks)
    mapped = map_config(space, json.loads(json.dumps(drawn.to_dict())))
    logits = {key for key in picks if "[" in key}  # only their differences count
    assert {key: mapped.picks[key] for key in picks if key not in logits} == {k: v for k, v in picks.items() if k not in logits}
    assert mapped.picks.keys() == picks.keys() == mapped.distributions.keys()
    for key in logits:
        first = min(logits)
        assert mapped.picks[key] - mapped.picks[first] == pytest.approx(picks[key] - picks[first])
    assert mapped.differs == ()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
@pytest.mark.slow
def test_a_recorded_canonical_form_trains_the_same(seed: int) -> None:
    space = load("smart_mtl", "laptop")
    recorded = canonical(space.config(space.draw(random.Random(seed))))
    try:
        mapped = map_config(space, recorded.to_dict())
    except UnmappableError as error:
        assert "lie outside" in str(error)  # a default that nothing reads may lie outside
        return
    assert mapped.differs == ()


def test_a_renamed_setting(tmp_path: Path) -> None:
    space = space_of(SMALL + "renamed: {optim.learning_rate: optim.lr}\n", tmp_path)
    old = config()
    old["optim"]["learning_rate"] = old["optim"].pop("lr") * 2
    found = map_config(space, old)
    assert found.picks == {"optim.lr": 2e-4, "optim.dropout": 0.1}
    assert found.differs == ()


def test_an_unknown_setting_keeps_scores_apart(small: Space) -> None:
    old = config()
    old["optim"]["momentum"] = 0.5
    assert map_config(small, old).differs == ("optim.momentum",)


def test_an_added_parameter_lies_at_its_default(tmp_path: Path) -> None:
    old = config()
    del old["optim"]["warmup"]
    wide = space_of(SMALL + "  optim.warmup: {float: [0.0, 0.2]}\n", tmp_path)
    assert map_config(wide, old).picks["optim.warmup"] == 0.1
    narrow = space_of(SMALL + "  optim.warmup: {float: [0.2, 0.4]}\n", tmp_path)
    with pytest.raises(UnmappableError, match=r"lie outside optim\.warmup 0\.2 to 0\.4"):
        map_config(narrow, old)


def test_other_ranges(tmp_path: Path) -> None:
    wide = space_of(SMALL.replace("1.0e-5, 1.0e-3", "1.0e-6, 1.0e-1"), tmp_path)
    assert map_config(wide, config(lr=1e-3)).picks["optim.lr"] == 1e-3
    narrow = space_of(SMALL.replace("1.0e-5, 1.0e-3", "1.0e-5, 1.0e-4"), tmp_path)
    found = chosen(narrow, trial(0, 0.9, config=config(lr=1e-3)), trial(1, 0.5))
    assert [one.trial.number for one in found.used] == [1]
    assert found.sentences() == ["warm start: 1 of 2 trials of old can be used; 1 lie outside optim.lr 1e-05 to 0.0001"]


def test_problems_of_renamed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        space_of(SMALL + "renamed: {optim.lr: optim.dropout, optim.rate: optim.lrr, a: seed, b: seed}\n", tmp_path)
    text = "\n".join(found.value.problems)
    assert "optim.lr is a setting; the left side" in text
    assert "optim.rate is now 'optim.lrr', which is no setting" in text
    assert "seed has two old names" in text


# Selection


def test_scores_are_compared_on_the_same_data_and_settings_alone(small: Space) -> None:
    longer = config()
    longer["budget"]["examples"] = 960
    found = chosen(
        small,
        trial(0, 0.5),
        trial(1, 0.6, state="PRUNED", config=config(lr=2e-4), n_evaluations=2),
        trial(2, 0.9, data_sha256="cd"),
        trial(3, 0.8, config=longer | {"seed": 5}),
        trial(4, 0.7, state="FAIL"),
        trial(5, 0.7, metrics={"sts/pearson": 0.7}),
        trial(6, 0.7, metrics={"sst/accuracy": None}),
    )
    assert [one.score for one in found.history.trials] == [0.5, 0.6]
    assert {one.trial.number: one.apart for one in found.used} == {
        0: "", 1: "", 2: "they were measured on other data", 3: "they differ in budget.examples",
    }  # fmt: skip
    assert [reason for _, reason in found.dropped] == ["failed or never ended", *["did not measure sst/accuracy"] * 2]


def test_only_a_few_distinct_complete_configurations_are_tried_first(small: Space) -> None:
    trials = [trial(i, i / 20, config=config(lr=1e-5 * (1 + i // 2))) for i in range(12)]
    best_pruned = trial(12, 0.99, state="PRUNED", config=config(lr=9e-4))
    starts = chosen(small, *trials, best_pruned).history.starts
    assert [start["optim.lr"] for start in starts] == pytest.approx([6e-5, 5e-5, 4e-5])
    assert len(chosen(small, *trials, n_trials=8).history.starts) == 2
    assert len(chosen(small, *trials, n_trials=2).history.starts) == 1
    assert chosen(small, *trials, remembers=False).history.trials == ()


def test_a_useless_source_is_refused_with_its_reasons(small: Space) -> None:
    with pytest.raises(ConfigError) as found:
        chosen(small, trial(0, 0.5, state="FAIL"), trial(1, 0.5, config=config(lr=0.1)))
    assert found.value.problems[0].startswith(
        "warm start: 0 of 2 trials of old can be used; 1 failed or never ended; 1 lie outs"
    )


def test_the_sources_are_kept_whole(small: Space, tmp_path: Path) -> None:
    sources = (Source("old", (trial(0, 0.5), trial(1, 0.25, state="FAIL"))), Source("older", ()))
    assert warm_start.load(tmp_path) is None
    warm_start.save(sources, tmp_path)
    assert warm_start.load(tmp_path) == sources
    (tmp_path / warm_start.FILE_NAME).write_text("{")
    with pytest.raises(ConfigError, match=r"warm_start\.json is not JSON .*--warm-start"):
        warm_start.load(tmp_path)


# Trust


def remembered(space: Space, lr: float, score: float) -> EarlierPoint:
    found = map_config(space, config(lr=lr))
    return EarlierPoint(found.picks, found.distributions, is_complete=True, score=score, n_evaluations=5)


NO_HISTORY = History()
RATES = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3]


@pytest.mark.parametrize(
    ("scores", "agreement", "is_trusted"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5], 1.0, True),
        ([0.5, 0.4, 0.3, 0.2, 0.1], -1.0, False),
        ([0.1, 0.2, 0.3, 0.4], 1.0, True),  # p = 1/24
        ([0.1, 0.2, 0.3], 1.0, False),  # p = 1/6: three trials cannot show it
        ([0.2, 0.2, 0.2, 0.2], None, False),
        ([], None, False),
    ],
)
def test_when_a_history_is_believed(small: Space, scores: list[float], agreement: float | None, is_trusted: bool) -> None:
    view = HistoryView([remembered(small, rate, rate) for rate in RATES for _ in range(3)])
    own = HistoryView([remembered(small, rate, score) for rate, score in zip(RATES, scores, strict=False)]).trials
    result = view.agreement(own)
    assert result.tau == (None if agreement is None else pytest.approx(agreement))
    assert result.is_trusted is is_trusted
    assert len(view.shown(own)) == (15 if is_trusted else 0)


@pytest.mark.slow
def test_the_history_gives_way_to_the_searchs_own_trials(small: Space) -> None:
    rng = random.Random(0)
    rates = [10 ** rng.uniform(-5, -3) for _ in range(200)]
    earlier_trials = [remembered(small, rate, rate) for rate in rates]
    view = HistoryView(earlier_trials)
    assert len(view.trials) == MAX_TRIALS
    assert view.trials[0].value == max(rates)
    assert all(one.number < 0 for one in view.trials)
    for n in (10, 40, 59, 60, 61):
        own = [one for index, one in enumerate(view.trials * 2) if index < n]
        for index, one in enumerate(own):
            one.number = index
        assert len(HistoryView(earlier_trials).shown(own)) == max(MAX_TRIALS - n, 0)


# The search


@pytest.fixture(scope="module")
def wide() -> Space:
    """The bundled space without start configurations: they would hide what a warm start does."""
    space, _ = load("smart_mtl", "laptop").restrict(tasks=("sst", "quora", "sts"), required=("sst", "quora", "sts"))
    return replace(space, start=())


MEAN = Objective("mean", ("sst", "quora", "sts"))


def run(
    space: Space, world: Synthetic, seed: int, n: int, history: History = NO_HISTORY, storage: str = "memory:", upto: int = 999
) -> tuple[list[float], Study]:
    """Regret after each trial of a search in a generated world; it is left after `upto` trials."""
    study = Study(storage, "study", space, MEAN, "tpe", "none", seed, n, 10, history=history, max_trials=n)
    best, curve = 0.0, []
    while len(curve) < upto and (asked := study.ask()) is not None:
        course = world.course(asked.config)
        for evaluation in course.evaluations:
            study.report(asked.number, evaluation)
        if study.record(asked.number).state == "RUNNING":
            study.complete(asked.number)
            best = max(best, course.true_score)
        curve.append(world.best - best)
    return curve, study


def recorded(study: Study, *, turned: bool = False) -> Source:
    """A study's trials as an earlier search; turned, so that the best become the worst."""
    trials = [
        EarlierTrial(one.number, one.state, one.config,
                     {name: 1 - score if turned else score for name, score in one.metrics.items()}, len(one.evaluations), SHA)
        for one in study.records()
    ]  # fmt: skip
    return Source("old", tuple(trials))


def history_of(source: Source, space: Space, n: int) -> History:
    return select((source,), space, MEAN, SHA, n, remembers=True).history


def first_at(curve: Sequence[float], regret: float) -> int:
    """Trials until a regret is reached; one more than there are where it never is."""
    return next((n for n, found in enumerate(curve, start=1) if found <= regret), len(curve) + 1)


@pytest.mark.slow
@pytest.mark.endurance
def test_helpful_history_saves_trials_and_a_turned_one_costs_few(wide: Space) -> None:
    """Over many worlds, since TPE's draws differ from processor to processor: by chance a helpful history gains nothing in
    some of them, and a turned one is believed for a while in others."""
    n, cold, warm, turned, late = 20, [], [], [], []
    guided = {"good": 0, "turned": 0}
    for seed in range(10):
        world = Synthetic(wide, MEAN, seed, 1e10)
        _, before = run(wide, world, seed + 1000, 30)
        plain, _ = run(wide, world, seed, n)
        helped, good = run(wide, world, seed, n, history_of(recorded(before), wide, n))
        misled, bad = run(wide, world, seed, n + MOST_STARTS, history_of(recorded(before, turned=True), wide, n))
        assert good.history_outcome()["n_started"] == bad.history_outcome()["n_started"] == MOST_STARTS
        assert len(bad.records()) == n + MOST_STARTS  # the history is no part of the study
        guided["good"] += good.history_outcome()["n_guided"]
        guided["turned"] += bad.history_outcome()["n_guided"]
        cold.append(first_at(plain, plain[-1]))
        warm.append(first_at(helped, plain[-1]))
        turned.append(misled[-1])
        late.append(plain[-1])
    assert guided["turned"] < 0.25 * guided["good"], guided
    assert sum(warm) < 0.85 * sum(cold), (warm, cold)
    assert sum(turned) < 1.3 * sum(late), (turned, late)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_search_and_history_is_no_trial_of_it(wide: Space, tmp_path: Path) -> None:
    world = Synthetic(wide, MEAN, 1, 1e10)
    _, before = run(wide, world, 1001, 30)
    history = history_of(recorded(before), wide, 12)
    first, second = (run(wide, world, 1, 12, history)[1].records() for _ in range(2))
    assert [one.config for one in first] == [one.config for one in second]
    assert [one.number for one in first] == list(range(12))


@pytest.mark.slow
def test_a_resumed_study_goes_on_with_its_history(wide: Space, tmp_path: Path) -> None:
    world = Synthetic(wide, MEAN, 6, 1e10)
    _, before = run(wide, world, 1006, 30)
    history = history_of(recorded(before), wide, 12)
    storage = f"journal:{tmp_path}/study.journal"
    run(wide, world, 6, 12, history, storage, upto=7)
    warm_start.save((recorded(before),), tmp_path)
    kept = warm_start.load(tmp_path)
    assert kept is not None
    _, study = run(wide, world, 6, 12, history_of(kept[0], wide, 12), storage)
    told = study.history_outcome()
    assert len(study.records()) == 12
    assert told["n_started"] == 3  # none is tried a second time
    assert told["trusted"]
    assert told["n_guided"] > 0


# Where it comes from


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A real MLflow store with a search of one complete trial."""
    run_dir = tmp_path_factory.mktemp("runs") / "night"
    run_dir.mkdir()
    mlflow_store.put_into(run_dir)
    tracking = MlflowTracking(None, run_dir, "small")
    tracking.search_started(samples.facts(run_dir))
    record = samples.record(0, score=0.5)
    tracking.trial_started(0, samples.CONFIG)
    for index in (1, 2):
        found = Evaluation(index, 2, 10 * index, 20, 320 * index, {"sst/accuracy": 0.25 * index}, {}, 1.0)
        tracking.evaluated(0, found, 0.25 * index)
    tracking.trial_finished(record)
    tracking.search_finished(samples.results(samples.facts(run_dir), [record], record))
    return tracking.tracking_uri, run_dir


@pytest.mark.slow
def test_an_experiment_is_read_back(store: tuple[str, Path]) -> None:
    runs = read_experiment(store[0], "small")
    assert runs is not None
    (found,) = from_experiment("small", runs).trials
    assert found.state == "COMPLETE"
    assert found.metrics["sst/accuracy"] == 0.5
    assert found.n_evaluations == 2
    assert found.data_sha256 == SHA
    assert parse(found.config) == samples.CONFIG
    assert read_experiment(store[0], "large") is None
    assert read_experiment(f"sqlite:///{store[1]}/nowhere.db", "small") is None
    assert not (store[1] / "nowhere.db").exists()


@settings(max_examples=10, deadline=None)
@given(name=st.sampled_from(available()), seed=st.integers(0, 2**32))
def test_parameters_of_mlflow_are_the_configuration(name: str, seed: int) -> None:
    space = load(name, "laptop")
    drawn = space.config(space.draw(random.Random(seed)))
    runs = [{"params": flatten(drawn.to_dict()), "metrics": {}, "tags": {}}]
    assert parse(from_experiment("x", runs).trials[0].config) == drawn


def test_wrong_input(tmp_path: Path, store: tuple[str, Path]) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as found:
        warm_start.read_all(("nihgt", "empty"), tmp_path, store[0])
    first, second = found.value.problems
    assert first.startswith(f"--warm-start nihgt: neither a run in {tmp_path} nor an MLflow experiment of sqlite:///")
    assert "no finished runs there" in first
    assert second.startswith("--warm-start empty: ")
    assert "results.json does not exist" in second


def test_a_plan_says_what_is_wrong(tmp_path: Path) -> None:
    options = parse_arguments(["--runs-dir", str(tmp_path), "--warm-start", "gone", "--profile", "laptop", "--data", "demo"])
    assert options.warm_start == ("gone",)
    with pytest.raises(ConfigError, match="--warm-start gone: neither a run"):
        plan.make(options, has_gpu=False)
    with pytest.raises(ConfigError, match="a grid tries every point anyway"):
        plan.make(Options(space="paper_table1", warm_start=("gone",), runs_dir=str(tmp_path)), has_gpu=False)
    with pytest.raises(ConfigError, match="leave out --warm-start"):
        parse_arguments(["--resume", "night", "--warm-start", "gone"])
