"""The budget of a search, and the meter of its use, with the clock as an argument.

A budget is a total over all sessions of a search, as `--trials` is; the use by earlier sessions is kept in the run's folder.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.shape import GangShape
from model.config import ConfigError

_DURATION = re.compile(r"(?:([\d.]+)d)?(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?")
_UNITS_S = (86400.0, 3600.0, 60.0, 1.0)


@dataclass(frozen=True)
class Used:
    """The time that a search has used."""

    wall_s: float = 0.0
    """Wall-clock seconds of its sessions."""
    gang_s: float = 0.0
    """Seconds that trials held their gangs, summed over trials."""


@dataclass(frozen=True)
class Budget:
    """Limits of a search; None is no limit. At a limit running trials are cut at their next evaluation."""

    time_s: float | None = None
    """Wall-clock seconds."""
    gpu_hours: float | None = None
    """A gang's GPUs × hours held, summed over trials."""
    target: float | None = None
    """Score of a COMPLETE trial, from -1 to 1."""

    @property
    def is_limited(self) -> bool:
        return any(limit is not None for limit in (self.time_s, self.gpu_hours, self.target))

    def problems(self, shape: GangShape) -> list[str]:
        """A sentence for every problem of this budget with trials of this shape."""
        sentences = []
        if self.time_s is not None and not 0 < self.time_s < math.inf:
            sentences.append(f"--time-budget {self.time_s:g}: give a time above 0")
        if self.gpu_hours is not None and not shape.gpus_per_worker:
            sentences.append(
                f"--gpu-hours {self.gpu_hours:g}: the trials have no GPU ({shape.describe()}); use --time-budget, or give "
                "them GPUs with --gpus-per-worker"
            )
        return sentences

    def reached(self, used: Used, best_score: float | None, shape: GangShape) -> str | None:
        """The limit that is reached, as a clause; None for none. `best_score` is that of the best COMPLETE trial."""
        gang_hours = used.gang_s / 3600
        if self.target is not None and best_score is not None and best_score >= self.target:
            return f"the target {self.target:g} is reached with a score of {best_score:.4f}"
        if self.time_s is not None and used.wall_s >= self.time_s:
            return f"the time budget of {in_words(self.time_s)} is used up"
        if self.gpu_hours is not None and gang_hours * shape.n_workers * shape.gpus_per_worker >= self.gpu_hours:
            return f"the budget of {self.gpu_hours:g} GPU-hours is used up"
        return None

    def left(self, used: Used, shape: GangShape) -> Used:
        """The unused part; infinite where there is no limit."""
        gpus = shape.n_workers * shape.gpus_per_worker
        gang_s = self.gpu_hours * 3600 / gpus if self.gpu_hours is not None and gpus else math.inf
        return Used((math.inf if self.time_s is None else self.time_s) - used.wall_s, gang_s - used.gang_s)

    def describe(self) -> str:
        """Such as `2 h 30 min, 4 GPU-hours or a score of 0.85; running trials are then cut at their next evaluation`."""
        limits = [
            in_words(self.time_s) if self.time_s is not None else None,
            f"{self.gpu_hours:g} GPU-hours" if self.gpu_hours is not None else None,
            f"a score of {self.target:g}" if self.target is not None else None,
        ]
        named = " or ".join(limit for limit in limits if limit)
        return f"{named}; running trials are then cut at their next evaluation" if named else "none"


@dataclass
class Meter:
    """Measures the use of a budget, on top of that by earlier sessions, `before`. `clock` returns seconds."""

    before: Used = field(default_factory=Used)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._began = self.clock()
        self._released_s = 0.0
        self._held_since: dict[int, float] = {}

    def hold(self, number: int) -> None:
        """Note that trial `number` has got its gang."""
        self._held_since.setdefault(number, self.clock())

    def release(self, number: int) -> None:
        """Note that trial `number` has returned its gang."""
        since = self._held_since.pop(number, None)
        if since is not None:
            self._released_s += self.clock() - since

    @property
    def used(self) -> Used:
        """The use until now, by all sessions."""
        now = self.clock()
        held = sum(now - since for since in self._held_since.values())
        return Used(self.before.wall_s + now - self._began, self.before.gang_s + self._released_s + held)


@dataclass
class Spending:
    """A search's budget with the meter of its use; by default without limits."""

    budget: Budget = field(default_factory=Budget)
    shape: GangShape = field(default_factory=GangShape)
    meter: Meter = field(default_factory=Meter)
    reserve: Callable[[], Used] = Used
    """The part of the budget that is reserved for the confirmation."""

    def reached(self, best_score: float | None) -> str | None:
        """As `Budget.reached`, now, where the reserved part counts as used."""
        used = self.meter.used
        reason = self.budget.reached(used, best_score, self.shape)
        if reason is not None or not self.budget.is_limited:
            return reason
        reserved = self.reserve()
        with_reserved = Used(used.wall_s + reserved.wall_s, used.gang_s + reserved.gang_s)
        reason = self.budget.reached(with_reserved, None, self.shape)
        kept = f"except {in_words(round(reserved.gang_s, 1))} of training reserved for the confirmation"
        return None if reason is None else f"{reason}, {kept}"

    @property
    def left(self) -> Used:
        """The unused part of the budget; infinite where there is no limit."""
        return self.budget.left(self.meter.used, self.shape)


def seconds_of(text: str) -> float:
    """`2h30m`, `45m`, `90s`, `1.5h`, `1d` or plain seconds as seconds. Raises `ConfigError`."""
    match = _DURATION.fullmatch(text.strip().lower().replace(" ", ""))
    try:
        parts = [(float(part), unit) for part, unit in zip(match.groups(), _UNITS_S, strict=True) if part] if match else []
    except ValueError:  # such as 1.2.3
        parts = []
    if not parts:
        raise ConfigError([f"--time-budget {text}: give a time such as 2h30m, 45m, 90s, or a number of seconds"])
    return sum(value * unit for value, unit in parts)


def trials_in_words(n_trials: int, max_trials: int | None) -> str:
    """Such as `20 full trials' compute, at most 50 trials`."""
    many = "s'" if n_trials != 1 else "'s"
    most = "" if max_trials is None else f", at most {max_trials} trial{'s' * (max_trials != 1)}"
    return f"{n_trials} full trial{many} compute{most}"


def in_words(seconds: float) -> str:
    """Such as `2 h 30 min`, `45 min`, `1.5 s`."""
    hours, rest = divmod(round(seconds, 3), 3600)
    minutes, s = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "min"), (round(s, 3), "s")]
    return " ".join(f"{value:g} {unit}" for value, unit in parts if value) or "0 s"
