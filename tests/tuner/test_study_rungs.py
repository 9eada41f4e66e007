"""Trials at equal compute: the definition against lists made by hand, and the verdicts that follow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.config import ConfigError, SmartConfig
from model.cost import cost_in_plain_steps
from model.evaluation import Evaluation
from tuner.objective import Objective
from tuner.space import load
from tuner.study import PRUNERS, Study, Verdict
from tuner.study.rungs import score_within, scores_at

N = 8
PLAIN = cost_in_plain_steps(SmartConfig(enabled=False))
DEAR = cost_in_plain_steps(SmartConfig(steps=3, mu=0.0))


def curve(cost: float, *scores: float) -> list[tuple[float, float]]:
    """A trial whose every evaluation comes after `cost` of compute."""
    return [(cost * index, score) for index, score in enumerate(scores, start=1)]


def test_k_3_costs_four_plain_steps() -> None:
    assert (PLAIN, DEAR) == (1.0, 4.0)


def test_a_dear_trial_meets_the_cheap_ones_at_four_times_the_index() -> None:
    cheap = curve(PLAIN, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    assert scores_at(cheap, [4.0, 8.0], is_complete=True) == {1: 0.4, 2: 0.8}
    assert scores_at(cheap, [4.0, 8.0, 12.0], is_complete=True) == {1: 0.4, 2: 0.8, 3: 0.8}  # it needs no more
    assert scores_at(cheap, [4.0, 8.0, 12.0], is_complete=False) == {1: 0.4, 2: 0.8}  # it never had 12


def test_a_cheap_trial_meets_a_dear_one_at_what_it_had_before() -> None:
    dear = curve(DEAR, 0.3, 0.7)
    assert scores_at(dear, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], is_complete=False) == {
        4: 0.3, 5: 0.3, 6: 0.3, 7: 0.3, 8: 0.7,
    }  # fmt: skip
    assert scores_at(dear[:1], [4.0, 5.0], is_complete=False) == {1: 0.3}  # whether it spent 5 is not known yet


def test_mixtures_of_different_token_counts() -> None:
    """sst alone has 20 tokens an example, sst with cfimdb 60: at equal examples one spends a third."""
    short, long = curve(20 * 32, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), curve(60 * 32, 0.5, 0.9)
    assert scores_at(short, [spent for spent, _ in long], is_complete=True) == {1: 0.3, 2: 0.6}
    assert scores_at(long, [spent for spent, _ in short], is_complete=True) == {3: 0.5, 4: 0.5, 5: 0.5, 6: 0.9}


def test_computes_that_differ_by_rounding_are_equal() -> None:
    """1500 examples in batches of 16 and of 32: evaluations after 752 and 736 of them, after 144 and 128."""
    assert score_within([(752.0, 0.5)], 736.0, is_complete=False) == 0.5
    assert score_within([(736.0, 0.5)], 752.0, is_complete=False) == 0.5
    assert score_within([(144.0, 0.5)], 128.0, is_complete=False) is None
    assert score_within([(3.0, 0.5)], 8 / 3, is_complete=False) is None  # K = 1 with a teacher and without


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10), st.floats(0.1, 1e6), st.booleans())
def test_at_equal_cost_evaluations_meet_by_index(scores: list[float], cost: float, is_complete: bool) -> None:
    own = curve(cost, *scores)
    assert scores_at(own, [spent for spent, _ in own], is_complete=is_complete) == dict(enumerate(scores, start=1))


@given(
    st.lists(st.tuples(st.floats(0.1, 9.0), st.floats(0, 1)), min_size=1, max_size=10),
    st.floats(0.1, 50.0), st.booleans(),
)  # fmt: skip
def test_never_what_was_reached_later(steps: list[tuple[float, float]], compute: float, is_complete: bool) -> None:
    spent, trial = 0.0, []
    for step, score in steps:
        spent += step
        trial.append((spent, score))
    value = score_within(trial, compute, is_complete=is_complete)
    early = [score for spent, score in trial if spent <= 1.05 * compute]
    assert value in (None, *early[-1:])
    if early and is_complete:
        assert value == early[-1]


SPACE = "name: x\nfixed: {mixture: [sst]}\nsearch:\n  optim.lr: {float: [1.0e-5, 1.0e-3], log: true}\n"


def open_study(folder: Path, **changes: Any) -> Study:
    (folder / "x.yaml").write_text(SPACE, encoding="utf-8")
    options: dict[str, Any] = {"sampler": "random", "pruner": "median", "seed": 0, "n_trials": 50, "n_evaluations": N} | changes
    storage = f"journal:{folder}/{options['pruner']}-{options.get('rung_resource')}.journal"
    return Study.open(storage, "x", load(folder / "x.yaml"), Objective("sst/accuracy"), **options)


def evaluation(index: int, score: float, cost: float) -> Evaluation:
    counts = (index, N, index, N, index * 32)
    return Evaluation(*counts, {"sst/accuracy": score}, {}, float(index), compute=cost * index)


def begin(study: Study) -> int:
    asked = study.ask()
    assert asked is not None
    return asked.number


def train(study: Study, cost: float, scores: list[float], number: int | None = None) -> int:
    """Report until the trial is over; returns after how many evaluations it was."""
    number = begin(study) if number is None else number
    for index, score in enumerate(scores, start=1):
        if study.report(number, evaluation(index, score, cost)) is Verdict.PRUNE:
            return index
    study.complete(number)
    return len(scores)


def rising(top: float) -> list[float]:
    return [top * index / N for index in range(1, N + 1)]


@pytest.mark.parametrize(("resource", "expected"), [("steps", 8), ("compute", 2)])
def test_k_3_must_be_better_than_what_plain_steps_reach_with_its_compute(tmp_path: Path, resource: str, expected: int) -> None:
    """Ahead evaluation by evaluation (0.21 against 0.2 at the second), far behind at equal compute (against 0.8)."""
    study = open_study(tmp_path, rung_resource=resource)
    for _ in range(8):
        assert train(study, PLAIN, rising(0.8)) == N
    assert train(study, DEAR, rising(0.84)) == expected


@pytest.mark.parametrize(("resource", "expected"), [("steps", 2), ("compute", 8)])
def test_a_cheap_trial_is_not_compared_with_what_dear_ones_reached_with_four_times_its_compute(
    tmp_path: Path, resource: str, expected: int
) -> None:
    study = open_study(tmp_path, rung_resource=resource)
    for _ in range(8):
        assert train(study, DEAR, rising(0.8)) == N
    assert train(study, PLAIN, rising(0.5)) == expected  # 0.25 at compute 4, where the dear ones had 0.1


def test_halving_compares_at_equal_compute_too(tmp_path: Path) -> None:
    """Eight plain trials; a dear one that beats them by index halves with their scores at its compute, and ends."""
    verdicts = {}
    for resource in ("steps", "compute"):
        study = open_study(tmp_path, pruner="asha", rung_resource=resource)
        for _ in range(8):
            train(study, PLAIN, rising(0.8))
        verdicts[resource] = train(study, DEAR, rising(0.84))
    assert verdicts == {"steps": 8, "compute": 1}  # the first halving of eight evaluations is at the first


@pytest.mark.parametrize("pruner", PRUNERS)
def test_a_resumed_and_a_retried_trial_are_judged_as_one_that_ran_through(tmp_path: Path, pruner: str) -> None:
    """In the middle the driver is gone, and the trial repeats what it had reported since its checkpoint."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    through, broken = open_study(tmp_path / "a", pruner=pruner), open_study(tmp_path / "b", pruner=pruner)
    for study in (through, broken):
        for top in (0.4, 0.8, 0.6, 0.7, 0.5, 0.9):
            train(study, PLAIN, rising(top))
    scores = [0.3, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7]
    expected = train(through, 2.0, scores)
    number = begin(broken)
    reported = [broken.report(number, evaluation(index, scores[index - 1], 2.0)) for index in (1, 2, 3)]
    if Verdict.PRUNE in reported:
        assert reported.index(Verdict.PRUNE) + 1 == expected
        return
    again = open_study(tmp_path / "b", pruner=pruner)
    assert again.report(number, evaluation(3, 0.01, 2.0)) is Verdict.CONTINUE  # told before: nothing changes
    assert train(again, 2.0, scores, number) == expected
    assert [record.evaluations for record in again.records()] == [record.evaluations for record in through.records()]
    assert [record.state for record in again.records()] == [record.state for record in through.records()]


def test_what_is_stored_is_each_trial_by_its_own_index(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    train(study, PLAIN, rising(0.8))
    train(study, DEAR, rising(0.9))
    assert [list(trial.intermediate_values) for trial in study._study.trials] == [list(range(1, N + 1))] * 2
    assert [found["compute"] for found in study.record(1).evaluations] == [4.0 * index for index in range(1, N + 1)]


def test_another_resource_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown rung resource step \(did you mean steps\?\); .* are compute, steps"):
        open_study(tmp_path, rung_resource="step")
