"""Compare samplers and pruners without training: `python -m tuner simulate --record RUN --policy tpe+median --policy tpe+asha`.

Exit status: 0 compared; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from model.config import ConfigError, nearest, parse
from model.tasks import TASKS
from tuner.commands.run_command import DONE, execute, print_lines
from tuner.commands.simulate.clock import Charges, World
from tuner.commands.simulate.compare import Interval, Outcome, Policy, compare, study_policy
from tuner.commands.simulate.replay import Replay
from tuner.config import options as search_options
from tuner.config.objective import MEAN, Objective
from tuner.results import results_json
from tuner.space import Space, load
from tuner.study import PRUNERS, SAMPLERS

DEFAULT_POLICIES = ("tpe+median", "random+none", "random+asha")
"""The first is a search's default."""
CHARGED = {
    "cold_s": "start of a gang",
    "warm_s": "start of a trial on a warm gang",
    "prune_s": "from a verdict to a free slot",
    "save_s": "what a trial that pauses adds to that",
    "load_s": "what a promoted trial adds to its start",
}
"""The charges of the clock that are options, with their help."""
N_TIMED = 100
"""Random configurations that the simulated time of a search is computed from."""
CAPTION = (
    "Regret ×100: the best true score there is, less that of the champion, at the end and on average over time, "
    "with 95 % bootstrap intervals; − first: paired difference of anytime regret to {first}, below 0 is better."
)


def parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="python -m tuner simulate",
        description="Replay searches under a simulated clock and compare samplers and pruners, without training anything.",
    )
    curves = command.add_argument_group("learning curves")
    curves.add_argument(
        "--record", nargs="+", type=Path, metavar="RUN", help="replay these runs: folders, or their results.json"
    )
    curves.add_argument("--space", help="a space of search_spaces/, or your own YAML file (the record's)")
    curves.add_argument("--profile", help="laptop or gpu, or another of the space's (the record's, else laptop)")
    curves.add_argument("--metric", help="mean, or one such as sst/accuracy (the record's, else the space's)")
    searches = command.add_argument_group("searches")
    searches.add_argument(
        "--policy",
        action="append",
        metavar="SAMPLER+PRUNER",
        help=f"repeatable ({', '.join(DEFAULT_POLICIES)}); samplers: {', '.join(SAMPLERS)}; pruners: {', '.join(PRUNERS)}",
    )
    searches.add_argument("--slots", type=int, default=2, help="trials at once (2)")
    searches.add_argument("--trials", type=int, help="full trials that each search has time for (the space's)")
    searches.add_argument("--hours", type=float, help="simulated time of each search (that of --trials)")
    searches.add_argument("--repetitions", type=int, default=20, help="searches of each policy (20)")
    searches.add_argument("--seed", type=int, default=0, help="seed of the samplers (0)")
    searches.add_argument("--target", type=float, help="true score whose time is reported (the best there is, less 0.02)")
    clock = command.add_argument_group("what the clock charges")
    for name, meaning in CHARGED.items():
        seconds = getattr(Charges, name)
        clock.add_argument(_flag(name), type=float, default=seconds, help=f"{meaning}, seconds ({seconds:g})")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return command


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    plan = make(arguments)
    outcomes = compare(plan.policies, plan.worlds, plan.n_slots, plan.seed, plan.target, plan.until_s)
    if arguments.json:
        print_lines([json.dumps(as_json(plan, outcomes), allow_nan=False)])
    else:
        Console().print(table(plan, outcomes))
    return DONE


@dataclass(frozen=True)
class Simulation:
    """A validated command."""

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
    """Validate the options. Raises `ConfigError` with all problems."""
    names = tuple(dict.fromkeys(options.policy or DEFAULT_POLICIES))
    problems = [*_number_problems(options), *_policy_problems(names)]
    if not options.record:
        problems.append("give --record RUN: the finished runs whose learning curves are replayed")
    if problems:
        raise ConfigError(problems)
    space, objective, replay = _replay(options)
    n, n_evaluations = replay.n_evaluations, parse(space.sample(random.Random(0))).budget.evaluations
    if n != n_evaluations:
        raise ConfigError([f"the record has {n} evaluations per trial, the space {n_evaluations}"])
    worlds = (replay,) * options.repetitions
    n_trials = options.trials or space.options.get("trials") or 20
    charges = Charges(**{name: getattr(options, name) for name in CHARGED})
    policies = tuple(study_policy(name, space, objective, n_trials, n, charges) for name in names)
    until_s = time_of(worlds, space, n_trials, options.slots) if options.hours is None else options.hours * 3600
    title = _title(replay)
    return Simulation(worlds, policies, options.slots, n_trials, until_s, options.seed, options.target, title)


def time_of(worlds: Sequence[World], space: Space, n_trials: int, n_slots: int) -> float:
    """Simulated seconds that `n_trials` full trials of mean cost need on `n_slots`, which every policy gets.

    The mean is over random configurations, failures excluded.
    """
    rng = random.Random(0)
    courses = [worlds[index % len(worlds)].course(space.parse(space.sample(rng))) for index in range(N_TIMED)]
    return statistics.fmean(course.evaluations[-1].seconds for course in courses) * n_trials / n_slots


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _number_problems(options: argparse.Namespace) -> list[str]:
    least = {"slots": 1, "trials": 1, "repetitions": 1, "seed": 0} | dict.fromkeys(CHARGED, 0)
    problems = [
        f"{_flag(name)} {value:g}: give {low} or more"
        for name, low in least.items()
        if (value := getattr(options, name)) is not None and not value >= low
    ]
    if options.hours is not None and not (math.isfinite(options.hours) and options.hours > 0):
        problems.append(f"--hours {options.hours:g}: give a number above 0")
    return problems


def _policy_problems(policies: Sequence[str]) -> list[str]:
    problems = []
    for policy in policies:
        sampler, plus, pruner = policy.partition("+")
        if not plus:
            problems.append(f"--policy {policy} is not SAMPLER+PRUNER, such as tpe+median")
            continue
        for kind, name, valid in (("sampler", sampler, list(SAMPLERS)), ("pruner", pruner, list(PRUNERS))):
            if name not in valid:
                problems.append(f"unknown {kind} {name}{nearest(name, valid)}; the {kind}s are {', '.join(valid)}")
    return problems


def _replay(options: argparse.Namespace) -> tuple[Space, Objective, Replay]:
    """Space and objective, by default the first record's, and the world of all records."""
    folders = [path.parent if path.name == results_json.FILE_NAME else path for path in options.record]
    records = [results_json.read(folder / results_json.FILE_NAME) for folder in folders]
    recorded = search_options.load(folders[0])
    name, profile = options.space or recorded.space, options.profile or recorded.profile
    whole = load(name, profile or ("laptop" if "laptop" in load(name).profiles else None))
    if recorded.backbone is not None:
        whole = whole.fix({"backbone": recorded.backbone})
    metric = options.metric or recorded.metric or whole.metric
    objective = Objective(metric, whole.targets if metric == MEAN else ())
    space, _ = whole.restrict(tasks=tuple(TASKS), required=objective.required_tasks)
    return space, objective, Replay.of(records, space, objective)


def _title(replay: Replay) -> str:
    """The description of a record, with its error on trials left out."""
    error, mean_error = replay.leave_one_out()
    title = f"{len(replay.trials)} recorded trials: the last score of a left-out trial is predicted within {error:.4f}, "
    title += f"by the mean of all others within {mean_error:.4f}"
    return title if error < mean_error else f"{title}; the record is too small to rank policies by: look at hours alone"


def table(simulation: Simulation, outcomes: Sequence[Outcome]) -> Table:
    """One row for each policy, in 80 columns; regrets times 100 over their 95 % intervals."""
    first, size = outcomes[0].name, f"{simulation.n_slots} slots, {len(simulation.worlds)} repetitions, seed {simulation.seed}"
    title = f"{simulation.n_trials} trials' worth of time on {size}: {simulation.title}"
    shown = Table(
        title=title, title_justify="left", caption=CAPTION.format(first=first), caption_justify="left", box=None, pad_edge=False
    )
    shown.add_column("policy", no_wrap=True)
    columns = ("regret\nat the end", "\nanytime", "\n− first", "to target\nreached", "slot-h\nhours", "ended\npruned\nfailed")
    for name in columns:
        shown.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        shown.add_row(
            outcome.name,
            with_bounds(outcome.regret["100%"]),
            with_bounds(outcome.regret["anytime"]),
            "" if outcome.name == first else with_bounds(outcome.difference["anytime"]),
            f"{outcome.target_s.mean / 3600:.2f} h\n{outcome.reached:.0%}",
            f"{outcome.slot_hours.mean:.2f}\n{outcome.hours.mean:.2f}",
            f"{outcome.n_complete:.0f}\n{outcome.n_pruned:.0f}\n{outcome.n_failed:.0f}",
        )
    return shown


def with_bounds(value: Interval) -> str:
    return f"{100 * value.mean:.2f}\n[{100 * value.low:.1f}, {100 * value.high:.1f}]"


def as_json(simulation: Simulation, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The same as plain values; unknown numbers are null."""
    return results_json.finite(  # type: ignore[no-any-return]
        {
            "curves": simulation.title,
            "slots": simulation.n_slots,
            "trials": simulation.n_trials,
            "repetitions": len(simulation.worlds),
            "seed": simulation.seed,
            "policies": [asdict(outcome) for outcome in outcomes],
        }
    )
