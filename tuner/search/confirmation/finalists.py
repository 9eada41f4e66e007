"""Who is trained again: the best trials and the untuned default, each on the same fresh seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from model.canonical import canonical
from model.config import ConfigError, TrialConfig, parse
from model.training.seeds import mix
from tuner.results.pareto import front_of, merit
from tuner.results.trial_record import TrialRecord
from tuner.space import Space
from tuner.space.untuned import untuned

FRESH = 0xF1
"""Second part of a fresh seed's own seed: what it is for (`model.training.seeds`)."""
N_ON_GPU, N_ON_CPU = 3, 2
"""Finalists, and seeds of each, where nobody says how many."""
DEFAULT = "default"
"""What the untuned default is called where trials have numbers."""


@dataclass(frozen=True)
class Confirmation:
    """What a search's confirmation is to be."""

    n_finalists: int
    """Trials, besides the untuned default."""
    n_seeds: int
    """Fresh seeds of each."""
    default: TrialConfig | None
    without_default: str | None = None
    """Why there is none, in a clause."""

    @property
    def n_trainings(self) -> int:
        """At most: a search may have fewer complete trials."""
        return (self.n_finalists + (self.default is not None)) * self.n_seeds

    def describe(self) -> str:
        """Such as `the best 2 trials and the untuned default, on 2 fresh seeds each`."""
        best = "the best trial" if self.n_finalists == 1 else f"the best {self.n_finalists} trials"
        default = "" if self.default is None else " and the untuned default"
        seeds = "one fresh seed" if self.n_seeds == 1 else f"{self.n_seeds} fresh seeds"
        return f"{best}{default}, on {seeds} each"


def confirmation_for(space: Space, seed: int, n_finalists: int, n_seeds: int) -> Confirmation | None:
    """The confirmation of a search; None where there are to be no finalists."""
    if n_finalists == 0:
        return None
    try:
        return Confirmation(n_finalists, n_seeds, canonical(untuned(space, seed)))
    except ConfigError as error:
        return Confirmation(n_finalists, n_seeds, None, "; ".join(error.problems))


@dataclass(frozen=True)
class Finalist:
    """A configuration to be confirmed."""

    config: TrialConfig
    """In canonical form; its own seed is one that no training of the confirmation has."""
    trial: TrialRecord | None
    """The best trial that had it; None for a default that no trial tried."""
    is_default: bool = False

    @cached_property
    def identity(self) -> str:
        return identity(self.config)

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
        """A hash of its configuration: the same in every session, so that nothing is trained twice. Above trials' numbers."""
        return (1 << 40) + int(_digest(self.config.to_dict()), 16)

    def __str__(self) -> str:
        return f"{self.finalist.name} seed {self.seed}"


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]


def identity(config: TrialConfig) -> str:
    """The same for configurations that differ in their seed alone."""
    return _digest({name: value for name, value in config.to_dict().items() if name != "seed"})


def fresh_seeds(seed: int, n: int, taken: Collection[int]) -> list[int]:
    """n different seeds, a function of the search's, none of `taken`. More of them begin with the same ones."""
    found: list[int] = []
    index = 0
    while len(found) < n:
        fresh = int(mix(seed, FRESH, index)) % 2**31
        index += 1
        if fresh not in taken and fresh not in found:
            found.append(fresh)
    return found


def choose(
    records: Iterable[TrialRecord], default: TrialConfig | None, n: int, confirmed: Collection[str] = ()
) -> list[Finalist]:
    """The finalists, best search score first, the default at the end.

    The n best COMPLETE configurations other than the default, as `front.best_of` orders them: those that meet the requirements
    come first. Under several goals only members of the front are among them. Configurations with the identities `confirmed`,
    which cost nothing more, stay finalists whatever trials came since.
    """
    complete = sorted((r for r in records if r.state == "COMPLETE" and r.score is not None), key=merit, reverse=True)
    if any(len(record.scores) > 1 for record in complete):
        front = {record.number for record in front_of(complete)}
        complete.sort(key=lambda record: record.number not in front)  # stable: of the others, only confirmed ones are asked for
        n = min(n, len(front))
    by_identity: dict[str, Finalist] = {}
    for record in complete:
        finalist = Finalist(canonical(parse(record.config)), record)
        by_identity.setdefault(finalist.identity, finalist)
    own = None if default is None else by_identity.pop(identity(default), Finalist(default, None))
    others = list(by_identity.values())
    chosen = [*others[:n], *(finalist for finalist in others[n:] if finalist.identity in confirmed)]
    if default is None or own is None or not (chosen or own.trial):
        return chosen
    return [*chosen, Finalist(default, own.trial, is_default=True)]


def in_order(finalists: Sequence[Finalist], seeds: Sequence[int]) -> list[Training]:
    """All trainings, the most needed first: the best trial and the default seed by seed, then the other finalists in turn."""
    defaults = [finalist for finalist in finalists if finalist.is_default]
    others = [finalist for finalist in finalists if not finalist.is_default]
    pair = [finalist.trainings(seeds) for finalist in (*others[:1], *defaults)]
    rest = [finalist.trainings(seeds) for finalist in others[1:]]
    return [*chain.from_iterable(zip(*pair, strict=True)), *chain.from_iterable(rest)]
