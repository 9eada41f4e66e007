"""Forecasts the time, GPU-hours and price of a search from a few measured configurations; pure functions."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluster.shape import GangShape
from model.config import TrialConfig, parse
from model.data.source import DataSummary
from tuner.search.preflight import estimate

DRAWS = 200
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Timed:
    """The measured times of a configuration in a gang, in seconds."""

    config: Mapping[str, Any]
    begin_s: float
    """Set-up of the trial on warm ranks."""
    update_s: float
    example_s: float
    """One example of an evaluation."""
    health_s: float
    """The rest of an evaluation: measuring SMART's health."""


@dataclass(frozen=True)
class Crowd:
    """The measured slowdown of trials that run at once on a node and share its GPUs, cores and memory."""

    at_once: int
    slowdown: float
    """Time of an update in one of them over that of a trial alone, ≥ 1."""


@dataclass(frozen=True)
class Measured:
    """The measurements of a preflight."""

    timed: tuple[Timed, ...]
    left_out: int
    """Number of configurations that were not measured for lack of time."""
    start_s: float
    """Seconds to start a gang's processes."""
    note: str | None
    """How the largest configuration fits the memory, where it needs smaller micro-batches."""
    took_s: float
    crowd: Crowd | None
    """None where several trials at once were not measured."""

    @property
    def slowdown(self) -> float:
        """Factor by which trials at once slow each other down."""
        return self.crowd.slowdown if self.crowd else 1.0


@dataclass(frozen=True)
class Range:
    """An expected value with its 5–95 % range."""

    expected: float
    low: float
    high: float

    def times(self, factor: float) -> Range:
        return Range(self.expected * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Forecast:
    """The expected cost of the rest of a search."""

    seconds: Range
    gang_s: Range
    """Seconds that trials hold their gangs, summed over trials."""
    gpu_hours: Range | None
    """None where trials have no GPU."""
    price: Range | None


def trial_s(config: TrialConfig, summary: DataSummary, measured: Measured) -> float:
    """Seconds of a trial that is not pruned, on warm ranks, with the measured slowdown."""
    points = sorted((estimate.work(parse(one.config), summary), one.update_s) for one in _like(config, measured))
    update_s = interpolate([work for work, _ in points], [seconds for _, seconds in points], estimate.work(config, summary))
    begin_s = statistics.median(one.begin_s for one in measured.timed)
    return begin_s + estimate.n_steps(config, summary) * update_s * measured.slowdown + evaluation_s(config, summary, measured)


def evaluation_s(config: TrialConfig, summary: DataSummary, measured: Measured) -> float:
    """Seconds of all evaluations of a trial, with the measured slowdown."""
    like = _like(config, measured)
    evaluated = sum(estimate.evaluated_examples(config, summary).values())
    example_s = statistics.fmean(one.example_s for one in like)
    smooth = [one.health_s for one in like if parse(one.config).smart.is_smoothing]
    health_s = statistics.fmean(smooth) if smooth and config.smart.is_smoothing else 0.0
    return measured.slowdown * (evaluated * example_s + config.budget.evaluations * health_s)


def _like(config: TrialConfig, measured: Measured) -> list[Timed]:
    """The measured configurations with the same pair encoding, else all."""
    return [one for one in measured.timed if one.config["pair_encoding"] == config.pair_encoding] or list(measured.timed)


def interpolate(works: Sequence[float], seconds: Sequence[float], work: float) -> float:
    """Seconds at `work`: linear between the measured points, proportional outside of them. `works` must ascend."""
    if work <= works[0]:
        return seconds[0] * work / works[0]
    if work >= works[-1]:
        return seconds[-1] * work / works[-1]
    return float(np.interp(work, works, seconds))


def makespan(trials_s: Sequence[float], slots: int, start_s: float) -> float:
    """Seconds until all trials have ended, each on the first free slot; a slot's processes start once, in `start_s`."""
    free = [start_s] * slots
    for seconds in trials_s:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def forecast(
    trials_s: Sequence[float],
    n_trials: float,
    slots: int,
    shape: GangShape,
    start_s: float,
    *,
    besides_s: float = 0.0,
    limit_s: float | None = None,
    price_per_gpu_hour: float | None = None,
) -> Forecast:
    """Forecast `n_trials` full trials, `slots` at once, drawn from random configurations that take `trials_s` seconds each.

    What pruning saves is spent on more trials, so the pruner has no influence. `besides_s` are the gang-seconds of controls and
    confirmation; `limit_s` is what is left of the time budget.
    """
    rng = random.Random(0)
    n_drawn = math.ceil(n_trials)
    draws = [[rng.choice(trials_s) * n_trials / n_drawn for _ in range(n_drawn)] for _ in range(DRAWS)]
    seconds = _range([makespan(draw, slots, start_s) for draw in draws], besides_s / slots, limit_s)
    gang_s = _range([sum(draw) for draw in draws], besides_s, None if limit_s is None else limit_s * slots)
    n_gpus = shape.n_workers * shape.gpus_per_worker
    gpu_hours = gang_s.times(n_gpus / 3600) if n_gpus else None
    price = gpu_hours.times(price_per_gpu_hour) if gpu_hours and price_per_gpu_hour is not None else None
    return Forecast(seconds, gang_s, gpu_hours, price)


def _range(drawn: Sequence[float], more: float, limit: float | None) -> Range:
    """Median and 5–95 % range of the drawn values, plus `more`, at most `limit`."""
    values = (statistics.median(drawn), float(np.quantile(drawn, LOW)), float(np.quantile(drawn, HIGH)))
    expected, low, high = (min(value + more, limit) if limit is not None else value + more for value in values)
    return Range(expected, low, high)


def about(seconds: float) -> str:
    """Such as `45 s`, `2.3 min`, `12 min`, `3.2 h`."""
    return f"{_number(seconds)} {_unit(seconds)[1]}"


def in_range(range_: Range) -> str:
    """Such as `12 min (8–15)`; a bound in another unit has its own, as in `1.7 min (60 s–2.0 h)`."""
    low, high = (_number(end) if _unit(end) == _unit(range_.expected) else about(end) for end in (range_.low, range_.high))
    return f"{about(range_.expected)} ({low}–{high})"


def _unit(seconds: float) -> tuple[float, str]:
    return (1.0, "s") if seconds < 90 else (60.0, "min") if seconds < 90 * 60 else (3600.0, "h")


def _number(seconds: float) -> str:
    size, name = _unit(seconds)
    number = seconds / size
    return f"{number:.1f}" if name == "h" or (name == "min" and number < 9.95) else f"{number:.0f}"


def describe(expected: Forecast) -> list[str]:
    """Lines such as `ETA 12 min (8–15)` and `GPU-hours 1.6 (1.1–2.0), cost 4.80 (3.30–6.00)`."""
    lines = [f"ETA {in_range(expected.seconds)}"]
    hours, cost = expected.gpu_hours, expected.price
    if hours is not None:
        priced = f", cost {cost.expected:.2f} ({cost.low:.2f}–{cost.high:.2f})" if cost else ""
        lines.append(f"GPU-hours {hours.expected:.2g} ({hours.low:.2g}–{hours.high:.2g}){priced}")
    return lines


def error_of(forecast: Forecast, took_s: float) -> float:
    """The relative error (actual − expected) / expected of the time; 0 where nothing was expected."""
    expected_s = forecast.seconds.expected
    return (took_s - expected_s) / expected_s if expected_s else 0.0


def outcome(forecast: Forecast, took_s: float) -> str:
    """Such as `ETA 12 min (8–15), took 13 min: +8 %`."""
    return f"ETA {in_range(forecast.seconds)}, took {about(took_s)}: {100 * error_of(forecast, took_s):+.0f} %"
