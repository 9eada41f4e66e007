"""Selects the earlier trials that a search uses; pure functions of the trials, the space, the metric and the data."""

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
"""Largest number of earlier configurations that are tried first, which bounds the cost of a misleading history."""


@dataclass(frozen=True)
class Used:
    """An earlier trial that maps into this search's space, with its score."""

    source: str
    trial: EarlierTrial
    mapped: Mapped
    score: float
    """By this search's metric."""
    apart: str
    """Why the score cannot be compared with this search's, as a clause after "because"; empty where it can."""

    @property
    def remembered(self) -> EarlierPoint:
        """The trial as the sampler uses it."""
        trial, mapped = self.trial, self.mapped
        return EarlierPoint(mapped.picks, mapped.distributions, trial.state == "COMPLETE", self.score, trial.n_evaluations)


@dataclass(frozen=True)
class WarmStart:
    """What a search takes from earlier ones."""

    sources: tuple[Source, ...]
    used: tuple[Used, ...]
    dropped: tuple[tuple[str, str], ...]
    """Source and reason of each earlier trial that is not used."""
    history: History

    def sentences(self) -> list[str]:
        """A sentence for each source: how many trials are used, and why the others are not."""
        sentences = []
        for source in self.sources:
            used, dropped = self._of(source)
            apart = Counter(one.apart for one in used if one.apart)
            only = "".join(f"; {count} as start configurations only, because {why}" for why, count in apart.most_common())
            rest = "".join(f"; {count} {reason}" for reason, count in dropped.most_common())
            n_trials = f"{len(used)} of {len(source.trials)} trials"
            sentences.append(f"warm start: {n_trials} of {source.name} can be used{only}{rest}")
        return sentences

    def to_dict(self) -> dict[str, Any]:
        """`warm_start` of results.json, without what is known only after the search."""
        sources = []
        for source in self.sources:
            used, dropped = self._of(source)
            numbers = {"trials": len(source.trials), "used": len(used), "compared": sum(not one.apart for one in used)}
            sources.append({"name": source.name} | numbers | {"dropped": dict(dropped)})
        return {"sources": sources, "sentences": self.sentences()}

    def _of(self, source: Source) -> tuple[list[Used], Counter[str]]:
        """A source's used trials, and its dropped ones counted by reason."""
        used = [one for one in self.used if one.source == source.name]
        return used, Counter(reason for name, reason in self.dropped if name == source.name)


def select(
    sources: Sequence[Source], space: Space, objective: Objective, data_sha256: str, n_trials: int, *, remembers: bool
) -> WarmStart:
    """Map the trials of all sources into `space` and sort them by their use.

    A score is compared only if it was measured on the same data, with the same configuration in every relevant setting.
    `remembers` is false where the sampler, the goals or the requirements make earlier scores useless. Raises `ConfigError` for
    a source without a usable trial.
    """
    used: list[Used] = []
    dropped: list[tuple[str, str]] = []
    for source in sources:
        for trial in source.trials:
            try:
                used.append(_use(source.name, trial, space, objective, data_sha256))
            except UnmappableError as error:
                dropped.append((source.name, str(error)))
    remembered = [one.remembered for one in used if remembers and not one.apart]
    history = History(_starts(used, n_trials), tuple(remembered))
    warm_start = WarmStart(tuple(sources), tuple(used), tuple(dropped), history)
    names = {one.source for one in used}
    useless = [text for text, source in zip(warm_start.sentences(), sources, strict=True) if source.name not in names]
    if useless:
        raise ConfigError(useless)
    return warm_start


def _use(source: str, trial: EarlierTrial, space: Space, objective: Objective, data_sha256: str) -> Used:
    """The use of a trial; raises `UnmappableError` with the reason where it has none."""
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
    apart = f"they differ in {', '.join(mapped.differs)}" if mapped.differs else ""
    if trial.data_sha256 != data_sha256:
        apart = "they were measured on other data"
    return Used(source, trial, mapped, score, apart)


def _starts(used: Sequence[Used], n_trials: int) -> tuple[dict[str, Any], ...]:
    """The configurations to try first: the best complete ones, taken in turn from each group with comparable scores.

    Their number is at most a quarter of the search and at most `MOST_STARTS`.
    """
    kinds: dict[tuple[str, str, str], list[Used]] = {}
    for one in used:
        if one.trial.state == "COMPLETE":
            kind = (one.source, one.trial.data_sha256, one.apart) if one.apart else ("", "", "")
            kinds.setdefault(kind, []).append(one)
    ranked = [sorted(kind, key=lambda one: -one.score) for kind in (kinds[key] for key in sorted(kinds))]
    starts: list[dict[str, Any]] = []
    for one in (one for row in zip_longest(*ranked) for one in row if one is not None):
        if dict(one.mapped.picks) not in starts:
            starts.append(dict(one.mapped.picks))
    return tuple(starts[: min(MOST_STARTS, max(1, n_trials // 4))])
