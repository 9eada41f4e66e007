"""Policies against each other: many simulated searches, and what can be said of their differences.

Repetition r meets world r with every policy, so differences are taken pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tuner.commands.simulate.clock import Charges, Decisions, Ended, Log, play
from tuner.commands.simulate.world import World

N_RESAMPLES = 2000
MARKS = (0.25, 0.5, 1.0)
"""Shares of the horizon at which regret is told."""


@dataclass(frozen=True)
class Policy:
    """A way to search."""

    name: str
    open: Callable[[World, int], Decisions]
    """A new search in a world, with a seed."""
    charges: Charges


@dataclass(frozen=True)
class Interval:
    """A mean over repetitions with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Outcome:
    """One policy over all repetitions."""

    name: str
    regret: Mapping[str, Interval]
    """At `25%`, `50%` and `100%` of the horizon, and `anytime`: its mean over the horizon."""
    difference: Mapping[str, Interval]
    """Of the same, to the first policy of the table, pair by pair: below 0 is better."""
    reached: float
    """Share of repetitions that came to the target."""
    target_s: Interval
    """Seconds until then; those that never came are counted with the horizon."""
    slot_hours: Interval
    hours: Interval
    """Until the search was over."""
    n_complete: float
    n_pruned: float
    n_failed: float
    """Trials, on average."""


def compare(
    policies: Sequence[Policy],
    worlds: Sequence[World],
    n_slots: int,
    seed: int,
    target: float | None = None,
    until_s: float = math.inf,
    tick: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Run every policy in every world, and sum up.

    The horizon of a repetition is `until_s`, or when the slowest policy was over; who is over earlier keeps what it has.
    `target` is a true score; without one it is each world's best less 0.02. `tick` is called after each search.
    """
    logs: dict[str, list[Log]] = {policy.name: [] for policy in policies}
    for repetition, world in enumerate(worlds):
        for policy in policies:
            decisions = policy.open(world, seed + repetition)
            logs[policy.name].append(play(decisions, world, n_slots, policy.charges, until_s))
            tick()
    horizons = [max(log.end_s for log in at) for at in zip(*logs.values(), strict=True)]
    targets = [world.best - 0.02 if target is None else target for world in worlds]
    measured = {name: _measure(found, worlds, horizons, targets) for name, found in logs.items()}
    first = measured[policies[0].name]
    return [_outcome(name, logs[name], measured[name], first, seed) for name in logs]


def incumbents(log: Log) -> list[Ended]:
    """The trials that a search would have handed over, one after another: each the best by its reported score when it ended."""
    found: list[Ended] = []
    for trial in log.ended:
        if not found or trial.score > found[-1].score:
            found.append(trial)
    return found


def regret_at(log: Log, best: float, time_s: float) -> float:
    """Best true score there is, less that of the trial a search would have handed over at this time.

    Before the first trial ends, regret is what that one leaves; NaN when none ends.
    """
    found = incumbents(log)
    known = [trial for trial in found if trial.at_s <= time_s] or found[:1]
    return best - known[-1].true_score if known else math.nan


def anytime_regret(log: Log, best: float, horizon_s: float) -> float:
    """Mean of `regret_at` over 0 to the horizon."""
    found = [trial for trial in incumbents(log) if trial.at_s < horizon_s] or incumbents(log)[:1]
    if not found:
        return math.nan
    times = [0.0, *(trial.at_s for trial in found[1:]), horizon_s]
    pieces = zip(found, times, times[1:], strict=False)
    return sum((best - trial.true_score) * (end - start) for trial, start, end in pieces) / horizon_s


def time_to(log: Log, target: float) -> float:
    """When the trial that would be handed over first has this true score; infinite for never."""
    return next((trial.at_s for trial in incumbents(log) if trial.true_score >= target), math.inf)


def interval(values: Sequence[float], seed: int) -> Interval:
    """Mean of the finite values, and percentiles of the means of resamples."""
    found = np.array([value for value in values if math.isfinite(value)])
    if len(found) == 0:
        return Interval(math.nan, math.nan, math.nan)
    drawn = np.random.default_rng(seed).choice(found, (N_RESAMPLES, len(found))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(float(found.mean()), float(low), float(high))


def _measure(
    logs: Sequence[Log], worlds: Sequence[World], horizons: Sequence[float], targets: Sequence[float]
) -> dict[str, list[float]]:
    """One number for each repetition, by name."""
    pairs = list(zip(logs, worlds, horizons, strict=True))
    regrets = {f"{mark:.0%}": [regret_at(log, world.best, mark * end) for log, world, end in pairs] for mark in MARKS}
    regrets["anytime"] = [anytime_regret(log, world.best, end) for log, world, end in pairs]
    times = [time_to(log, target) for log, target in zip(logs, targets, strict=True)]
    reached = [float(time <= end) for time, end in zip(times, horizons, strict=True)]
    return {**regrets, "reached": reached, "target_s": [min(t, end) for t, end in zip(times, horizons, strict=True)]}


def _outcome(
    name: str, logs: Sequence[Log], own: Mapping[str, list[float]], first: Mapping[str, list[float]], seed: int
) -> Outcome:
    regrets = [*(f"{mark:.0%}" for mark in MARKS), "anytime"]
    differences = {key: [mine - other for mine, other in zip(own[key], first[key], strict=True)] for key in regrets}
    return Outcome(
        name=name,
        regret={key: interval(own[key], seed) for key in regrets},
        difference={key: interval(differences[key], seed) for key in regrets},
        reached=float(np.mean(own["reached"])),
        target_s=interval(own["target_s"], seed),
        slot_hours=interval([log.busy_s / 3600 for log in logs], seed),
        hours=interval([log.end_s / 3600 for log in logs], seed),
        n_complete=float(np.mean([len(log.ended) for log in logs])),
        n_pruned=float(np.mean([log.n_pruned for log in logs])),
        n_failed=float(np.mean([log.n_failed for log in logs])),
    )
