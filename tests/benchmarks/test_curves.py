"""Searches on recorded curves: what a proposal is answered with, random search in closed form, equal time, wrong input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from benchmarks import curve_policies, curves, policies
from benchmarks.curves import Answers, RecordedConfig, RecordedWorld
from benchmarks.equal_time import Setting, measure, random_search, random_trial_regret
from tuner.commands.simulate.clock import Ended, Log, World, play
from tuner.study import PRUNERS, SAMPLERS

HOUR = 3600.0
DEFAULT = {"budget.epochs": 2, "optim.batch_size": 32, "optim.lr": 2e-4, "optim.warmup": 0.1, "optim.dropout": 0.1}
COLUMNS = ["budget.epochs", "optim.batch_size", "optim.lr", "optim.warmup", "optim.dropout"]


@pytest.fixture(scope="module", autouse=True)
def without_variants_afterwards() -> Iterator[None]:
    """The variants of samplers and pruners are for this module alone."""
    usual = dict(PRUNERS), dict(SAMPLERS)
    yield
    for registry, before in zip((PRUNERS, SAMPLERS), usual, strict=True):
        registry.clear()
        registry.update(before)


def write(folder: Path, finals: Sequence[float], n_scores: Sequence[int] | None = None) -> RecordedWorld:
    """A set with these final scores and rates 1e-5, 1e-4, …; of `n_scores` evaluations the rest is empty."""
    lines = [",".join([*COLUMNS, *(f"score{index}" for index in range(1, 11))])]
    for place, final in enumerate(finals):
        n = 10 if n_scores is None else n_scores[place]
        scores = [f"{final * index / 10:g}" if index <= n else "" for index in range(1, 11)]
        lines.append(",".join(["2", "32", f"1e-{5 - place}", "0.1", "0.1", *scores]))
    (folder / curves.SETS["deberta"].file).write_text("\n".join(lines), encoding="utf-8")
    return curves.load(folder, "deberta")


def test_a_recorded_configuration_is_answered_with_its_own_curve(tmp_path: Path) -> None:
    world = write(tmp_path, [0.9, 0.6, 0.3])
    for trial in world.trials:
        scores = [evaluation.metrics[curves.METRIC] for evaluation in Answers(world).course(trial.config).evaluations]
        assert scores == list(trial.scores)
    assert world.nearest(rate(world, 2e-4)) == 1


def test_a_recorded_trial_answers_one_proposal_of_a_search(tmp_path: Path) -> None:
    world = write(tmp_path, [0.9, 0.6, 0.3])
    answers, reusing = Answers(world), Answers(world, has_reuse=True)
    rates = (2e-4, 2.1e-4, 2e-4)
    assert [answers.course(rate(world, lr)).true_score for lr in rates] == [0.6, 0.3, 0.6]
    assert [reusing.course(rate(world, lr)).true_score for lr in rates] == [0.6, 0.6, 0.6]


def rate(world: RecordedWorld, lr: float) -> RecordedConfig:
    """The settings of all trials with another rate."""
    return RecordedConfig({**world.trials[1].config.values, "optim.lr": lr})


def test_a_trial_that_diverges_ends_at_its_first_empty_score(tmp_path: Path) -> None:
    trial = write(tmp_path, [0.9, 0.6], n_scores=[10, 4]).trials[1]
    assert math.isnan(trial.score)
    assert trial.duration_s == pytest.approx(0.5 * HOUR)


def test_checkpoints_are_resampled_to_ten_evaluations() -> None:
    curve = curves._curve({"bleu_curve": " ".join(str(bleu) for bleu in range(1, 21))})
    assert curve == pytest.approx([bleu / 100 for bleu in range(2, 21, 2)])


def test_random_search_on_three_trials_is_as_computed_by_hand(tmp_path: Path) -> None:
    world = write(tmp_path, [0.9, 0.6, 0.3])
    # Three trials of an hour, one after another: P(best of n is 0.9, 0.6, 0.3) = 1/3 each, 5/9 3/9 1/9, 19/27 7/27 1/27.
    of_one, of_two, of_three = 0.3, 0.9 - (5 * 0.9 + 3 * 0.6 + 0.3) / 9, 0.9 - (19 * 0.9 + 7 * 0.6 + 0.3) / 27
    expected = (of_one, of_three, (0.3 + of_one + of_two) / 3, (1 + 2 / 3 + 4 / 9) * HOUR)
    assert random_search(world, Setting(3, 1)) == pytest.approx(expected)


def test_random_search_with_two_slots_has_twice_the_trials_at_once(tmp_path: Path) -> None:
    world = write(tmp_path, [0.9, 0.6, 0.3])
    of_two, of_four = 0.9 - (5 * 0.9 + 3 * 0.6 + 0.3) / 9, 0.9 - (65 * 0.9 + 15 * 0.6 + 0.3) / 81
    _, at_end, anytime, _ = random_search(world, Setting(4, 2))
    assert (at_end, anytime) == pytest.approx((of_four, (0.3 + of_two) / 2))


def test_measures_of_a_search_by_hand(tmp_path: Path) -> None:
    world = write(tmp_path, [0.9, 0.6, 0.3])
    log = Log(ended=[Ended(1 * HOUR, 0.6, 0.6), Ended(2 * HOUR, 0.3, 0.3), Ended(3 * HOUR, 0.9, 0.9)])
    assert random_trial_regret(world) == pytest.approx(0.3)
    assert measure(log, world, 4 * HOUR).values == pytest.approx((0.3, 0.0, (3 * 0.3 + 0.0) / 4, 3 * HOUR))


@pytest.mark.parametrize("name", ["random+none", "tpe+asha"])
def test_every_policy_has_the_same_time(tmp_path: Path, name: str) -> None:
    world, setting = write(tmp_path, [0.9, 0.6, 0.3]), Setting(6, 2)
    policy = curve_policies.parse(name)
    answers = cast(World, Answers(world))
    log = play(policy.open(world, 0, 2), answers, setting.n_slots, policy.charges, setting.horizon_s)
    assert setting.horizon_s == 3 * HOUR
    assert log.end_s == setting.horizon_s
    assert log.n_cut == 2
    assert len(log.ended) > 2  # more than it would ask for by itself


def test_the_default_is_tried_first_where_the_policy_says_so(tmp_path: Path) -> None:
    world = replace(write(tmp_path, [0.9, 0.6, 0.3]), default=DEFAULT)
    for name, is_default in (("random+none,default", True), ("random+none", False)):
        asked = curve_policies.parse(name).open(world, 0, 2).ask()
        assert asked is not None
        assert (asked.config.to_dict() == DEFAULT) is is_default


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--curves", "{folder}/none"], "there is no folder"),
        (["--curves", "{folder}"], "cannot read"),
        (["--curves", "{folder}", "tpe+medium"], "unknown pruner medium"),
        (["--curves", "{folder}", "tpe+asha,defaults"], "unknown option defaults"),
        (["--curves", "{folder}", "--jobs", "0"], "--jobs 0: give 1 or more"),
        (["desktop", "tpe+median"], "give laptop or cluster"),
    ],
)
def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert policies.main([argument.format(folder=tmp_path) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
