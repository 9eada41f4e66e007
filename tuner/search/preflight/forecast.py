"""From a few measured configurations to the time, GPU-hours and price of a search: pure functions."""

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
from tuner.search.preflight import choose, estimate

DRAWS = 200
LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Timed:
    """A configuration as it was measured in a gang."""

    config: Mapping[str, Any]
    begin_s: float
    """Setting the trial up on warm ranks."""
    update_s: float
    example_s: float
    """An example of an evaluation."""
    health_s: float
    """What an evaluation takes besides."""


@dataclass(frozen=True)
class Crowd:
    """What trials at once on a node, sharing its GPUs, cores and memory, do to each other."""

    at_once: int
    slowdown: float
    """An update's time in one of them over that of one alone, 1 or more."""


@dataclass(frozen=True)
class Measured:
    """What a preflight found; kept in the run's folder and beside the runs."""

    timed: tuple[Timed, ...]
    left_out: int
    """Configurations that the bound on time left no room for."""
    start_s: float
    """Starting a gang's processes."""
    note: str | None
    """How the largest configuration fits, where it needs smaller micro-batches."""
    took_s: float
    crowd: Crowd | None
    """None where one trial trains at a time, or several were not measured."""

    @property
    def slowdown(self) -> float:
        """By which the seconds of `timed` grow in the search."""
        return self.crowd.slowdown if self.crowd else 1.0

    def to_dict(self) -> dict[str, Any]:
        return {
            **vars(self),
            "timed": [dict(vars(one)) for one in self.timed],
            "crowd": self.crowd and dict(vars(self.crowd)),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Measured:
        """Raises TypeError or KeyError where it is none."""
        crowd = values["crowd"] and Crowd(**values["crowd"])
        return cls(**{**values, "timed": tuple(Timed(**one) for one in values["timed"]), "crowd": crowd})


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
    """What the rest of a search will take."""

    seconds: Range
    gang_s: Range
    """Seconds that trials hold their gangs."""
    gpu_hours: Range | None
    """None where trials have no GPU."""
    price: Range | None


def trial_s(config: TrialConfig, summary: DataSummary, measured: Measured) -> float:
    """Seconds of a trial on warm ranks that is not pruned, beside as many others as were measured at once."""
    points = sorted((choose.work(parse(one.config), summary), one.update_s) for one in _like(config, measured))
    update_s = along([work for work, _ in points], [seconds for _, seconds in points], choose.work(config, summary))
    begin_s = statistics.median(one.begin_s for one in measured.timed)
    return begin_s + choose.n_steps(config, summary) * update_s * measured.slowdown + evaluation_s(config, summary, measured)


def evaluation_s(config: TrialConfig, summary: DataSummary, measured: Measured) -> float:
    """Seconds that all evaluations of a trial take, beside the others."""
    like = _like(config, measured)
    evaluated = sum(estimate.evaluated_examples(config, summary).values())
    example_s = statistics.fmean(one.example_s for one in like)
    smooth = [one.health_s for one in like if parse(one.config).smart.is_smoothing]
    health_s = statistics.fmean(smooth) if smooth and config.smart.is_smoothing else 0.0
    return measured.slowdown * (evaluated * example_s + config.budget.evaluations * health_s)


def _like(config: TrialConfig, measured: Measured) -> list[Timed]:
    """What was measured of its encoding of pairs, or all where nothing was."""
    return [one for one in measured.timed if one.config["pair_encoding"] == config.pair_encoding] or list(measured.timed)


def along(works: Sequence[float], seconds: Sequence[float], work: float) -> float:
    """Seconds at `work`: between measured points on the line that joins them, beyond them in proportion. `works` ascend."""
    if work <= works[0]:
        return seconds[0] * work / works[0]
    if work >= works[-1]:
        return seconds[-1] * work / works[-1]
    return float(np.interp(work, works, seconds))


def makespan(trials_s: Sequence[float], slots: int, start_s: float) -> float:
    """Seconds until all are done, when each takes the slot that is free first; a slot's processes start once."""
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
    """`trials_s` are the seconds of random configurations; `n_trials` full trials of them are to be trained, `slots` at once.

    What pruning saves is spent on more trials, so the pruner changes nothing here. `besides_s` are gang-seconds of what comes
    before and after the trials, spread over the slots; `limit_s` is what a time budget leaves.
    """
    rng = random.Random(0)
    n_draws = math.ceil(n_trials)
    draws = [[rng.choice(trials_s) * n_trials / n_draws for _ in range(n_draws)] for _ in range(DRAWS)]
    seconds = _range([makespan(draw, slots, start_s) for draw in draws], besides_s / slots, limit_s)
    gang_s = _range([sum(draw) for draw in draws], besides_s, None if limit_s is None else limit_s * slots)
    n_gpus = shape.n_workers * shape.gpus_per_worker
    gpu_hours = gang_s.times(n_gpus / 3600) if n_gpus else None
    price = gpu_hours.times(price_per_gpu_hour) if gpu_hours and price_per_gpu_hour is not None else None
    return Forecast(seconds, gang_s, gpu_hours, price)


def _range(drawn: Sequence[float], more: float, limit: float | None) -> Range:
    values = (statistics.median(drawn), float(np.quantile(drawn, LOW)), float(np.quantile(drawn, HIGH)))
    expected, low, high = (min(value + more, limit) if limit is not None else value + more for value in values)
    return Range(expected, low, high)


def about(seconds: float) -> str:
    """Such as `45 s`, `2.3 min`, `12 min`, `3.2 h`."""
    return f"{_number(seconds)} {_unit(seconds)[1]}"


def in_range(range_: Range) -> str:
    """Such as `12 min (8–15)`; bounds in a unit of their own carry it."""
    low, high = (_number(end) if _unit(end) == _unit(range_.expected) else about(end) for end in (range_.low, range_.high))
    return f"{about(range_.expected)} ({low}–{high})"


def _unit(seconds: float) -> tuple[float, str]:
    return (1.0, "s") if seconds < 90 else (60.0, "min") if seconds < 90 * 60 else (3600.0, "h")


def _number(seconds: float) -> str:
    size, name = _unit(seconds)
    number = seconds / size
    return f"{number:.1f}" if name == "h" or (name == "min" and number < 9.95) else f"{number:.0f}"


def describe(found: Forecast) -> list[str]:
    """Lines such as `ETA 12 min (8–15)` and `GPU-hours 1.6 (1.1–2.0), cost 4.80 (3.30–6.00)`."""
    lines = [f"ETA {in_range(found.seconds)}"]
    if found.gpu_hours is not None:
        hours = found.gpu_hours
        cost = found.price
        priced = f", cost {cost.expected:.2f} ({cost.low:.2f}–{cost.high:.2f})" if cost else ""
        lines.append(f"GPU-hours {hours.expected:.2g} ({hours.low:.2g}–{hours.high:.2g}){priced}")
    return lines


def error_of(found: Forecast, took_s: float) -> float:
    """By how much a search took longer than expected, as a share of that."""
    return (took_s - found.seconds.expected) / found.seconds.expected if found.seconds.expected else 0.0


def outcome(found: Forecast, took_s: float) -> str:
    """Such as `ETA 12 min (8–15), took 13 min: +8 %`."""
    return f"ETA {in_range(found.seconds)}, took {about(took_s)}: {100 * error_of(found, took_s):+.0f} %"
