"""What a search has found at equal time, as a share of what random search finds, which is computed exactly.

All searches of a set have the same time. At any moment a search would hand over the best trial that has run to its end, by its
last score; until there is one, its regret counts as that of a random trial that ends. Regret is the best recorded final score
less the final score of the trial handed over.

Random search draws recorded trials with replacement, never stops one early, and pays nothing but their durations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.curves import TRIAL_S, Numbers, RecordedTrial, RecordedWorld
from tuner.commands.simulate.clock import Log
from tuner.commands.simulate.compare import incumbents

N_STEPS = 120
"""Steps of time per trial of mean cost, for random search: durations are rounded to them."""
EARLY = 0.4
"""Share of the time after which regret is measured, besides the end: 8 of 20 trials."""
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Setting:
    """How long a search is and how many slots it has."""

    n_trials: int
    """Trials of mean cost that fit into its time."""
    n_slots: int

    @property
    def horizon_s(self) -> float:
        return self.n_trials * TRIAL_S / self.n_slots

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the columns."""
        return (f"regret at {round(EARLY * self.n_trials)}", f"regret at {self.n_trials}", "anytime", "time to top 5 %")


@dataclass(frozen=True)
class Result:
    """One simulated search. Less is better in all measures."""

    values: tuple[float, ...]
    """In the order of `Setting.measures`; regrets are differences of scores, the time is in seconds."""
    n_complete: int
    n_pruned: int
    n_failed: int


def measure(log: Log, world: RecordedWorld, horizon_s: float) -> Result:
    """Measure a search that had `horizon_s`."""
    found = [trial for trial in incumbents(log) if trial.at_s <= horizon_s]
    times = [0.0, *(trial.at_s for trial in found), horizon_s]
    regrets = [random_trial_regret(world), *(world.best - trial.true_score for trial in found)]
    pieces = zip(regrets, times, times[1:], strict=False)
    anytime = sum(regret * (end - start) for regret, start, end in pieces) / horizon_s
    early = [regret for regret, time_s in zip(regrets, times, strict=False) if time_s <= EARLY * horizon_s]
    reached_s = next((trial.at_s for trial in found if trial.true_score >= world.target), horizon_s)
    return Result((early[-1], regrets[-1], anytime, reached_s), len(log.ended), log.n_pruned, log.n_failed)


def random_trial_regret(world: RecordedWorld) -> float:
    """Expected regret of one random trial that runs to its end."""
    return world.best - float(np.mean([trial.score for trial in world.trials if not math.isnan(trial.score)]))


def random_search(world: RecordedWorld, setting: Setting) -> tuple[float, ...]:
    """The expected measures of random search without early stopping, in the order of `Setting.measures`."""
    n_steps = N_STEPS * setting.n_trials // setting.n_slots
    levels = np.unique([trial.score for trial in world.trials if not math.isnan(trial.score)])
    # P(no slot has ended a trial above a level), by level and step; before the first level: no trial has ended.
    below = np.power(nothing_above(world.trials, np.concatenate(([-math.inf], levels)), n_steps), setting.n_slots)
    chances = np.diff(below, axis=0, prepend=0.0)
    regrets = np.concatenate(([random_trial_regret(world)], world.best - levels)) @ chances
    reached = below[np.searchsorted(levels, world.target)]
    step_s = TRIAL_S / N_STEPS
    return (
        float(regrets[math.floor(EARLY * n_steps)]),
        float(regrets[-1]),
        float(regrets[:-1].mean()),
        float(reached[:-1].sum() * step_s),
    )


def nothing_above(trials: Sequence[RecordedTrial], levels: Numbers, n_steps: int) -> Numbers:
    """P(no trial has ended with a score above a level), by level and step 0 … n_steps, for one slot.

    By the first trial of the slot, with d its duration and s its score, NaN where it fails:
    F(t) = P(d > t) + Σ P(d, not s > level) F(t − d).
    """
    steps = np.array([max(round(trial.duration_s / TRIAL_S * N_STEPS), 1) for trial in trials])
    durations, column = np.unique(steps, return_inverse=True)
    is_above = np.array([trial.score for trial in trials])[None, :] > levels[:, None]
    shares = np.zeros((len(levels), len(durations)))
    for trial, place in enumerate(column):
        shares[:, place] += ~is_above[:, trial] / len(trials)
    result = np.ones((len(levels), n_steps + 1))
    for step in range(n_steps + 1):
        n_ended = int(np.searchsorted(durations, step, side="right"))
        ended = result[:, step - durations[:n_ended]]
        result[:, step] = np.mean(steps > step) + (shares[:, :n_ended] * ended).sum(axis=1)
    return result


@dataclass(frozen=True)
class Estimate:
    """A mean over sets with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def mean_share(shares: Mapping[str, Sequence[float]], seed: int = 0) -> Estimate:
    """The mean over sets of the mean over seeds; the seeds of each set are resampled."""
    rng = np.random.default_rng(seed)
    means = [np.mean(values) for values in shares.values()]
    drawn = [rng.choice(np.asarray(values), (N_RESAMPLES, len(values))).mean(axis=1) for values in shares.values()]
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return Estimate(float(np.mean(means)), float(low), float(high))


def mean_difference(shares: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]) -> Estimate:
    """The same of the differences, seed by seed."""
    pairs = {name: zip(values, reference[name], strict=True) for name, values in shares.items()}
    return mean_share({name: [own - other for own, other in both] for name, both in pairs.items()})
