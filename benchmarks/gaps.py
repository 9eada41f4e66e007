"""Between trials: `python -m benchmarks.gaps`, seconds from a trial's last step to the next one's first in the same slot.

Ours, whose gangs stay warm, and stock Ray, which starts a `TorchTrainer` for each trial, in turn on the same space and data.
The backbone is tiny by default, because what it costs to train does not matter here; what must be saved and loaded does, so
the figures of a real backbone are larger on both sides (`--backbone embedded`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from benchmarks import sides
from benchmarks.arguments import add_search_options, options_of, parser, positive, run

QUICK = ("max_length=32", "budget.examples=960", "budget.evaluations=5")
"""Settings under which a trial of the tiny backbone takes a second or two."""


def summary(found: Sequence[float]) -> dict[str, float]:
    return {"n": len(found), "p50": sides.percentile(found, 0.5), "p95": sides.percentile(found, 0.95)}


def main(argv: Sequence[str] | None = None) -> int:
    text = parser("gaps", __doc__)
    add_search_options(text)
    text.set_defaults(backbone=sides.TINY, slots=1)
    text.add_argument("--repeats", type=positive, default=1, help="searches of each side (1)")
    text.add_argument("--only", choices=(sides.OURS, sides.STOCK), help="one side alone")
    arguments = text.parse_args(argv)
    measured = (arguments.only,) if arguments.only else (sides.OURS, sides.STOCK)
    whole: dict[str, list[float]] = {side: [] for side in measured}
    after: dict[str, list[float]] = {side: [] for side in measured}
    with sides.backbone_of(arguments.backbone) as backbone:
        options = replace(options_of(arguments), backbone=backbone, settings=(*QUICK, *arguments.settings))
        for _ in range(arguments.repeats):
            for side in measured:
                ran = sides.ours(options, preflight=False) if side == sides.OURS else sides.stock(options)
                whole[side] += sides.gaps(ran.trials, arguments.slots)
                after[side] += sides.gaps(ran.trials, arguments.slots, after_evaluation=True)
    print(f"{arguments.trials} trials on {arguments.slots} slot(s), {arguments.repeats} search(es) of each side")
    print("seconds to the next trial's first step")
    shown = sides.table("", "gaps", "after the last step, p50", "p95", "after the last evaluation, p50", "p95")
    for side, found in whole.items():
        steps, looks = summary(found), summary(after[side])
        cells = (steps["p50"], steps["p95"], looks["p50"], looks["p95"])
        shown.add_row(side, str(len(found)), *(f"{value:.2f}" for value in cells))
    sides.show(shown)
    record: dict[str, object] = {
        side: {"gaps": whole[side], "after_evaluation": after[side], **summary(whole[side])} for side in whole
    }
    if not arguments.only:
        record["ratio"] = summary(whole[sides.STOCK])["p50"] / summary(whole[sides.OURS])["p50"]
        print(f"stock Ray's p50 is {record['ratio']:.1f} times ours")
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run(main)
