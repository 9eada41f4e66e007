"""Generated searches as they leave results.json and timeline.jsonl: what the tests of the report are fed with.

Configurations are drawn from `smart_mtl`; curves, health and times are made up by simple laws, seeded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.canonical import canonical
from model.config import ConfigError, parse
from model.tasks import TASKS
from tests.support import samples
from tuner import space
from tuner.results.pareto import best_of, front_of
from tuner.results.results_json import trial_entry
from tuner.results.trial_record import TrialRecord

ROWS = {
    "sst": {"train": 7240, "select": 804, "dev": 1101},
    "quora": {"train": 14591, "select": 1621, "dev": 2000},
    "sts": {"train": 5076, "select": 564, "dev": 863},
    "cfimdb": {"train": 1401, "select": 156, "dev": 245},
}
BASE = {"sst": 0.42, "quora": 0.74, "sts": 0.80, "cfimdb": 0.88}
EPOCH = 1_767_225_600.0
"""When the generated searches begin, seconds since 1970."""
METRIC = "mean over the trial's own tasks"
N_EVALUATIONS = 10
ENVIRONMENT = {
    "versions": {"python": "3.11.2", "torch": "2.13.0", "deepspeed": "0.19.3", "ray": "2.60.0", "optuna": "5.0.0"},
    "hardware": {"platform": "Linux", "cpu": "A CPU", "cpus": 16, "memory_gib": 128.0, "gpus": []},
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "command": "/somewhere/tuner/search.py --data corpus --trials 40",
}


def records(n: int, seed: int = 0, states: Sequence[str] = ("COMPLETE", "COMPLETE", "PRUNED")) -> list[TrialRecord]:
    """`n` trials whose states are drawn from `states`; each COMPLETE one is better for a rate near 1e-4 and for SMART."""
    rng = random.Random(seed)
    searched = space.load("smart_mtl", "laptop").fix({"seed": seed})
    found: list[TrialRecord] = []
    while len(found) < n:
        picks = searched.draw(rng)
        try:
            config = canonical(parse(searched.values(picks))).to_dict()
        except ConfigError:
            continue
        found.append(_record(len(found), picks, config, rng.choice(states), rng))
    return found


def _record(number: int, picks: dict[str, Any], config: dict[str, Any], state: str, rng: random.Random) -> TrialRecord:
    made = {"FAIL": rng.randrange(3), "PRUNED": rng.randint(1, N_EVALUATIONS - 1), "PAUSED": 2}.get(state, N_EVALUATIONS)
    smart = config["smart"]["enabled"]
    luck = rng.gauss(0, 0.01) + 0.02 * smart - 0.03 * abs(math.log10(config["optim"]["lr"]) + 4)
    pace = rng.uniform(4, 6) * (2.4 if smart else 1.0)
    looks = [_look(i, config, luck - 0.06 * (state == "PRUNED"), pace, rng) for i in range(1, made + 1)]
    last = looks[-1] if looks else None
    reason = {
        "PRUNED": f"pruned by median at evaluation {made} of {N_EVALUATIONS}, score 0.5",
        "FAIL": f"the loss became NaN at step {rng.randrange(90)}",
    }.get(state)
    score = last["score"] if last and state != "FAIL" else None
    return TrialRecord(
        number=number,
        state=state,  # type: ignore[arg-type]
        score=score,
        metrics=last["metrics"] if last else {},
        evaluations=looks,
        config=config,
        seconds=last["seconds"] if last else 0.0,
        reason=reason,
        scores={} if score is None else {"mean": score},
        params=picks,
    )


def _look(index: int, config: dict[str, Any], luck: float, pace: float, rng: random.Random) -> dict[str, Any]:
    """An evaluation as the study keeps it."""
    learned = 1 - math.exp(-index / 3)
    metrics = {
        TASKS[task].metric: BASE[task] * (0.55 + 0.45 * learned) + luck * learned + rng.gauss(0, 0.006)
        for task in config["mixture"]
    }
    health = {}
    if config["smart"]["enabled"]:
        for task in config["mixture"]:
            health |= {
                f"{task}/delta_inf": 1.0,
                f"{task}/saturated": min(1.0, 0.3 + 0.06 * index + rng.gauss(0, 0.02)),
                f"{task}/cos_delta_gradient": 0.4 + rng.gauss(0, 0.05),
                f"{task}/gain_over_random": 4 + rng.gauss(0, 0.6),
                f"{task}/rounded_away": abs(rng.gauss(0, 0.02)),
                f"{task}/lambda": config["smart"]["lambda"],
            }
        health["smart/time_share"] = 0.55 + rng.gauss(0, 0.02)
    losses = {f"{task}/loss": 1.2 - 0.5 * learned for task in config["mixture"]}
    if config["smart"]["enabled"]:
        losses |= {f"{task}/smoothness": 0.02 for task in config["mixture"]}
    return {
        "index": index,
        "n_evaluations": N_EVALUATIONS,
        "step": 9 * index,
        "n_steps": 90,
        "examples": 150 * index,
        "score": sum(metrics.values()) / len(metrics),
        "metrics": metrics,
        "losses": losses,
        "health": health,
        "compute": 3000.0 * index,
        "seconds": pace * index,
        "evaluation_s": 0.3 * pace,
    }


def results(found: Sequence[TrialRecord], folder: Path, **changes: Any) -> dict[str, Any]:
    """results.json of a finished search of these trials; `changes` are keys of it, or facts, data and champion's own below."""
    facts = samples.facts(
        folder, **{"data_source": "corpus", "n_trials": len(found), "metric": METRIC} | changes.pop("facts", {})
    )
    champion = best_of(found)
    made = samples.results(
        facts,
        list(found),
        champion,
        rows=ROWS,
        environment=ENVIRONMENT,
        front=front_of(found) if changes.pop("has_front", False) else (),
    )
    if made["champion"]:
        made["champion"]["dev"] = {name: value - 0.012 for name, value in made["champion"]["metrics"].items()}
    return made | {"consistency": []} | changes


def running(record: TrialRecord) -> dict[str, Any]:
    """A trial's entry as it stands while the trial trains."""
    return trial_entry(record) | {"state": "RUNNING", "reason": None}


def events(found: Sequence[TrialRecord], n_slots: int = 2, setup_s: float = 1.0) -> list[dict[str, Any]]:
    """A timeline of one session in which each slot runs the next trial as soon as it is free; nodes alternate."""
    free = [EPOCH + 5.0] * n_slots
    told: list[dict[str, Any]] = []
    for record in found:
        slot = free.index(min(free))
        at, node = free[slot], f"node-{slot % 2}"
        began = at + setup_s
        told += [
            {"event": "asked", "at": at, "trial": record.number},
            {"event": "started", "at": began, "trial": record.number},
        ]
        for look in record.evaluations:
            if look["index"] == 1:
                told.append({"event": "placed", "at": began + look["seconds"], "trial": record.number, "node": node})
            told.append(
                {"event": "evaluated", "at": began + look["seconds"], "trial": record.number, "index": look["index"]}
                | {"seconds": look["seconds"], "evaluation_s": look["evaluation_s"]}
            )
        ended = began + (record.evaluations[-1]["seconds"] if record.evaluations else 0.5) + 0.2
        told.append({"event": "finished", "at": ended, "trial": record.number, "state": record.state})
        free[slot] = ended
    shape = {"n_workers": 1, "cpus_per_worker": 2, "gpus_per_worker": 0.0}
    first = {"event": "began", "at": EPOCH, "n_trials": len(found), "n_slots": n_slots, "shape": shape}
    return [first, *sorted(told, key=lambda event: event["at"]), {"event": "ended", "at": max(free) + 4.0}]
