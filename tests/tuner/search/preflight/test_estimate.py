"""Estimates against arithmetic done by hand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from model.config import parse
from model.training.trial import Training
from tests.support import tiny
from tests.support.estimate_summary import SUMMARY
from tuner.search.preflight import estimate


def test_loop_to_max_sees_every_task_each_step() -> None:
    trial = parse({"mixture": ["sst", "sts"], "optim": {"batch_size": 10}, "budget": {"epochs": 2}})
    assert estimate.training_examples(trial, SUMMARY) == {"sst": 600.0, "sts": 600.0}


def test_drawn_tasks_are_seen_in_expectation() -> None:
    trial = parse(
        {
            "mixture": ["sst", "sts"],
            "mixing": {"strategy": "proportional"},
            "optim": {"batch_size": 10},
            "budget": {"examples": 400},
        }
    )
    assert estimate.training_examples(trial, SUMMARY) == pytest.approx({"sst": 100.0, "sts": 300.0})


def test_early_evaluations_look_at_a_part() -> None:
    trial = parse({"mixture": ["sst", "sts"], "budget": {"epochs": 1, "evaluations": 4, "early_eval_examples": 20}})
    assert estimate.evaluated_examples(trial, SUMMARY) == {"sst": 4 * 10.0, "sts": 3 * 20 + 30.0}


def test_operations_of_a_smart_trial() -> None:
    budget = {"examples": 400, "evaluations": 1}
    plain = parse({"mixture": ["sst"], "smart": {"enabled": False}, "optim": {"batch_size": 10}, "budget": budget})
    smart = parse({"mixture": ["sst"], "smart": {"steps": 1, "mu": 1.0}, "optim": {"batch_size": 10}, "budget": budget})
    tokens = 2 + 1.3 * 10
    assert estimate.flops(plain, SUMMARY, 1_000) == pytest.approx(1_000 * tokens * (6 * 400 + 2 * 10))
    assert estimate.flops(smart, SUMMARY, 1_000) == pytest.approx(1_000 * tokens * (6 * 400 * 3 + 2 * 10))


def test_parameters_of_the_embedded_backbone() -> None:
    """all-MiniLM-L6-v2: 6 layers of 4·384² + 2·384·1536."""
    assert estimate.layer_parameters("embedded") == 6 * (4 * 384**2 + 2 * 384 * 1536)


def test_a_checkpoint_is_about_as_large_as_is_said(tmp_path: Path) -> None:
    backbone = tiny.write_backbone(tmp_path / "tiny")
    with closing(Training(tiny.config(backbone, smart={"mu": 1.0}), tiny.data())) as training:
        training.advance()
        (tmp_path / "saved").mkdir()
        training.save(tmp_path / "saved")
    there = sum(path.stat().st_size for path in (tmp_path / "saved").rglob("*") if path.is_file())
    assert estimate.checkpoint_bytes(str(backbone)) == pytest.approx(there, rel=0.03)


def test_a_backbone_elsewhere_is_not_guessed() -> None:
    assert estimate.layer_parameters("bert-base-uncased") is None
    assert estimate.checkpoint_bytes("bert-base-uncased") is None
