"""Which earlier trials a search uses, and for what; a pure function of them, the space, the metric and the data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from model.config import ConfigError
from tuner.config.objective import Objective
from tuner.search.warm_start.earlier import EarlierTrial, Source
from tuner.space import Space
from tuner.space.mapping import Mapped, UnmappableError, map_config
from tuner.study.samplers.history import EarlierPoint, History

MOST_STARTS = 3
"""Earlier configurations that a search tries first: what a misleading history can cost."""


@dataclass(frozen=True)
class Used:
    """An earlier trial with a place and a score in this search."""

    source: str
    trial: EarlierTrial
    mapped: Mapped
    score: float
    """By this search's metric."""
    apart: str
    """Why the score cannot be compared with this search's, in words that follow "because"; empty where it can."""


@dataclass(frozen=True)
class WarmStart:
    """What a search takes from earlier ones."""

    sources: tuple[Source, ...]
    used: tuple[Used, ...]
    dropped: tuple[tuple[str, str], ...]
    """For each earlier trial that is not used its source and the reason."""
    history: History

    def sentences(self) -> list[str]:
        """One for each source: what is used, and why the rest is not."""
        return [self._sentence(source) for source in self.sources]

    def _sentence(self, source: Source) -> str:
        used = [one for one in self.used if one.source == source.name]
        reasons = Counter(reason for name, reason in self.dropped if name == source.name)
        rest = "".join(f"; {count} {reason}" for reason, count in reasons.most_common())
        apart = Counter(one.apart for one in used if one.apart)
        only = "".join(f"; {count} as start configurations only, because {why}" for why, count in apart.most_common())
        return f"warm start: {len(used)} of {len(source.trials)} trials of {source.name} can be used{only}{rest}"

    def to_dict(self) -> dict[str, Any]:
        """The part of results.json that is known before the search."""
        return {
            "sources": [
                {
                    "name": source.name,
                    "trials": len(source.trials),
                    "used": sum(one.source == source.name for one in self.used),
                    "compared": sum(one.source == source.name and not one.apart for one in self.used),
                    "dropped": dict(Counter(reason for name, reason in self.dropped if name == source.name)),
                }
                for source in self.sources
            ],
            "sentences": self.sentences(),
        }


def select(
    sources: Sequence[Source], space: Space, objective: Objective, data_sha256: str, n_trials: int, *, remembers: bool
) -> WarmStart:
    """Map and sort the trials of all sources.

    A score is compared only where the metric can be computed from what was measured, on the same data, and in every setting
    that matters by the configuration that this search would run. `remembers` says whether scores are of use at all: to the
    sampler, and under goals and requirements. Raises `ConfigError` for a source without one usable trial.
    """
    used: list[Used] = []
    dropped: list[tuple[str, str]] = []
    for source in sources:
        for trial in source.trials:
            try:
                used.append(_use(source.name, trial, space, objective, data_sha256))
            except UnmappableError as error:
                dropped.append((source.name, str(error)))
    whole = WarmStart(tuple(sources), tuple(used), tuple(dropped), History())
    names = {one.source for one in used}
    useless = [source.name for source in sources if source.name not in names]
    if useless:
        raise ConfigError([s for s, source in zip(whole.sentences(), sources, strict=True) if source.name in useless])
    comparable = [one for one in used if not one.apart] if remembers else []
    history = History(_starts(used, n_trials), tuple(map(_point, comparable)))
    return WarmStart(whole.sources, whole.used, whole.dropped, history)


def _use(source: str, trial: EarlierTrial, space: Space, objective: Objective, data_sha256: str) -> Used:
    """Raises `UnmappableError` with the reason why the trial is of no use."""
    if trial.state not in ("COMPLETE", "PRUNED"):
        raise UnmappableError("failed or never ended")
    metrics = {name: value for name, value in trial.metrics.items() if value is not None}
    missing = [name for name in objective.metrics if name not in metrics]
    if missing or not metrics:
        missing = missing or ["any metric"]
        raise UnmappableError(f"did not measure {' and '.join(missing)}")
    score = objective.score(metrics)
    if not math.isfinite(score):
        raise UnmappableError("have no finite score")
    mapped = map_config(space, trial.config)
    return Used(source, trial, mapped, score, _apart(trial, mapped, data_sha256))


def _apart(trial: EarlierTrial, mapped: Mapped, data_sha256: str) -> str:
    if trial.data_sha256 != data_sha256:
        return "they were measured on other data"
    return f"they differ in {', '.join(mapped.differs)}" if mapped.differs else ""


def _starts(used: Sequence[Used], n_trials: int) -> tuple[dict[str, Any], ...]:
    """The best complete configurations, at most a quarter of the search: of each kind that can be compared the best in turn."""
    kinds: dict[tuple[str, str, str], list[Used]] = {}
    for one in used:
        if one.trial.state == "COMPLETE":
            kind = (one.source, one.trial.data_sha256, one.apart) if one.apart else ("", "", "")
            kinds.setdefault(kind, []).append(one)
    ranked = [sorted(kind, key=lambda one: -one.score) for kind in (kinds[key] for key in sorted(kinds))]
    found: list[dict[str, Any]] = []
    for one in (one for row in zip_longest(*ranked) for one in row if one is not None):
        if dict(one.mapped.picks) not in found:
            found.append(dict(one.mapped.picks))
    return tuple(found[: min(MOST_STARTS, max(1, n_trials // 4))])


def _point(one: Used) -> EarlierPoint:
    return EarlierPoint(
        one.mapped.picks, one.mapped.distributions, one.trial.state == "COMPLETE", one.score, one.trial.n_evaluations
    )
