"""What a confirmation came to: the order of the finalists, and the entries `confirmation` and `champion` of results.json."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuner.config.requirements import Requirements, shortfall
from tuner.results.confirmation_text import DEFAULT, NO, RUNNER_UP, UNDECIDED, YES
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.bootstrap import Comparison, Dev, Goal, compare
from tuner.search.confirmation.finalists import Finalist
from tuner.search.confirmation.lower_bound import CONFIDENCE, is_pooled, lower_bounds, pooled, spread

DIGITS = 9
"""Decimals to which bounds are compared: what differs by rounding is a tie."""


@dataclass(frozen=True)
class Tried:
    """A finalist and its trainings, by seed; those that were never begun are not there."""

    finalist: Finalist
    trainings: Sequence[TrialRecord]
    dev: Mapping[int, Dev]
    """Of the complete trainings, by number."""
    with_model: frozenset[int]
    """Trainings whose model is there."""

    @property
    def complete(self) -> list[TrialRecord]:
        return [record for record in self.trainings if record.state == "COMPLETE"]

    @property
    def scores(self) -> list[float]:
        """On select, by seed."""
        return [record.score for record in self.complete if record.score is not None]

    @property
    def is_ranked(self) -> bool:
        """Whether it was confirmed: a configuration that fails on one seed in three is not one to trust."""
        return bool(self.with_model) and all(record.state != "FAIL" for record in self.trainings)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def cost(self) -> float:
        """Mean compute of a training, in tokens of plain steps."""
        return statistics.fmean(record.evaluations[-1]["compute"] for record in self.complete)

    @property
    def optimism(self) -> float | None:
        """By how much the search's score overstates the confirmed mean; None of a default that no trial tried."""
        trial = self.finalist.trial
        return None if trial is None or trial.score is None else trial.score - self.mean

    @property
    def metrics(self) -> dict[str, float]:
        """On select, mean over seeds."""
        return means([record.metrics for record in self.complete])

    @property
    def representative(self) -> TrialRecord:
        """The training whose model is handed over: of those that miss the least of the requirements the best on select.

        Which one has no part in the ranking, and dev none in which one.
        """
        there = [record for record in self.complete if record.number in self.with_model]
        return max(there, key=lambda record: (-record.shortfall, record.score, -record.number))


def means(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By name, over those names that all have."""
    names = [name for name in each[0] if all(name in one for one in each)] if each else []
    return {name: statistics.fmean(one[name] for one in each) for name in names}


def ranked(tried: Sequence[Tried], requirements: Requirements) -> list[tuple[Tried, float | None]]:
    """The confirmed finalists, best first, with their lower bounds.

    Those whose mean misses the requirements come last, by how much they miss. Then the bound decides, or the mean where one
    seed gives none; of equals the cheaper one, then the default, then the earlier trial.
    """
    there = [one for one in tried if one.is_ranked]
    bounds = dict(zip(map(id, there), lower_bounds([one.scores for one in there]), strict=True))

    def order(one: Tried) -> tuple[float, float, float, bool, int]:
        bound = bounds[id(one)]
        missed = shortfall(requirements.excess(one.metrics))
        trial = one.finalist.trial
        decides = one.mean if bound is None else bound
        return missed, -round(decides, DIGITS), one.cost, not one.finalist.is_default, trial.number if trial else -1

    return [(one, bounds[id(one)]) for one in sorted(there, key=order)]


def compared(first: Tried, other: Tried, goal: Goal, seed: int) -> Comparison:
    """Two finalists on dev."""
    ours, theirs = ([one.dev[record.number] for record in one.complete] for one in (first, other))
    return compare(ours, theirs, goal, seed)


def beats(against: Comparison | None, *, default_won: bool) -> str | None:
    """Whether the champion is better than the untuned default on dev, beyond what the examples and seeds leave open."""
    if default_won:
        return NO
    if against is None:
        return None
    if against.low > 0:
        return YES
    return NO if against.high < 0 else UNDECIDED


@dataclass(frozen=True)
class Outcome:
    """What is told of a confirmation, and whose model is handed over."""

    told: dict[str, Any]
    """`confirmation` of results.json."""
    champion: dict[str, Any] | None
    """`champion` of results.json but for the path; None where no finalist was confirmed."""
    model: int | None
    """The training whose model that is."""


def outcome(
    tried: Sequence[Tried],
    *,
    n_finalists: int,
    seeds: Sequence[int],
    goal: Goal,
    requirements: Requirements,
    seed: int,
    notes: Sequence[str],
) -> Outcome:
    """Rank the finalists on select, then compare the first with the others on dev.

    `n_finalists` trials were asked for besides the default, `seeds` of each; `seed` is the resampling's.
    """
    order = ranked(tried, requirements)
    unranked = [one for one in tried if not one.is_ranked]
    first = order[0][0] if order else None
    against: dict[str, tuple[Tried, Comparison]] = {}
    for one, _ in order[1:]:
        roles = [RUNNER_UP] if not against else []
        roles += [DEFAULT] if one.finalist.is_default else []
        if roles and first is not None:
            comparison = compared(first, one, goal, seed)
            against |= dict.fromkeys(roles, (one, comparison))
    default = against.get(DEFAULT)
    verdict = beats(default[1] if default else None, default_won=first is not None and first.finalist.is_default)
    together = pooled([one.scores for one, _ in order])
    told = {
        "n_finalists": n_finalists,
        "seeds": list(seeds),
        "confidence": CONFIDENCE,
        "pooled_sd": together[0] if together and is_pooled([one.scores for one, _ in order]) else None,
        "metric_on_dev": goal.name,
        "finalists": [
            *(_entry(one, rank, bound, goal, requirements) for rank, (one, bound) in enumerate(order, start=1)),
            *(_entry(one, None, None, goal, requirements) for one in unranked),
        ],
        "comparisons": [
            {"against": role, "finalist": one.finalist.name, **asdict(comparison)}
            for role, (one, comparison) in against.items()
        ],
        "beats_default": verdict,
        "notes": list(notes),
    }
    if first is None:
        return Outcome(told, None, None)
    record = first.representative
    return Outcome(told, _champion(first, record, order[0][1], goal, requirements), record.number)


def _entry(one: Tried, rank: int | None, bound: float | None, goal: Goal, requirements: Requirements) -> dict[str, Any]:
    trial, is_there = one.finalist.trial, bool(one.complete)
    return {
        "rank": rank,
        "name": one.finalist.name,
        "trial": None if trial is None else trial.number,
        "is_default": one.finalist.is_default,
        "search_score": None if trial is None else trial.score,
        "mean": one.mean if is_there else None,
        "sd": spread(one.scores),
        "bound": bound,
        "optimism": one.optimism if is_there else None,
        "cost": one.cost if is_there else None,
        "requirements": _requirements(requirements.excess(one.metrics)) if is_there else {},
        "dev": _on_dev(one, goal),
        "trainings": [_training(record, one.dev.get(record.number), goal) for record in one.trainings],
        "config": one.finalist.config.to_dict(),
    }


def _training(record: TrialRecord, dev: Dev | None, goal: Goal) -> dict[str, Any]:
    return {
        "number": record.number,
        "seed": record.config["seed"],
        "state": record.state,
        "score": record.score,
        "metrics": record.metrics,
        "dev": None if dev is None else dev.metrics,
        "dev_score": None if dev is None else goal.score(dev),
        "seconds": record.seconds,
        "compute": record.evaluations[-1]["compute"] if record.evaluations else None,
        "reason": record.reason,
        "note": record.note,
    }


def _on_dev(one: Tried, goal: Goal) -> dict[str, Any] | None:
    """Mean and standard deviation over seeds of each metric on dev, and of what is compared there."""
    found = [one.dev[record.number] for record in one.complete if record.number in one.dev]
    if not found:
        return None
    names = means([dev.metrics for dev in found])
    each = {name: [dev.metrics[name] for dev in found] for name in names} | {"score": [goal.score(dev) for dev in found]}
    return {name: {"mean": statistics.fmean(values), "sd": spread(values)} for name, values in each.items()}


def _requirements(excess: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    return {text: {"met": value <= 0, "missed_by": max(value, 0.0)} for text, value in excess.items()}


def _champion(first: Tried, record: TrialRecord, bound: float | None, goal: Goal, requirements: Requirements) -> dict[str, Any]:
    """Score, metrics and configuration of the model that is handed over. It meets a requirement where the mean does too."""
    confirmed = requirements.excess(first.metrics)
    excess = {text: max(value, record.requirements.get(text, -math.inf)) for text, value in confirmed.items()}
    trial = first.finalist.trial
    return {
        "number": None if trial is None else trial.number,
        "score": record.score,
        "feasible": shortfall(excess) == 0,
        "requirements": _requirements(excess),
        "metrics": record.metrics,
        "config": record.config,
        "dev": first.dev[record.number].metrics,
        "confirmed": {
            "name": first.finalist.name,
            "is_default": first.finalist.is_default,
            "seed": record.config["seed"],
            "training": record.number,
            "n_seeds": len(first.scores),
            "mean": first.mean,
            "sd": spread(first.scores),
            "bound": bound,
            "search_score": None if trial is None else trial.score,
            "optimism": first.optimism,
            "dev": _on_dev(first, goal),
        },
    }
