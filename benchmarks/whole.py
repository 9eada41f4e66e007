"""The whole: `python -m benchmarks.whole --target 0.6`, seconds from the command to a trained model with this score.

Ours and stock Ray (`benchmarks.stock_ray`) in turn, on the same space, budget of a trial, number of trials and machine, one
seed for each repetition. A score counts when a trial that trained to its end has it on all of select; where none comes to it,
the repetition has no time. Ray's start, imports and our preflight are in it, our confirmation is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace

from benchmarks import sides
from benchmarks.arguments import add_search_options, options_of, parser, positive, run


def ratio_of(found: dict[str, list[float]]) -> list[float]:
    """Stock Ray's time over ours, of the repetitions in which both came to the target."""
    pairs = zip(found[sides.STOCK], found[sides.OURS], strict=True)
    return [theirs / mine for theirs, mine in pairs if math.isfinite(theirs) and math.isfinite(mine)]


def main(argv: Sequence[str] | None = None) -> int:
    text = parser("whole", __doc__)
    add_search_options(text)
    text.add_argument("--target", type=float, required=True, help="the score to come to")
    text.add_argument("--repeats", type=positive, default=5, help="searches of each side (5)")
    text.add_argument("--no-preflight", action="store_true", help="ours without its preflight")
    arguments = text.parse_args(argv)
    ran: dict[str, list[sides.Ran]] = {sides.OURS: [], sides.STOCK: []}
    with sides.backbone_of(arguments.backbone) as backbone:
        for repeat in range(arguments.repeats):
            options = replace(options_of(arguments), backbone=backbone, seed=arguments.seed + repeat)
            ran[sides.OURS].append(sides.ours(options, arguments.target, preflight=not arguments.no_preflight))
            ran[sides.STOCK].append(sides.stock(options, arguments.target))
    reached = {side: [one.reached_s(arguments.target) for one in found] for side, found in ran.items()}
    print(
        f"target {arguments.target:g}, {arguments.trials} trials at most, {arguments.slots} at once; seconds, median and range"
    )
    shown = sides.table("", "reached", "to the target", "to the first step", "whole trials", "best score")
    for side, found in ran.items():
        times = [seconds for seconds in reached[side] if math.isfinite(seconds)]
        starts = [one.first_step_s for one in found]
        wholes = [float(len(one.found)) for one in found]
        best = sides.median_and_range([one.best for one in found], 4)
        cells = (sides.median_and_range(times), sides.median_and_range(starts), sides.median_and_range(wholes, 0), best)
        shown.add_row(side, f"{len(times)} of {len(found)}", *cells)
    sides.show(shown)
    print(f"stock Ray's time over ours: {sides.median_and_range(ratio_of(reached), 2)}")
    if arguments.json:
        record = {side: [asdict(one) for one in found] for side, found in ran.items()} | {"target": arguments.target}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
