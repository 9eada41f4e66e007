"""The outcome of a confirmation: the ranking of the finalists, and `confirmation` and `champion` of results.json."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tuner.config.requirements import Requirements, shortfall
from tuner.results.confirmation_text import DEFAULT, NO, RUNNER_UP, UNDECIDED, YES
from tuner.results.trial_record import TrialRecord
from tuner.search.confirmation.finalists import Finalist
from tuner.search.confirmation.statistics import (
    CONFIDENCE,
    Comparison,
    Dev,
    Goal,
    compare,
    is_pooled,
    lower_bounds,
    pooled,
    spread,
)

DIGITS = 9
"""Decimals to which bounds are compared, so that rounding errors decide nothing."""


@dataclass(frozen=True)
class FinalistResult:
    """A finalist with its trainings on the fresh seeds."""

    finalist: Finalist
    trainings: Sequence[TrialRecord]
    """Those that were begun, by seed."""
    dev: Mapping[int, Dev]
    """Predictions of the complete trainings' models, by number."""
    with_model: frozenset[int]
    """Numbers of the trainings whose model is kept."""

    @property
    def complete(self) -> list[TrialRecord]:
        return [record for record in self.trainings if record.state == "COMPLETE"]

    @property
    def scores(self) -> list[float]:
        """Scores on select, by seed."""
        return [record.score for record in self.complete if record.score is not None]

    @property
    def is_ranked(self) -> bool:
        """Whether it takes part in the ranking: it has a model, and failed on no seed."""
        return bool(self.with_model) and all(record.state != "FAIL" for record in self.trainings)

    @property
    def mean(self) -> float:
        """Mean score on select."""
        return statistics.fmean(self.scores)

    @property
    def cost(self) -> float:
        """Mean compute of a training, in tokens of plain steps."""
        return statistics.fmean(record.evaluations[-1]["compute"] for record in self.complete)

    @property
    def optimism(self) -> float | None:
        """The search's score minus the confirmed mean; None for a default that no trial had."""
        trial = self.finalist.trial
        return None if trial is None or trial.score is None else trial.score - self.mean

    @property
    def metrics(self) -> dict[str, float]:
        """Mean of each metric on select."""
        return means([record.metrics for record in self.complete])

    @property
    def representative(self) -> TrialRecord:
        """The training whose model is handed over: of those that miss the requirements least, the best on select.

        It does not influence the ranking, and dev does not influence the choice.
        """
        candidates = [record for record in self.complete if record.number in self.with_model]
        return max(candidates, key=lambda record: (-record.shortfall, record.score, -record.number))

    def on_dev(self, goal: Goal) -> dict[str, Any] | None:
        """Mean and standard deviation over seeds of each metric and of the goal on dev; None without predictions."""
        models = [self.dev[record.number] for record in self.complete if record.number in self.dev]
        if not models:
            return None
        names = means([dev.metrics for dev in models])
        values = {name: [dev.metrics[name] for dev in models] for name in names}
        values["score"] = [goal.score(dev) for dev in models]
        return {name: {"mean": statistics.fmean(each), "sd": spread(each)} for name, each in values.items()}


def means(mappings: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each name that all `mappings` have."""
    names = [name for name in mappings[0] if all(name in one for one in mappings)] if mappings else []
    return {name: statistics.fmean(one[name] for one in mappings) for name in names}


def ranked(results: Sequence[FinalistResult], requirements: Requirements) -> list[tuple[FinalistResult, float | None]]:
    """The finalists that take part in the ranking, best first, with their lower bounds.

    The order is by the shortfall of the mean metrics from the requirements, then by the lower bound, or by the mean where one
    seed gives no bound; ties go to the cheaper one, then to the default, then to the earlier trial.
    """
    candidates = [result for result in results if result.is_ranked]
    bounds = lower_bounds([result.scores for result in candidates])

    def order(pair: tuple[FinalistResult, float | None]) -> tuple[float, float, float, bool, int]:
        result, bound = pair
        finalist = result.finalist
        score = round(result.mean if bound is None else bound, DIGITS)
        number = finalist.trial.number if finalist.trial else -1
        return shortfall(requirements.excess(result.metrics)), -score, result.cost, not finalist.is_default, number

    return sorted(zip(candidates, bounds, strict=True), key=order)


def beats(comparison: Comparison | None, *, default_won: bool) -> str | None:
    """Whether the champion is better than the untuned default on dev: the interval of the difference decides."""
    if default_won:
        return NO
    if comparison is None:
        return None
    if comparison.low > 0:
        return YES
    return NO if comparison.high < 0 else UNDECIDED


@dataclass(frozen=True)
class Outcome:
    """The entries of results.json, and whose model is handed over."""

    confirmation: dict[str, Any]
    """`confirmation` of results.json."""
    champion: dict[str, Any] | None
    """`champion` of results.json without its path; None where no finalist is ranked."""
    model: int | None
    """Number of the training whose model is the champion's."""


def outcome(
    results: Sequence[FinalistResult],
    *,
    n_finalists: int,
    seeds: Sequence[int],
    goal: Goal,
    requirements: Requirements,
    seed: int,
    notes: Sequence[str],
) -> Outcome:
    """Rank the finalists on select, then compare the first with the runner-up and the default on dev.

    `n_finalists` and `seeds` are as planned, the default not counted; `seed` is that of the resampling.
    """
    ranking = ranked(results, requirements)
    first = ranking[0][0] if ranking else None
    comparisons: dict[str, tuple[FinalistResult, Comparison]] = {}
    for result, _ in ranking[1:]:
        roles = [RUNNER_UP] if not comparisons else []
        roles += [DEFAULT] if result.finalist.is_default else []
        if roles and first is not None:
            ours, theirs = ([one.dev[record.number] for record in one.complete] for one in (first, result))
            comparisons |= dict.fromkeys(roles, (result, compare(ours, theirs, goal, seed)))
    with_default = comparisons[DEFAULT][1] if DEFAULT in comparisons else None
    scores = [result.scores for result, _ in ranking]
    common_spread = pooled(scores) if is_pooled(scores) else None
    finalists = [_entry(result, rank, bound, goal, requirements) for rank, (result, bound) in enumerate(ranking, start=1)]
    confirmation = {
        "n_finalists": n_finalists,
        "seeds": list(seeds),
        "confidence": CONFIDENCE,
        "pooled_sd": common_spread[0] if common_spread else None,
        "metric_on_dev": goal.name,
        "finalists": [
            *finalists,
            *(_entry(result, None, None, goal, requirements) for result in results if not result.is_ranked),
        ],
        "comparisons": [
            {"against": role, "finalist": result.finalist.name, **asdict(comparison)}
            for role, (result, comparison) in comparisons.items()
        ],
        "beats_default": beats(with_default, default_won=first is not None and first.finalist.is_default),
        "notes": list(notes),
    }
    if first is None:
        return Outcome(confirmation, None, None)
    return Outcome(confirmation, _champion(first, finalists[0], requirements), first.representative.number)


def _entry(
    result: FinalistResult, rank: int | None, bound: float | None, goal: Goal, requirements: Requirements
) -> dict[str, Any]:
    trial, has_scores = result.finalist.trial, bool(result.complete)
    return {
        "rank": rank,
        "name": result.finalist.name,
        "trial": None if trial is None else trial.number,
        "is_default": result.finalist.is_default,
        "search_score": None if trial is None else trial.score,
        "mean": result.mean if has_scores else None,
        "sd": spread(result.scores),
        "bound": bound,
        "optimism": result.optimism if has_scores else None,
        "cost": result.cost if has_scores else None,
        "requirements": _requirements(requirements.excess(result.metrics)) if has_scores else {},
        "dev": result.on_dev(goal),
        "trainings": [_training(record, result.dev.get(record.number), goal) for record in result.trainings],
        "config": result.finalist.config.to_dict(),
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


def _requirements(excess: Mapping[str, float]) -> dict[str, dict[str, Any]]:
    return {text: {"met": value <= 0, "missed_by": max(value, 0.0)} for text, value in excess.items()}


def _champion(result: FinalistResult, entry: Mapping[str, Any], requirements: Requirements) -> dict[str, Any]:
    """The entry of the model that is handed over. It meets a requirement where both its own value and the mean do."""
    record = result.representative
    of_mean = requirements.excess(result.metrics)
    excess = {text: max(value, record.requirements.get(text, -math.inf)) for text, value in of_mean.items()}
    confirmed = {name: entry[name] for name in ("name", "is_default", "mean", "sd", "bound", "search_score", "optimism", "dev")}
    return {
        "number": entry["trial"],
        "score": record.score,
        "feasible": shortfall(excess) == 0,
        "requirements": _requirements(excess),
        "metrics": record.metrics,
        "config": record.config,
        "dev": result.dev[record.number].metrics,
        "confirmed": confirmed | {"seed": record.config["seed"], "training": record.number, "n_seeds": len(result.scores)},
    }
