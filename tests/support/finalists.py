"""Finalists and their trainings, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from model.config import TrialConfig, parse
from tuner.config.requirements import Requirements
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import Finalist, Training
from tuner.search.confirmation.outcome import FinalistResult, Outcome, outcome
from tuner.search.confirmation.statistics import Dev, Goal

NONE = Requirements()


def config(lr: float, seed: int = 0) -> TrialConfig:
    return parse({"mixture": ["sst"], "optim": {"lr": lr}, "smart": {"enabled": False}, "seed": seed})


def trial(number: int, lr: float, score: float | None, state: str = "COMPLETE", **changes: Any) -> TrialRecord:
    values = {"scores": {} if score is None else {"sst/accuracy": score}, "seed": 0} | changes
    seed = values.pop("seed")
    metrics = {} if score is None else {"sst/accuracy": score}
    found = TrialRecord(number, "COMPLETE", score, metrics, [], config(lr, seed).to_dict(), 8.0, None)
    return replace(found, state=state, **values)


LABELS = np.zeros(200)


def tried(
    name: str, scores: list[float | None], *, right: float = 0.5, compute: float = 100.0, search: float = 0.9, **excess: float
) -> FinalistResult:
    """A finalist with a score on select per seed, None where it failed, of whose dev predictions a share is right."""
    is_default = name == "default"
    lr = 2e-5 if is_default else (2 + int(name)) * 1e-5
    found = None if is_default else trial(int(name), lr, search)
    finalist = Finalist(config(lr), found, is_default)
    records, dev = [], {}
    for training, score in zip(finalist.trainings([11, 12, 13][: len(scores)]), scores, strict=True):
        record = record_of(training, score, compute)
        records.append(replace(record, requirements={key.replace("_", "/"): value for key, value in excess.items()}))
        dev[training.number] = Dev({"sst": (np.arange(200) >= right * 200).astype(float)}, {"sst": LABELS})
    there = frozenset(record.number for record in records if record.state == "COMPLETE")
    return FinalistResult(finalist, records, {number: dev[number] for number in there}, there)


def record_of(training: Training, score: float | None, compute: float) -> TrialRecord:
    if score is None:
        return TrialRecord(training.number, "FAIL", None, {}, [], training.config.to_dict(), 1.0, "sst/loss became nan")
    looks = [{"compute": compute, "score": score}]
    return TrialRecord(training.number, "COMPLETE", score, {"sst/accuracy": score}, looks, training.config.to_dict(), 1.0, None)


def come_to(*finalists: FinalistResult, requirements: Requirements = NONE) -> Outcome:
    goal = Goal("sst/accuracy", ())
    return outcome(
        finalists, n_finalists=2, seeds=[11, 12], goal=goal, requirements=requirements, seed=0, notes=["a note"]
    )  # fmt: skip
