"""What people are told of a confirmation: a table of the finalists, and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

YES, NO, UNDECIDED = "yes", "no", "undecided"
"""Whether the champion beats the untuned default."""
RUNNER_UP, DEFAULT = "runner-up", "default"
"""Whom it is compared with."""
COLUMNS = ("rank", "finalist", "search", "mean", "s.d.", "bound", "optimism", "seeds", "dev")
VERDICTS = {
    YES: "the champion beats the untuned default on dev",
    NO: "THE CHAMPION DOES NOT BEAT THE UNTUNED DEFAULT: on dev it is worse",
    UNDECIDED: "THE CHAMPION DOES NOT BEAT THE UNTUNED DEFAULT beyond chance on dev",
}
DEFAULT_WON = "THE SEARCH DOES NOT BEAT THE UNTUNED DEFAULT, which is the champion"


def number(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else f"{value:{form}}"


def rows(told: Mapping[str, Any]) -> list[list[str]]:
    """The cells of each finalist under `COLUMNS`; scores are on select, the last one is the mean on dev."""
    return [_row(one) for one in told["finalists"]]


def _row(one: Mapping[str, Any]) -> list[str]:
    scores = [one[name] for name in ("search_score", "mean", "sd", "bound")]
    n_complete = sum(training["state"] == "COMPLETE" for training in one["trainings"])
    dev = one["dev"]["score"]["mean"] if one["dev"] else None
    return [
        str(one["rank"] or "-"),
        one["name"],
        *map(number, scores),
        number(one["optimism"], "+.4f"),
        str(n_complete),
        number(dev),
    ]


def heading(told: Mapping[str, Any]) -> str:
    """What the table is, and what its bound is."""
    if not any(one["rank"] for one in told["finalists"]):
        return "no finalist was confirmed: the champion is the trial with the best search score, which says too much"
    spread = "the spread of all finalists pooled" if told["pooled_sd"] is not None else "each finalist's own spread"
    if not any(one["bound"] is not None for one in told["finalists"]):
        return "confirmed on one fresh seed, which says nothing of the spread; ranked by the score on select"
    percent = f"{100 * told['confidence']:g} %"
    return (
        f"confirmed on {len(told['seeds'])} fresh seeds, ranked on select: the lower {percent} bound of the mean, from {spread}"
    )


def sentences(told: Mapping[str, Any]) -> list[str]:
    """The champion's confirmation, its comparisons on dev, and whether it beats the untuned default."""
    first = told["finalists"][0] if told["finalists"] else None
    lines = [] if first is None or first["rank"] is None else [_confirmed(first)]
    for role, name in ((RUNNER_UP, "the runner-up, "), (DEFAULT, "the untuned ")):
        found = next((one for one in told["comparisons"] if one["against"] == role), None)
        if found is not None and (role == DEFAULT or found["finalist"] != DEFAULT):
            lines.append(f"on dev against {name}{found['finalist']}: {difference(found)}")
    if first is not None and first["rank"] is not None and told["beats_default"]:
        lines.append(DEFAULT_WON if first["is_default"] else VERDICTS[told["beats_default"]])
    return [*lines, *told["notes"]]


def _confirmed(first: Mapping[str, Any]) -> str:
    spread = "" if first["sd"] is None else f" ± {first['sd']:.4f}"
    name = "the untuned default" if first["is_default"] else first["name"]
    said = f"confirmed: {name} with {first['mean']:.4f}{spread} on select"
    if first["optimism"] is None:
        return said
    how = "too high" if first["optimism"] >= 0 else "too low"
    return f"{said}; the search's score of {first['search_score']:.4f} was {abs(first['optimism']):.4f} {how}"


def difference(found: Mapping[str, Any]) -> str:
    """Such as `+0.0040, 95 % interval -0.0010 to +0.0090, better in 93 % of the resamples`."""
    if None in (found["difference"], found["low"], found["high"]):
        return "no number: a model says nothing finite of some example"
    interval = f"95 % interval {found['low']:+.4f} to {found['high']:+.4f}"
    return f"{found['difference']:+.4f}, {interval}, better in {100 * found['probability_better']:.0f} % of the resamples"


def champion_name(champion: Mapping[str, Any]) -> str:
    """`trial 3`, or `the untuned default` where no trial had its configuration."""
    return "the untuned default" if champion["number"] is None else f"trial {champion['number']}"
