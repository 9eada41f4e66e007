"""Compare samplers and pruners without training: `python -m tuner.commands.simulate --synthetic --slots 64 --trials 500`.

Exit status: 0 compared; 2 wrong usage.
"""

from __future__ import annotations

import json
import sys

from model.config import ConfigError


def main(argv: list[str] | None = None) -> int:
    from rich.console import Console

    from tuner.commands.simulate import compare, table
    from tuner.commands.simulate.options import make, parser

    options = parser().parse_args(argv)
    try:
        simulation = make(options)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    outcomes = compare.compare(
        simulation.policies, simulation.worlds, simulation.n_slots, simulation.seed, simulation.target, simulation.until_s
    )
    if options.json:
        print(json.dumps(table.as_json(simulation, outcomes), allow_nan=False))
    else:
        Console().print(table.table(simulation, outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
