"""Importance: parameters with an effect stand out, those without do not, and too few trials give no weights."""

from __future__ import annotations

import random
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection

from model.config import ConfigError
from tests.support.stored_study import opened, play
from tuner.study.importance import FEWEST, importance, read_importance

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-5, 1e-3, log=True),
    "mixture": CategoricalDistribution(["a", "b", "c"]),
    "ratio": FloatDistribution(0.0, 1.0),
    "dropout": FloatDistribution(0.0, 1.0),
}


def trials(n: int, seed: int = 0) -> list[optuna.trial.FrozenTrial]:
    """The score is the mixture's and, within b, the ratio's, which only b has; lr and dropout do nothing."""
    rng = random.Random(seed)
    study = optuna.create_study(direction="maximize")
    for _ in range(n):
        picks = {"lr": 10 ** rng.uniform(-5, -3), "mixture": rng.choice("abc"), "dropout": rng.random()}
        score = {"a": 0.0, "b": 1.0, "c": 0.1}[picks["mixture"]] + rng.gauss(0, 0.05)
        if picks["mixture"] == "b":
            picks["ratio"] = rng.random()
            score -= 2 * abs(picks["ratio"] - 0.5)
        study.add_trial(
            optuna.trial.create_trial(params=picks, distributions={name: SPACE[name] for name in picks}, value=score)
        )
    return study.trials


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.slow
def test_parameters_with_an_effect_stand_out_also_under_a_condition() -> None:
    found = {weight.name: weight for weight in importance(trials(100), StudyDirection.MAXIMIZE).weights}
    assert found["mixture"].stands_out
    assert found["ratio"].share > found["dropout"].share
    assert not found["lr"].stands_out
    assert not found["dropout"].stands_out
    assert sum(weight.share for weight in found.values()) == pytest.approx(1)
    assert all(0 <= weight.low <= weight.high <= 1 for weight in found.values())


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rough intervals that are computed quickly."""
    monkeypatch.setattr("tuner.study.importance.RESAMPLES", 20)


@pytest.mark.usefixtures("few_resamples")
def test_the_direction_matters() -> None:
    given = trials(30)
    best, worst = (importance(given, direction).weights for direction in (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE))
    assert best != worst


@pytest.mark.usefixtures("few_resamples")
def test_it_is_the_same_each_time() -> None:
    given = trials(20)
    assert importance(given, StudyDirection.MAXIMIZE, seed=3) == importance(given, StudyDirection.MAXIMIZE, seed=3)


@pytest.mark.usefixtures("few_resamples")
def test_more_trials_make_narrower_intervals() -> None:
    few, many = (
        {weight.name: weight for weight in importance(trials(n), StudyDirection.MAXIMIZE).weights}["mixture"] for n in (30, 200)
    )
    assert many.high - many.low < few.high - few.low


def test_too_few_trials_give_no_weights() -> None:
    found = importance(trials(FEWEST - 1), StudyDirection.MAXIMIZE)
    assert (found.weights, found.n_trials, found.n_needed) == ((), FEWEST - 1, FEWEST)
    assert importance([], StudyDirection.MAXIMIZE).n_trials == 0


def test_a_study_on_disk_is_read_without_changing_it(tmp_path: Path) -> None:
    storage = f"journal:{tmp_path / 'journal'}"
    study = opened(tmp_path, storage)
    play(study, 0.5)
    before = (tmp_path / "journal").read_bytes()
    assert read_importance(storage, "study").n_trials == 1
    assert (tmp_path / "journal").read_bytes() == before
    with pytest.raises(ConfigError, match="there is no study night"):
        read_importance(storage, "night")
