"""Variants of the project's pruners and samplers, by the names that `python -m benchmarks.policies` takes."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import HyperbandPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, TPESampler

from tuner.study import PRUNERS, SAMPLERS
from tuner.study.pruners import base
from tuner.study.pruners.base import Pruner
from tuner.study.samplers.base import Sampler
from tuner.study.samplers.tpe import bounded_tpe


def percentile(kept: float, first: int, n_startup: int | None = None) -> Pruner:
    """Keep this many percent, from evaluation number `first` on."""
    n = base.N_STARTUP if n_startup is None else n_startup
    return Pruner("a variant", lambda schedule: PercentilePruner(kept, n_startup_trials=n, n_warmup_steps=first))


def halving(first: int, eta: int, n_bootstrap: int = 0) -> Pruner:
    """Successive halving from evaluation number `first`, which keeps one in `eta` at each rung."""
    options = {"min_resource": first, "reduction_factor": eta, "bootstrap_count": n_bootstrap}
    return Pruner("a variant", lambda schedule: SuccessiveHalvingPruner(**options))


def hyperband(first: int, eta: int) -> Pruner:
    """Hyperband whose first bracket begins at evaluation number `first`."""
    return Pruner(
        "a variant", lambda schedule: HyperbandPruner(first, max_resource=schedule.n_evaluations, reduction_factor=eta)
    )


def tpe(n_startup: int, make: Callable[..., BaseSampler] = bounded_tpe, *, group: bool = True) -> Sampler:
    """TPE after this many random trials."""
    options = {"n_startup_trials": n_startup, "multivariate": group, "group": group, "constant_liar": True}
    return Sampler("a variant", lambda settings: make(seed=settings.fresh_seed, **options), has_model=True)


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
