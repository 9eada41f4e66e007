"""Generated runs of every kind that a report must tell of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from model.tasks import TASKS
from tests.support.finalists import come_to, tried
from tests.support.report_runs import BASE, events, records, results
from tuner.report.gather import Run
from tuner.results.pareto import best_of
from tuner.results.results_json import trial_entry
from tuner.results.trial_record import TrialRecord
from tuner.study.importance import FEWEST, Importance, Weight


def run_of(found: Sequence[TrialRecord], **changes: Any) -> Run:
    """A run of these trials as a report is made from it, with its timeline and its MLflow runs."""
    made = results(found, Path("/somewhere/runs/night"), **changes)
    page = "http://127.0.0.1:5000/#/experiments/1/runs"
    links = {record.number: (f"{record.number:032x}", f"{page}/{record.number}") for record in found}
    return Run(
        results=made,
        stage="finished",
        trials=made["trials"],
        events=events(found),
        importance=_weights(found),
        links=links,
        command="python -m tuner.search --data corpus --trials 40",
        written="2026-01-02T03:04:05+00:00",
    )


def _weights(found: Sequence[TrialRecord]) -> Importance:
    """Made up: the names' order."""
    names = sorted({name for record in found for name in record.params})
    n = len([record for record in found if record.state == "COMPLETE"])
    if n < FEWEST:
        return Importance((), n)
    total = sum(1 / (2 + i) for i in range(len(names)))
    shares = [1 / (2 + i) / total for i in range(len(names))]
    weights = [Weight(name, own, own / 2, min(1.0, own * 1.4), 0.06) for name, own in zip(names, shares, strict=True)]
    return Importance(tuple(weights), n)


HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202eevil"
"""A name, a reason or a folder of somebody who means harm."""


def _empty() -> Run:
    return replace(run_of([]), events=(), importance=None, importance_note="there is no study", links={})


def _one() -> Run:
    return run_of(records(1, seed=1, states=("COMPLETE",)))


def _several() -> Run:
    return run_of(records(40, seed=2, states=("COMPLETE", "COMPLETE", "COMPLETE", "PRUNED", "FAIL")))


def _many() -> Run:
    return run_of(records(500, seed=3))


def _failed() -> Run:
    return run_of(records(5, seed=4, states=("FAIL",)))


def _goals() -> Run:
    both = ("clean/cfimdb/accuracy", "cue_gap/cfimdb/accuracy")
    found = [
        replace(one, scores=dict(zip(both, (one.score, 0.3 - one.score / 3), strict=True))) if one.score is not None else one
        for one in records(30, seed=5)
    ]
    return run_of(found, has_front=True)


def _requirements() -> Run:
    required = "quora/accuracy>=0.99"
    found = [
        replace(one, requirements={required: 0.99 - one.metrics.get("quora/accuracy", 0.0)}) if one.score is not None else one
        for one in records(25, seed=6)
    ]
    return run_of(found, requirements=[required])


def _controls() -> Run:
    controls = {
        task: {"metric": TASKS[task].metric, "value": BASE[task], "cached": task == "sts", "config": {}}
        for task in ("sst", "quora", "sts")
    }
    return run_of(records(40, seed=7), controls=controls, requirements=["no-negative-transfer:0.01"])


def _confirmed() -> Run:
    found = records(25, seed=8)
    best = best_of(found)
    assert best is not None and best.score is not None
    trainings = [{"number": 100 + i, "seed": i, "state": "COMPLETE", "score": best.score - 0.012} for i in range(3)]
    finalist: dict[str, Any] = {"rank": 1, "name": f"trial {best.number}", "trial": best.number, "is_default": False}
    finalist |= {"search_score": best.score, "mean": best.score - 0.012, "sd": 0.004, "bound": best.score - 0.02}
    finalist |= {"optimism": 0.012, "cost": 1.0, "dev": {"score": {"mean": 0.6, "sd": 0.01}}, "trainings": trainings}
    unknown = ("rank", "trial", "search_score", "mean", "sd", "bound", "optimism", "cost", "dev")
    default = dict.fromkeys(unknown) | {"name": "default", "is_default": True, "trainings": [], "requirements": {}}
    against = {"against": "default", "finalist": "default", "difference": 0.003, "low": -0.002, "high": 0.008}
    against["probability_better"] = 0.87
    told: dict[str, Any] = {
        "n_finalists": 2,
        "seeds": [1, 2, 3],
        "confidence": 0.95,
        "pooled_sd": None,
        "metric_on_dev": "mean",
    }
    told |= {"finalists": [finalist, default], "comparisons": [against], "beats_default": "undecided", "notes": []}
    own = {"seed": 2, "n_seeds": 3, "mean": best.score - 0.012, "sd": 0.004, "bound": best.score - 0.02}
    run = run_of(found, confirmation=told)
    champion = run.results["champion"] | {"confirmed": own}
    return replace(run, results=run.results | {"champion": champion})  # type: ignore[operator]


def _default_won() -> Run:
    """The champion is no trial."""
    found = come_to(tried("3", [0.70, 0.72], search=0.8), tried("default", [0.75, 0.76]))
    assert found.champion is not None
    return run_of(
        records(25, seed=8), confirmation=found.confirmation, champion=found.champion | {"path": "/somewhere/champion"}
    )


def _paused() -> Run:
    """Interrupted while some of its trials wait for their promotion."""
    found = records(20, seed=10, states=("COMPLETE", "PRUNED", "PAUSED"))
    run = run_of(found)
    return replace(run, stage="interrupted", trials=[trial_entry(one) for one in found])


def _hostile() -> Run:
    found = [
        replace(
            one,
            reason=HOSTILE if one.state != "COMPLETE" else None,
            note=HOSTILE,
            params={**one.params, HOSTILE: HOSTILE + str(one.number % 3)},
        )
        for one in records(25, seed=9)
    ]
    run = run_of(found, requirements=[HOSTILE], stopped_by=HOSTILE, consistency=[HOSTILE])
    own = {"name": HOSTILE, "space": HOSTILE, "metric": HOSTILE, "folder": HOSTILE}
    hostile = {**run.results, **own, "data": {**run.results["data"], "source": HOSTILE, "sha256": HOSTILE}}
    nodes = [{**event, "node": HOSTILE} if "node" in event else event for event in run.events]
    notes = {"importance_note": HOSTILE, "links_note": HOSTILE, "command": HOSTILE}
    return replace(run, results=hostile, events=nodes, importance=None, **notes)


SHAPES: dict[str, Callable[[], Run]] = {
    "empty": _empty,
    "one": _one,
    "several": _several,
    "many": _many,
    "failed": _failed,
    "goals": _goals,
    "requirements": _requirements,
    "controls": _controls,
    "confirmed": _confirmed,
    "default won": _default_won,
    "paused": _paused,
    "hostile": _hostile,
}
"""Runs of every kind that a report must tell of."""


@cache
def made(shape: str) -> Run:
    return SHAPES[shape]()
