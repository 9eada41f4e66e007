"""Variants of the project's pruners and samplers, by the names that `python -m benchmarks.policies` takes."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner, HyperbandPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler

from tuner.study.pruners import table as pruners
from tuner.study.pruners.table import PRUNERS, Races
from tuner.study.samplers.table import SAMPLERS, Draws
from tuner.study.samplers.tpe import BoundedTPESampler


def percentile(kept: float, first: int, n_startup: int | None = None) -> Callable[[Races], BasePruner]:
    """Keep this many percent, from evaluation number `first` on."""
    return lambda races: PercentilePruner(
        kept, n_startup_trials=pruners.N_STARTUP if n_startup is None else n_startup, n_warmup_steps=first
    )


def halving(first: int, eta: int, n_bootstrap: int = 0) -> Callable[[Races], BasePruner]:
    """Successive halving from evaluation number `first`, which keeps one in `eta` at each rung."""
    return lambda races: SuccessiveHalvingPruner(min_resource=first, reduction_factor=eta, bootstrap_count=n_bootstrap)


def hyperband(first: int, eta: int) -> Callable[[Races], BasePruner]:
    """Hyperband whose first bracket begins at evaluation number `first`."""
    return lambda races: HyperbandPruner(min_resource=first, max_resource=races.n_evaluations, reduction_factor=eta)


def tpe(n_startup: int, cls: type[TPESampler] = BoundedTPESampler, *, group: bool = True) -> Callable[[Draws], BaseSampler]:
    """TPE after this many random trials."""
    return lambda draws: cls(
        seed=draws.fresh_seed, n_startup_trials=n_startup, multivariate=group, group=group, constant_liar=True
    )


FIRST = range(1, 6)
ETA = range(2, 6)
N_STARTUP = (1, 2, 3, 5, 10, 20)
PRUNER_VARIANTS = {
    **{f"median@{first}": percentile(50, first) for first in FIRST},
    **{f"median@{first}/{n}": percentile(50, first, n) for first in FIRST for n in N_STARTUP},
    **{f"best{kept}@{first}": percentile(kept, first) for kept in (25, 33, 75) for first in FIRST},
    **{f"best{kept}@{first}/{n}": percentile(kept, first, n) for kept in (25, 33) for first in FIRST for n in N_STARTUP},
    **{f"asha{first}/{eta}": halving(first, eta) for first in FIRST for eta in ETA},
    **{f"asha{first}/{eta}/{n}": halving(first, eta, n) for first in FIRST for eta in ETA for n in N_STARTUP},
    "hyperband1/3": hyperband(1, 3),
}
"""`median@3/20`: from the third evaluation on, after 20 complete trials; `best25@3`: the same for the best quarter, after the
usual number; `asha1/4`: first rung 1, η = 4; `asha2/2/10`: the first ten trials at a rung end there, as a reference."""
SAMPLER_VARIANTS = {
    **{f"tpe{n}": tpe(n) for n in (3, 4, 5, 8, 10, 15, 20, 40, 80)},
    "tpe-single": tpe(10, group=False),
    "tpe-plain": tpe(10, TPESampler),
}
"""By the number of random trials at the start; `-single` models each parameter alone, `-plain` is Optuna's own class."""


def register() -> None:
    """Let studies of this process use the variants."""
    PRUNERS.update(PRUNER_VARIANTS)
    SAMPLERS.update(SAMPLER_VARIANTS)
