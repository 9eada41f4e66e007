"""The command line of `python -m tuner simulate`, checked before anything is simulated."""

from __future__ import annotations

import argparse
import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.config import ConfigError, nearest, parse
from model.tasks import TASKS
from tuner.commands.simulate.clock import Charges
from tuner.commands.simulate.compare import Policy
from tuner.commands.simulate.policies import study_policy
from tuner.commands.simulate.replay import Replay
from tuner.commands.simulate.synthetic import Synthetic
from tuner.commands.simulate.world import World
from tuner.config import options as search_options
from tuner.config.objective import MEAN, Objective
from tuner.results import results_json as results
from tuner.space import Space, load
from tuner.study import PRUNERS, SAMPLERS

USUAL = ("tpe+median", "random+none", "random+asha")
"""What is compared when nothing is named; the first is a search's default."""
CHARGED = ("cold_s", "warm_s", "prune_s", "save_s", "load_s")
"""The charges of the clock that the command line can set."""
N_TIMED = 100
"""Random configurations that the time of a search is taken from."""
CPU_FLOPS, GPU_FLOPS = 2e10, 1e13
"""Operations per second of a slot: of one core as seen in docs/log.md, and of a GPU in fp32 with padding, about."""


def parser() -> argparse.ArgumentParser:
    text = argparse.ArgumentParser(
        prog="python -m tuner simulate",
        description="Replay searches under a simulated clock and compare samplers and pruners, without training anything.",
    )
    what = text.add_argument_group("learning curves")
    what.add_argument("--record", nargs="+", type=Path, metavar="RUN", help="replay these runs: folders, or their results.json")
    what.add_argument("--synthetic", action="store_true", help="generate curves instead, another world for each repetition")
    what.add_argument("--space", help="a space of search_spaces/, or your own YAML file (the record's, else smart_mtl)")
    what.add_argument("--profile", help="laptop or gpu, or another of the space's (the record's, else laptop)")
    what.add_argument("--metric", help="mean, or one such as sst/accuracy (the record's, else the space's)")
    how = text.add_argument_group("searches")
    how.add_argument("--sampler", help=f"one of {', '.join(SAMPLERS)} (tpe)")
    how.add_argument("--pruner", help=f"one of {', '.join(PRUNERS)} (median)")
    how.add_argument("--policy", action="append", metavar="SAMPLER+PRUNER", help="compare several; repeatable")
    how.add_argument("--slots", type=int, default=2, help="trials at once (2)")
    how.add_argument("--trials", type=int, help="full trials that each search has time for (the space's)")
    how.add_argument("--hours", type=float, help="simulated time of each search (that of --trials)")
    how.add_argument("--repetitions", type=int, default=20, help="searches of each policy (20)")
    how.add_argument("--seed", type=int, default=0, help="seed of worlds and samplers (0)")
    how.add_argument("--target", type=float, help="true score whose time is told (the best there is, less 0.02)")
    clock = text.add_argument_group("what the clock charges")
    clock.add_argument("--cold-s", type=float, default=Charges.cold_s, help="start of a gang, seconds (12)")
    clock.add_argument("--warm-s", type=float, default=Charges.warm_s, help="start of a trial on a warm gang, seconds (0.8)")
    clock.add_argument("--prune-s", type=float, default=Charges.prune_s, help="from a verdict to a free slot, seconds (1)")
    clock.add_argument("--flops", type=float, help="operations per second of a slot, for generated curves")
    clock.add_argument(
        "--save-s", type=float, default=Charges.save_s, help="what a trial that pauses adds to that, seconds (2)"
    )
    clock.add_argument(
        "--load-s", type=float, default=Charges.load_s, help="what a promoted trial adds to its start, seconds (2)"
    )
    text.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return text


@dataclass(frozen=True)
class Simulation:
    """A checked command."""

    worlds: tuple[World, ...]
    """One for each repetition."""
    policies: tuple[Policy, ...]
    n_slots: int
    n_trials: int
    """Full trials that there is time for."""
    until_s: float
    """When all searches end, in simulated seconds."""
    seed: int
    target: float | None
    title: str


def make(options: argparse.Namespace) -> Simulation:
    """Check everything. Raises `ConfigError` with the problems."""
    problems = [*_number_problems(options), *_policy_problems(options)]
    if bool(options.record) == options.synthetic:
        problems.append("give either --record RUN, to replay searches, or --synthetic, to generate learning curves")
    if problems:
        raise ConfigError(problems)
    space, objective, found = _space(options)
    n_evaluations = parse(space.sample(random.Random(0))).budget.evaluations
    worlds, title = _worlds(options, space, objective, found)
    if isinstance(worlds[0], Replay) and worlds[0].n_evaluations != n_evaluations:
        raise ConfigError([f"the record has {worlds[0].n_evaluations} evaluations per trial, the space {n_evaluations}"])
    n_trials = options.trials or space.options.get("trials") or 20
    charges = Charges(**{name: getattr(options, name) for name in CHARGED})
    policies = tuple(study_policy(text, space, objective, n_trials, n_evaluations, charges) for text in _policies(options))
    until_s = time_of(worlds, space, n_trials, options.slots) if options.hours is None else options.hours * 3600
    return Simulation(worlds, policies, options.slots, n_trials, until_s, options.seed, options.target, title)


def time_of(worlds: Sequence[World], space: Space, n_trials: int, n_slots: int) -> float:
    """Simulated seconds that `n_trials` full trials of mean cost need on `n_slots`: what every policy gets.

    The mean is over random configurations, as if none of them failed.
    """
    rng = random.Random(0)
    courses = [worlds[index % len(worlds)].course(space.parse(space.sample(rng))) for index in range(N_TIMED)]
    return statistics.fmean(course.evaluations[-1].seconds for course in courses) * n_trials / n_slots


def _number_problems(options: argparse.Namespace) -> list[str]:
    least = {"slots": 1, "trials": 1, "repetitions": 1, "seed": 0} | dict.fromkeys(CHARGED, 0)
    problems = [
        f"--{name.replace('_', '-')} {value:g}: give {low} or more"
        for name, low in least.items()
        if (value := getattr(options, name)) is not None and not value >= low
    ]
    return problems + [
        f"--{name} {value:g}: give a number above 0"
        for name in ("hours", "flops")
        if (value := getattr(options, name)) is not None and not (math.isfinite(value) and value > 0)
    ]


def _policies(options: argparse.Namespace) -> Sequence[str]:
    if options.policy:
        return tuple(dict.fromkeys(options.policy))
    if options.sampler or options.pruner:
        return (f"{options.sampler or 'tpe'}+{options.pruner or 'median'}",)
    return USUAL


def _policy_problems(options: argparse.Namespace) -> list[str]:
    problems = []
    if options.policy and (options.sampler or options.pruner):
        problems.append("--policy names sampler and pruner: leave out --sampler and --pruner")
    for text in _policies(options):
        sampler, plus, pruner = text.partition("+")
        if not plus:
            problems.append(f"--policy {text} is not SAMPLER+PRUNER, such as tpe+median")
            continue
        for what, name, valid in (("sampler", sampler, list(SAMPLERS)), ("pruner", pruner, list(PRUNERS))):
            if name not in valid:
                problems.append(f"unknown {what} {name}{nearest(name, valid)}; the {what}s are {', '.join(valid)}")
    return problems


def _space(options: argparse.Namespace) -> tuple[Space, Objective, list[Mapping[str, Any]]]:
    """Space, objective, and the contents of the records."""
    folders = [path.parent if path.name == results.FILE_NAME else path for path in options.record or []]
    found = [results.read(folder / results.FILE_NAME) for folder in folders]
    recorded = search_options.load(folders[0]) if folders else search_options.Options()
    name, profile = options.space or recorded.space, options.profile or recorded.profile
    profile = profile or ("laptop" if "laptop" in load(name).profiles else None)
    whole = load(name, profile)
    if recorded.backbone is not None:
        whole = whole.fix({"backbone": recorded.backbone})
    metric = options.metric or recorded.metric or whole.metric
    objective = Objective(metric, whole.targets if metric == MEAN else ())
    space, _ = whole.restrict(tasks=tuple(TASKS), required=objective.required_tasks)
    return space, objective, list(found)


def _worlds(
    options: argparse.Namespace, space: Space, objective: Objective, found: list[Mapping[str, Any]]
) -> tuple[tuple[World, ...], str]:
    if options.synthetic:
        flops = options.flops or (GPU_FLOPS if space.profile == "gpu" else CPU_FLOPS)
        seeds = range(options.seed, options.seed + options.repetitions)
        where = f"space {space.name}, profile {space.profile or 'none'}"
        return tuple(Synthetic(space, objective, seed, flops) for seed in seeds), f"generated curves over {where}"
    replay = Replay.of(found, space, objective)
    error, blind = replay.leave_one_out()
    told = f"the last score of a trial left out is told to {error:.4f}, by the mean of all others to {blind:.4f}"
    if not error < blind:
        told += "; the record is too small to rank policies by: look at hours alone"
    return (replay,) * options.repetitions, f"{len(replay.trials)} recorded trials: {told}"
