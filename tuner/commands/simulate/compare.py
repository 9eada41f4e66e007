"""Compares policies: many simulated searches, and statistics of their differences.

Repetition r of every policy runs in world r, so that differences are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuner.commands.simulate.clock import Charges, Decisions, Ended, Log, World, play
from tuner.config.objective import Objective
from tuner.space import Space
from tuner.study import Study

N_RESAMPLES = 2000
MARKS = (0.25, 0.5, 1.0)
"""Shares of the horizon at which regret is reported."""
UNLIMITED = 10**6
"""The budget of a simulated search, in full trials: its time is limited instead."""
ASK_S = {"random": (0.01, 0.0), "qmc": (0.01, 0.0), "grid": (0.01, 0.0), "tpe": (0.02, 0.0), "gp": (0.3, 0.002)}
"""By sampler, on two cores: the driver's seconds per ask, and what each trial in the study adds; by default `tpe`'s."""


@dataclass(frozen=True)
class Policy:
    """A search method: a sampler, a pruner, and their charges."""

    name: str
    open: Callable[[World, int], Decisions]
    """Opens a new search in a world, with a seed."""
    charges: Charges


def study_policy(name: str, space: Space, objective: Objective, n_trials: int, n_evaluations: int, charges: Charges) -> Policy:
    """The policy `SAMPLER+PRUNER` over the real study, with the settings of a search of `n_trials` full trials.

    `Policy.open` raises `ConfigError` for an unknown sampler or pruner.
    """
    sampler, _, pruner = name.partition("+")

    def open_study(world: World, seed: int) -> Decisions:
        study = Study("memory:", "simulated", space, objective, sampler, pruner, seed, n_trials, n_evaluations)
        study.budget.total = UNLIMITED
        return study

    ask_s, growth_s = ASK_S.get(sampler, ASK_S["tpe"])
    return Policy(name, open_study, replace(charges, ask_s=ask_s, ask_growth_s=growth_s))


@dataclass(frozen=True)
class Interval:
    """A mean over repetitions, with its 95 % bootstrap interval."""

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
    """The paired difference of the same to the first policy: below 0 is better."""
    reached: float
    """Share of repetitions that reached the target."""
    target_s: Interval
    """Seconds until then; the horizon for repetitions that did not."""
    slot_hours: Interval
    hours: Interval
    """Until the end of the search."""
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
) -> list[Outcome]:
    """Run every policy in every world.

    The horizon of a repetition is `until_s`, or the end of the slowest policy; a policy that ends earlier keeps its regret.
    `target` is a true score; without one it is each world's best less 0.02.
    """
    logs: dict[str, list[Log]] = {policy.name: [] for policy in policies}
    for repetition, world in enumerate(worlds):
        for policy in policies:
            decisions = policy.open(world, seed + repetition)
            logs[policy.name].append(play(decisions, world, n_slots, policy.charges, until_s))
    horizons = [max(log.end_s for log in at) for at in zip(*logs.values(), strict=True)]
    targets = [world.best - 0.02 if target is None else target for world in worlds]
    measured = {name: _measure(repetitions, worlds, horizons, targets) for name, repetitions in logs.items()}
    first = measured[policies[0].name]
    return [_outcome(name, logs[name], measured[name], first, seed) for name in logs]


def incumbents(log: Log) -> list[Ended]:
    """The successive champions of a search: each the best by its reported score when it ended."""
    champions: list[Ended] = []
    for trial in log.ended:
        if not champions or trial.score > champions[-1].score:
            champions.append(trial)
    return champions


def regret_at(log: Log, best: float, time_s: float) -> float:
    """The best true score of the world, less that of the search's champion at this time.

    Before the first trial ends, the regret is that of the first champion; NaN when none ends.
    """
    champions = incumbents(log)
    known = [trial for trial in champions if trial.at_s <= time_s] or champions[:1]
    return best - known[-1].true_score if known else math.nan


def anytime_regret(log: Log, best: float, horizon_s: float) -> float:
    """Mean of `regret_at` over 0 to the horizon."""
    champions = [trial for trial in incumbents(log) if trial.at_s < horizon_s] or incumbents(log)[:1]
    if not champions:
        return math.nan
    times = [0.0, *(trial.at_s for trial in champions[1:]), horizon_s]
    pieces = zip(champions, times, times[1:], strict=False)
    return sum((best - trial.true_score) * (end - start) for trial, start, end in pieces) / horizon_s


def time_to(log: Log, target: float) -> float:
    """When a champion first has this true score; infinite for never."""
    return next((trial.at_s for trial in incumbents(log) if trial.true_score >= target), math.inf)


def interval(values: Sequence[float], seed: int) -> Interval:
    """Mean of the finite values, with percentiles of the means of resamples."""
    finite = np.array([value for value in values if math.isfinite(value)])
    if len(finite) == 0:
        return Interval(math.nan, math.nan, math.nan)
    means = np.random.default_rng(seed).choice(finite, (N_RESAMPLES, len(finite))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(finite.mean()), float(low), float(high))


def _measure(
    logs: Sequence[Log], worlds: Sequence[World], horizons: Sequence[float], targets: Sequence[float]
) -> dict[str, list[float]]:
    """The measures of a policy, by name: one value for each repetition."""
    pairs = list(zip(logs, worlds, horizons, strict=True))
    regrets = {f"{mark:.0%}": [regret_at(log, world.best, mark * end) for log, world, end in pairs] for mark in MARKS}
    regrets["anytime"] = [anytime_regret(log, world.best, end) for log, world, end in pairs]
    times = [(time_to(log, target), end) for log, target, end in zip(logs, targets, horizons, strict=True)]
    return regrets | {"reached": [float(time <= end) for time, end in times], "target_s": [min(pair) for pair in times]}


def _outcome(
    name: str, logs: Sequence[Log], values: Mapping[str, list[float]], first: Mapping[str, list[float]], seed: int
) -> Outcome:
    keys = [*(f"{mark:.0%}" for mark in MARKS), "anytime"]
    differences = {key: [value - other for value, other in zip(values[key], first[key], strict=True)] for key in keys}
    return Outcome(
        name=name,
        regret={key: interval(values[key], seed) for key in keys},
        difference={key: interval(differences[key], seed) for key in keys},
        reached=float(np.mean(values["reached"])),
        target_s=interval(values["target_s"], seed),
        slot_hours=interval([log.busy_s / 3600 for log in logs], seed),
        hours=interval([log.end_s / 3600 for log in logs], seed),
        n_complete=float(np.mean([len(log.ended) for log in logs])),
        n_pruned=float(np.mean([log.n_pruned for log in logs])),
        n_failed=float(np.mean([log.n_failed for log in logs])),
    )
