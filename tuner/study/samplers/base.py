"""The fields of a sampler's registry entry, and the settings that its sampler is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optuna.samplers import BaseSampler

from tuner.study.samplers.history import EarlierPoint


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of the search that a sampler depends on."""

    seed: int
    n_trials: int
    """Trials in total."""
    n_before: int
    """Trials that the study already has: a resumed search must not draw the same numbers again."""
    history: Sequence[EarlierPoint] = ()
    """Earlier trials, for a sampler that can use them."""

    @property
    def fresh_seed(self) -> int:
        return self.seed + self.n_before

    @property
    def n_startup(self) -> int:
        """Trials before a sampler has a model: half of the search, 4 to 10."""
        return min(max(self.n_trials // 2, 4), 10)


@dataclass(frozen=True)
class Sampler:
    """An entry of the registry."""

    description: str
    """How it samples, in a line of docs/reference.md."""
    make: Callable[[SamplerSettings], BaseSampler]
    has_model: bool
    """Whether it learns from results; else its draws stay what they are."""
    several_goals: bool = True
    """Whether it can follow several goals."""
    constraints: bool = False
    """Whether it prefers configurations that meet the requirements."""
    conditions: bool = False
    """Whether it models conditional parameters; else they are drawn independently."""
    history: bool = False
    """Whether it can be shown earlier trials."""
    most_points: int | None = None
    """Values of a stepped number that it can list in memory; None where it lists none."""
