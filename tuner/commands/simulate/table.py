"""What a comparison prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from tuner.commands.simulate.compare import Interval, Outcome
from tuner.commands.simulate.options import Simulation
from tuner.results.results_json import finite


def table(simulation: Simulation, outcomes: Sequence[Outcome]) -> Table:
    """One row for each policy, in 80 columns; regrets times 100 over their 95 % intervals."""
    first = outcomes[0].name
    shown = Table(
        title=heading(simulation), title_justify="left", caption=CAPTION.format(first=first), caption_justify="left",
        box=None, pad_edge=False,
    )  # fmt: skip
    shown.add_column("policy", no_wrap=True)
    for name in (
        "regret\nat the end",
        "\nanytime",
        "\n− first",
        "to target\nreached",
        "slot-h\nhours",
        "ended\npruned\nfailed",
    ):
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


CAPTION = (
    "Regret ×100: the best true score there is, less that of the trial handed over, at the end and on average over time, "
    "with 95 % bootstrap intervals; − first: anytime regret less that of {first}, pair by pair, below 0 is better."
)


def heading(simulation: Simulation) -> str:
    return (
        f"{simulation.n_trials} trials' worth of time on {simulation.n_slots} slots, {len(simulation.worlds)} repetitions, "
        f"seed {simulation.seed}: {simulation.title}"
    )


def with_bounds(value: Interval) -> str:
    return f"{100 * value.mean:.2f}\n[{100 * value.low:.1f}, {100 * value.high:.1f}]"


def as_json(simulation: Simulation, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The same in plain values; what is not known is null."""
    return finite(  # type: ignore[no-any-return]
        {
            "curves": simulation.title,
            "slots": simulation.n_slots,
            "trials": simulation.n_trials,
            "repetitions": len(simulation.worlds),
            "seed": simulation.seed,
            "policies": [asdict(outcome) for outcome in outcomes],
        }
    )
