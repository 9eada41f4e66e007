"""The finalists: the best trials and the untuned default, each trained again on the same fresh seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, parse
from model.training.seeds import mix
from tuner.results.pareto import front_of, merit
from tuner.results.trial_record import TrialRecord
from tuner.search.cache_key import digest
from tuner.space import Space
from tuner.space.untuned import untuned

FRESH = 0xF1
"""Identifies this use of `model.training.seeds.mix`."""
N_ON_GPU, N_ON_CPU = 3, 2
"""Default number of finalists, and of seeds of each."""
DEFAULT = "default"
"""Name of the untuned default, in place of a trial's number."""


@dataclass(frozen=True)
class Confirmation:
    """The plan of a confirmation."""

    n_finalists: int
    """Trials, without the untuned default."""
    n_seeds: int
    """Fresh seeds of each."""
    default: TrialConfig | None
    without_default: str | None = None
    """Why there is no default, in a clause."""

    @property
    def n_trainings(self) -> int:
        """Trainings at most: a search may have fewer complete trials."""
        return (self.n_finalists + (self.default is not None)) * self.n_seeds

    def describe(self) -> str:
        """Such as `the best 2 trials and the untuned default, on 2 fresh seeds each`."""
        best = "the best trial" if self.n_finalists == 1 else f"the best {self.n_finalists} trials"
        default = "" if self.default is None else " and the untuned default"
        seeds = "one fresh seed" if self.n_seeds == 1 else f"{self.n_seeds} fresh seeds"
        return f"{best}{default}, on {seeds} each"


def confirmation_for(space: Space, seed: int, n_finalists: int, n_seeds: int) -> Confirmation | None:
    """The plan of a search's confirmation; None without finalists."""
    if n_finalists == 0:
        return None
    try:
        return Confirmation(n_finalists, n_seeds, canonical(untuned(space, seed)))
    except ConfigError as error:
        return Confirmation(n_finalists, n_seeds, None, "; ".join(error.problems))


@dataclass(frozen=True)
class Finalist:
    """A configuration to train again."""

    config: TrialConfig
    """In canonical form; its seed is not among the fresh ones."""
    trial: TrialRecord | None
    """The best trial with it; None for a default that no trial had."""
    is_default: bool = False

    @cached_property
    def identity(self) -> str:
        """Equal for configurations that differ only in their seed."""
        return digest({name: value for name, value in self.config.to_dict().items() if name != "seed"}, 10)

    @property
    def name(self) -> str:
        """`trial 3`, or `default`."""
        return DEFAULT if self.is_default or self.trial is None else f"trial {self.trial.number}"

    def trainings(self, seeds: Sequence[int]) -> list[Training]:
        return [Training(self, self.config.model_copy(update={"seed": seed})) for seed in seeds]


@dataclass(frozen=True)
class Training:
    """A finalist on one fresh seed."""

    finalist: Finalist
    config: TrialConfig

    @property
    def seed(self) -> int:
        return self.config.seed

    @cached_property
    def number(self) -> int:
        """A hash of the configuration above all trials' numbers, the same in every session, so that none is trained twice."""
        return (1 << 40) + int(digest(self.config.to_dict(), 10), 16)

    def __str__(self) -> str:
        return f"{self.finalist.name} seed {self.seed}"


def fresh_seeds(seed: int, n: int, taken: Collection[int]) -> list[int]:
    """n different seeds that are not in `taken`, derived from the search's `seed`; a larger n only adds seeds."""
    candidates = (int(mix(seed, FRESH, index)) % 2**31 for index in count())
    seeds: dict[int, None] = {}
    while len(seeds) < n:
        candidate = next(candidates)
        if candidate not in taken:
            seeds[candidate] = None
    return list(seeds)


def choose(
    records: Iterable[TrialRecord], default: TrialConfig | None, n: int, confirmed: Collection[str] = ()
) -> list[Finalist]:
    """The finalists, best search score first, the default at the end.

    They are the n best COMPLETE configurations without the default, in the order of `pareto.merit`: those that meet the
    requirements come first. With several goals only members of the Pareto front are among them. Configurations with an identity
    in `confirmed` are trained already and remain finalists.
    """
    complete = sorted((r for r in records if r.state == "COMPLETE" and r.score is not None), key=merit, reverse=True)
    if any(len(record.scores) > 1 for record in complete):
        front = {record.number for record in front_of(complete)}
        complete.sort(key=lambda record: record.number not in front)  # stable, and only confirmed ones of the rest are taken
        n = min(n, len(front))
    by_identity: dict[str, Finalist] = {}
    for record in complete:
        finalist = Finalist(canonical(parse(record.config)), record)
        by_identity.setdefault(finalist.identity, finalist)
    untried = None if default is None else Finalist(default, None)
    tried = None if untried is None else by_identity.pop(untried.identity, untried)
    others = list(by_identity.values())
    chosen = [*others[:n], *(finalist for finalist in others[n:] if finalist.identity in confirmed)]
    if default is None or tried is None or not (chosen or tried.trial):
        return chosen
    return [*chosen, Finalist(default, tried.trial, is_default=True)]


def in_order(finalists: Sequence[Finalist], seeds: Sequence[int]) -> list[Training]:
    """All trainings, most important first: the best trial and the default seed by seed, then the other finalists one by one."""
    defaults = [finalist for finalist in finalists if finalist.is_default]
    others = [finalist for finalist in finalists if not finalist.is_default]
    pair = [finalist.trainings(seeds) for finalist in (*others[:1], *defaults)]
    rest = [finalist.trainings(seeds) for finalist in others[1:]]
    return [*chain.from_iterable(zip(*pair, strict=True)), *chain.from_iterable(rest)]
