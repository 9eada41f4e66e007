"""Describes a confirmation: the cells of the finalists' table, its heading, and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuner.results.text import number_text

YES, NO, UNDECIDED = "yes", "no", "undecided"
"""Whether the champion beats the untuned default."""
RUNNER_UP, DEFAULT = "runner-up", "default"
"""The finalists that the champion is compared with."""
COLUMNS = ("rank", "finalist", "search", "mean", "s.d.", "bound", "optimism", "seeds", "dev")
VERDICTS = {
    YES: "the champion beats the untuned default on dev",
    NO: "THE CHAMPION DOES NOT BEAT THE UNTUNED DEFAULT: on dev it is worse",
    UNDECIDED: "THE CHAMPION DOES NOT BEAT THE UNTUNED DEFAULT beyond chance on dev",
}
DEFAULT_WON = "THE SEARCH DOES NOT BEAT THE UNTUNED DEFAULT, which is the champion"


def rows(confirmation: Mapping[str, Any]) -> list[list[str]]:
    """The cells of each finalist under `COLUMNS`; scores are on select, the last one is the mean on dev."""
    return [
        [
            str(finalist["rank"] or "-"),
            finalist["name"],
            *(number_text(finalist[name]) for name in ("search_score", "mean", "sd", "bound")),
            number_text(finalist["optimism"], "+.4f"),
            str(sum(training["state"] == "COMPLETE" for training in finalist["trainings"])),
            number_text(finalist["dev"]["score"]["mean"] if finalist["dev"] else None),
        ]
        for finalist in confirmation["finalists"]
    ]


def heading(confirmation: Mapping[str, Any]) -> str:
    """The table's title, with the meaning of its bound."""
    if not any(finalist["rank"] for finalist in confirmation["finalists"]):
        return "no finalist was confirmed: the champion is the trial with the best search score, which is optimistic"
    if not any(finalist["bound"] is not None for finalist in confirmation["finalists"]):
        return "confirmed on one fresh seed, so the spread is unknown; ranked by the score on select"
    spread = "the spread of all finalists pooled" if confirmation["pooled_sd"] is not None else "each finalist's own spread"
    return (
        f"confirmed on {len(confirmation['seeds'])} fresh seeds, ranked on select: "
        f"the lower {100 * confirmation['confidence']:g} % bound of the mean, from {spread}"
    )


def sentences(confirmation: Mapping[str, Any]) -> list[str]:
    """The champion's confirmation, its comparisons on dev, and whether it beats the untuned default."""
    first = confirmation["finalists"][0] if confirmation["finalists"] else None
    is_confirmed = first is not None and first["rank"] is not None
    lines = [_confirmed(first)] if first and is_confirmed else []
    for role, name in ((RUNNER_UP, "the runner-up, "), (DEFAULT, "the untuned ")):
        comparison = next((one for one in confirmation["comparisons"] if one["against"] == role), None)
        if comparison is not None and (role == DEFAULT or comparison["finalist"] != DEFAULT):
            lines.append(f"on dev against {name}{comparison['finalist']}: {difference(comparison)}")
    if first and is_confirmed and confirmation["beats_default"]:
        lines.append(DEFAULT_WON if first["is_default"] else VERDICTS[confirmation["beats_default"]])
    return [*lines, *confirmation["notes"]]


def _confirmed(first: Mapping[str, Any]) -> str:
    spread = "" if first["sd"] is None else f" ± {first['sd']:.4f}"
    name = "the untuned default" if first["is_default"] else first["name"]
    sentence = f"confirmed: {name} with {first['mean']:.4f}{spread} on select"
    if first["optimism"] is None:
        return sentence
    direction = "too high" if first["optimism"] >= 0 else "too low"
    return f"{sentence}; the search's score of {first['search_score']:.4f} was {abs(first['optimism']):.4f} {direction}"


def difference(comparison: Mapping[str, Any]) -> str:
    """Such as `+0.0040, 95 % interval -0.0010 to +0.0090, better in 93 % of the resamples`."""
    if None in (comparison["difference"], comparison["low"], comparison["high"]):
        return "no number: a model's output is not finite for some example"
    interval = f"95 % interval {comparison['low']:+.4f} to {comparison['high']:+.4f}"
    share = 100 * comparison["probability_better"]
    return f"{comparison['difference']:+.4f}, {interval}, better in {share:.0f} % of the resamples"
