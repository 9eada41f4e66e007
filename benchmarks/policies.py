"""Which sampler and pruner, with which settings: the project's policies, variants of them (variants.py), and other software.

    python -m benchmarks.policies laptop tpe+median tpe+asha "stock Ray"
    python -m benchmarks.policies --curves DIR tpe+median tpe+asha1/3,default "stock Ray"

`laptop` and `cluster` are searches over generated curves (synthetic.py), as long as their number of trials. With
`--curves` the searches are over recorded curves (curves.py says what DIR holds), and all of them have the same time: that of
`--trials` trials of mean cost. Nothing here changes a default; docs/log.md says what came of it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from benchmarks import curve_policies, curve_search, curves, simulated_syne_tune, variants
from benchmarks.costs import CPU_FLOPS, GPU_FLOPS
from benchmarks.equal_time import Setting
from benchmarks.simulated_stock_ray import StockRay
from benchmarks.synthetic import Synthetic
from model.config import ConfigError
from tuner.commands.simulate import command, compare
from tuner.commands.simulate.clock import Charges, World
from tuner.commands.simulate.command import Simulation, time_of
from tuner.commands.simulate.compare import Policy, study_policy
from tuner.config.objective import Objective
from tuner.space import Space, load

STOCK = curve_policies.STOCK_RAY
WRONG_USAGE = 2
ON_CURVES = ("tpe+median", "tpe+asha", "tpe+median,default", "tpe+asha,default", STOCK)
"""What `--curves` judges when nothing is named, with Syne Tune's where that is installed."""


@dataclass(frozen=True)
class Kind:
    """A kind of search."""

    profile: str
    n_slots: int
    n_trials: int
    flops_per_s: float


KINDS = {"laptop": Kind("laptop", 2, 20, CPU_FLOPS), "cluster": Kind("gpu", 64, 500, GPU_FLOPS)}


def policies(names: list[str], kind: Kind, space: Space, objective: Objective, n_evaluations: int) -> list[Policy]:
    def stock(world: World, seed: int) -> StockRay:
        return StockRay(space, objective, curve_policies.NO_LIMIT, n_evaluations, seed)

    charges = Charges()
    return [
        Policy(STOCK, stock, replace(charges, ask_s=0.02))
        if name == STOCK
        else study_policy(name, space, objective, kind.n_trials, n_evaluations, charges)
        for name in names
    ]


def simulation(kind: Kind, names: list[str], n_repetitions: int, seed: int, hours: float | None) -> Simulation:
    whole = load("smart_mtl", kind.profile)
    objective = Objective("mean", whole.targets)
    space, _ = whole.restrict(tasks=("sst", "quora", "sts", "cfimdb"), required=objective.required_tasks)
    worlds = tuple(Synthetic(space, objective, seed + r, kind.flops_per_s) for r in range(n_repetitions))
    made = tuple(policies(names, kind, space, objective, 10))
    until_s = time_of(worlds, space, kind.n_trials, kind.n_slots) if hours is None else hours * 3600
    return Simulation(worlds, made, kind.n_slots, kind.n_trials, until_s, seed, None, f"smart_mtl, profile {kind.profile}")


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(
        prog="python -m benchmarks.policies", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    text.add_argument("names", nargs="*", metavar="NAME", help="laptop or cluster without --curves, then policies: "
                      f"SAMPLER+PRUNER, or '{STOCK}'; on generated curves the first is what the others are compared "
                      f"with; with --curves options follow a comma: {', '.join(curve_policies.OPTIONS)}")  # fmt: skip
    text.add_argument("--curves", type=Path, metavar="DIR", help="a folder of recorded curves")
    text.add_argument("--sets", nargs="+", choices=tuple(curves.SETS), default=tuple(curves.SETS), help="of recorded curves")
    text.add_argument("--reuse", action="store_true", help="let one recorded trial answer several proposals of a search")
    text.add_argument("--reference", default=STOCK, help=f"what the others are compared with, with --curves ({STOCK})")
    text.add_argument("--jobs", type=int, default=2, help="processes, with --curves (2)")
    text.add_argument("--repetitions", type=int, help="searches of each policy (20), of each set with --curves (16)")
    text.add_argument("--trials", type=int, help="of a search; with --curves what its time is enough for (20)")
    text.add_argument("--slots", type=int, help="trials at once; with --curves 2")
    text.add_argument("--seed", type=int, default=0)
    text.add_argument("--hours", type=float, help="simulated time of each search on generated curves")
    text.add_argument("--json", type=Path, help="also write the outcomes here")
    return text


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    warnings.simplefilter("ignore")
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    variants.register()
    try:
        _check_numbers(options)
        return on_curves(options) if options.curves else on_generated(options)
    except ConfigError as error:
        print(f"python -m benchmarks.policies: {'; '.join(error.problems)}", file=sys.stderr)
        return WRONG_USAGE


def _check_numbers(options: argparse.Namespace) -> None:
    """Raises `ConfigError`."""
    counts = {name: getattr(options, name) for name in ("jobs", "repetitions", "trials", "slots")}
    problems = [f"--{name} {value}: give 1 or more" for name, value in counts.items() if value is not None and value < 1]
    if problems:
        raise ConfigError(problems)


def on_curves(options: argparse.Namespace) -> int:
    """Judge the policies on recorded curves."""
    names: Sequence[str] = tuple(dict.fromkeys(options.names)) or _usual()
    for name in names:
        curve_policies.parse(name)
    worlds = curves.load_all(options.curves, options.sets)
    for world in worlds:
        print(f"{world.name}: {len(world.trials)} trials, leave-one-out rank correlation {world.leave_one_out():.2f}")
    setting = Setting(options.trials or 20, options.slots or 2)
    seeds = range(options.seed, options.seed + (options.repetitions or 16))
    comparison = curve_search.compare(worlds, options.curves, names, setting, seeds, options.jobs, options.reuse)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(curve_search.share_table(comparison))
    if options.reference in names and len(names) > 1:
        console.print(curve_search.difference_table(comparison, options.reference))
    if options.json:
        curve_search.write_json(options.json, [comparison])
    return 0


def _usual() -> tuple[str, ...]:
    if simulated_syne_tune.is_installed():
        return (*ON_CURVES, *simulated_syne_tune.NAMES)
    print(simulated_syne_tune.NOT_INSTALLED)
    return ON_CURVES


def on_generated(options: argparse.Namespace) -> int:
    """Compare policies over generated curves."""
    kind_name, *names = options.names or [""]
    if kind_name not in KINDS or not names:
        raise ConfigError([f"give {' or '.join(KINDS)} and then policies, or --curves DIR"])
    kind = KINDS[kind_name]
    kind = replace(kind, n_trials=options.trials or kind.n_trials, n_slots=options.slots or kind.n_slots)
    sim = simulation(kind, names, options.repetitions or 20, options.seed, options.hours)
    outcomes = compare.compare(sim.policies, sim.worlds, sim.n_slots, sim.seed, None, sim.until_s)
    Console().print(command.table(sim, outcomes))
    if options.json:
        options.json.write_text(json.dumps(command.as_json(sim, outcomes)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
