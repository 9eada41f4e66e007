"""Which sampler and pruner, with which settings: `python -m benchmarks.policies laptop` and `… cluster`.

A table of the project's policies, of variants of their settings, and of stock Ray, over the generated curves of
`tuner.simulate`. Nothing here changes a default; docs/log.md says what came of it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from rich.console import Console

from benchmarks.simulated_stock_ray import StockRay
from tuner.objective import Objective
from tuner.simulate import compare, table
from tuner.simulate.clock import Charges, Decisions
from tuner.simulate.compare import Policy
from tuner.simulate.options import CPU_FLOPS, GPU_FLOPS, Simulation
from tuner.simulate.policies import study_policy
from tuner.simulate.synthetic import Synthetic
from tuner.simulate.world import World
from tuner.space import Space, load
from tuner.study import sample
from tuner.study.bounded_tpe import BoundedTPESampler
from tuner.study.pruners import PRUNERS, Races
from tuner.study.samplers import SAMPLERS, Draws

STOCK = "stock Ray"


@dataclass(frozen=True)
class Kind:
    """A kind of search."""

    profile: str
    n_slots: int
    n_trials: int
    flops_per_s: float


KINDS = {"laptop": Kind("laptop", 2, 20, CPU_FLOPS), "cluster": Kind("gpu", 64, 500, GPU_FLOPS)}


def percentile(kept: float, first: int, n_startup: int | None = None) -> Callable[[Races], BasePruner]:
    """Keep this many percent, from evaluation number `first` on."""
    return lambda races: races.kinds.percentile(
        kept, n_startup_trials=races.n_startup if n_startup is None else n_startup, n_warmup_steps=first
    )


def halving(first: int, eta: int, n_bootstrap: int = 0) -> Callable[[Races], BasePruner]:
    return lambda races: races.kinds.halving(min_resource=first, reduction_factor=eta, bootstrap_count=n_bootstrap)


def hyperband(first: int, eta: int) -> Callable[[Races], BasePruner]:
    return lambda races: races.kinds.hyperband(min_resource=first, max_resource=races.n_evaluations, reduction_factor=eta)


def tpe(n_startup: int, cls: type[TPESampler] = BoundedTPESampler, *, group: bool = True) -> Callable[[Draws], BaseSampler]:
    return lambda draws: cls(
        seed=draws.fresh_seed, n_startup_trials=n_startup, multivariate=group, group=group, constant_liar=True
    )


PRUNER_VARIANTS = {
    "median@1": percentile(50, 1), "median@2": percentile(50, 2), "median@5": percentile(50, 5),
    "median@3/20": percentile(50, 3, 20), "best75@3": percentile(75, 3), "best75@1": percentile(75, 1),
    "best25@5": percentile(25, 5), "asha1/2": halving(1, 2), "asha1/3": halving(1, 3), "asha1/4": halving(1, 4),
    "asha2/4": halving(2, 4), "asha2/2/10": halving(2, 2, 10), "asha4/2": halving(4, 2), "hyperband1/3": hyperband(1, 3),
}  # fmt: skip
"""`median@3/20`: from the third evaluation on, after 20 complete trials; `asha1/4`: first rung 1, η = 4."""
SAMPLER_VARIANTS = {
    "tpe4": tpe(4), "tpe10": tpe(10), "tpe20": tpe(20), "tpe40": tpe(40), "tpe80": tpe(80),
    "tpe-single": tpe(10, group=False), "tpe-plain": tpe(10, TPESampler),
}  # fmt: skip
"""By the number of random trials at the start; `-single` models each parameter alone, `-plain` is Optuna's own class."""


def policies(names: list[str], kind: Kind, space: Space, objective: Objective, n_evaluations: int) -> list[Policy]:
    def stock(world: World, seed: int) -> StockRay:
        return StockRay(space, objective, kind.n_trials, n_evaluations, seed)

    charges = Charges()
    return [
        Policy(STOCK, stock, replace(charges, ask_s=0.02))
        if name == STOCK
        else meeting(name, space, objective, kind.n_trials, n_evaluations, charges)
        for name in names
    ]


def meeting(name: str, *options: Any) -> Policy:
    """`SAMPLER+PRUNER`, or `SAMPLER+PRUNER:N`, where a judged trial meets N others at most, or `all`."""
    plain, _, limit = name.partition(":")
    policy, usual = study_policy(plain, *options), sample.LIMIT

    def opened(world: World, seed: int) -> Decisions:
        sample.LIMIT = {"": usual, "all": sys.maxsize}.get(limit) or int(limit)
        return policy.open(world, seed)

    return replace(policy, name=name, open=opened)


def simulation(kind: Kind, names: list[str], n_repetitions: int, seed: int, hours: float | None) -> Simulation:
    whole = load("smart_mtl", kind.profile)
    objective = Objective("mean", whole.targets)
    space, _ = whole.restrict(tasks=("sst", "quora", "sts", "cfimdb"), required=objective.required_tasks)
    worlds = tuple(Synthetic(space, objective, seed + r, kind.flops_per_s) for r in range(n_repetitions))
    made = tuple(policies(names, kind, space, objective, 10))
    until_s = math.inf if hours is None else hours * 3600
    return Simulation(worlds, made, kind.n_slots, kind.n_trials, until_s, seed, None, f"smart_mtl, profile {kind.profile}")


def main(argv: list[str] | None = None) -> int:
    text = argparse.ArgumentParser(prog="python -m benchmarks.policies", description=__doc__)
    text.add_argument("kind", choices=tuple(KINDS))
    text.add_argument(
        "names", nargs="+", help=f"SAMPLER+PRUNER[:PEERS], or '{STOCK}'; the first is what the others are compared with"
    )
    text.add_argument("--repetitions", type=int, default=20)
    text.add_argument("--trials", type=int)
    text.add_argument("--slots", type=int)
    text.add_argument("--seed", type=int, default=0)
    text.add_argument("--hours", type=float, help="end every search after this simulated time")
    text.add_argument("--json", type=Path, help="also write the outcomes here")
    options = text.parse_args(argv)
    warnings.simplefilter("ignore")
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    PRUNERS.update(PRUNER_VARIANTS)
    SAMPLERS.update(SAMPLER_VARIANTS)
    kind = KINDS[options.kind]
    kind = replace(kind, n_trials=options.trials or kind.n_trials, n_slots=options.slots or kind.n_slots)
    sim = simulation(kind, options.names, options.repetitions, options.seed, options.hours)
    outcomes = compare.compare(sim.policies, sim.worlds, sim.n_slots, sim.seed, None, sim.until_s)
    Console().print(table.table(sim, outcomes))
    if options.json:
        options.json.write_text(json.dumps(table.as_json(sim, outcomes)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
