"""Compare samplers and pruners without training: `python -m tuner simulate --synthetic --slots 64 --trials 500`.

Exit status: 0 compared; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys

from tuner.commands.run_command import DONE, execute
from tuner.commands.simulate.options import make, parser


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from tuner.commands.simulate import compare, table

    simulation = make(arguments)
    outcomes = compare.compare(
        simulation.policies, simulation.worlds, simulation.n_slots, simulation.seed, simulation.target, simulation.until_s
    )
    if arguments.json:
        sys.stdout.write(json.dumps(table.as_json(simulation, outcomes), allow_nan=False) + "\n")
    else:
        Console().print(table.table(simulation, outcomes))
    return DONE
