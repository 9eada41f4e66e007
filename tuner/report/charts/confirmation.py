"""The finalists' scores in the search and on fresh seeds, and their comparisons on dev."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from tuner.report.gather import Run
from tuner.report.html import absent, bullets, figure, number, signed, table
from tuner.report.svg import Dot, dots

VERDICTS = {
    "yes": "The champion beats the untuned default on dev.",
    "no": "The champion does not beat the untuned default.",
    "default": "The untuned default won, and is the champion: the search found nothing better.",
    "undecided": "Whether the champion beats the untuned default is open: on dev the difference may be chance.",
}
HEAD = ("finalist", "rank", "in the search", "mean", "s.d.", "lower bound", "optimism", "by seed", "on dev")


def section(run: Run) -> list[Element]:
    """Empty without a confirmation."""
    confirmation = run.results.get("confirmation") or {}
    finalists = confirmation.get("finalists")
    if not finalists:
        return []
    rows = {
        finalist["name"]: [
            Dot("in the search", finalist.get("search_score"), None, "hollow"),
            Dot("confirmed mean ± s.d.", finalist.get("mean"), _one_sd(finalist)),
        ]
        for finalist in finalists
    }
    panel = dots("The finalists' scores in the search and on fresh seeds", rows, "score on select")
    caption = (
        f"Each finalist on {len(confirmation.get('seeds') or [])} fresh seeds. Hollow: its score in the search; full: the mean "
        "on fresh seeds, ± one standard deviation. Optimism is how much the search overstated it."
    )
    has_won = finalists[0].get("rank") and finalists[0].get("is_default")
    verdict = VERDICTS.get("default" if has_won else str(confirmation.get("beats_default")), "")
    sentences = [*_comparisons(confirmation), verdict, *(confirmation.get("notes") or [])]
    summary = [bullets(filter(None, sentences))] if any(sentences) else absent("Nothing was compared.")
    return [*summary, figure("", [panel, table(HEAD, map(_cells, finalists), "The finalists")], caption)]


def _one_sd(finalist: Mapping[str, Any]) -> tuple[float, float] | None:
    mean, sd = finalist.get("mean"), finalist.get("sd")
    return None if mean is None or sd is None else (mean - sd, mean + sd)


def _cells(finalist: Mapping[str, Any]) -> list[str]:
    scores = [number(training.get("score"), 3) for training in finalist.get("trainings") or []]
    return [
        finalist["name"],
        str(finalist.get("rank") or "–"),
        *(number(finalist.get(key)) for key in ("search_score", "mean", "sd", "bound")),
        "–" if finalist.get("optimism") is None else signed(finalist["optimism"]),
        ", ".join(scores) or "–",
        number(((finalist.get("dev") or {}).get("score") or {}).get("mean")),
    ]


def _comparisons(confirmation: Mapping[str, Any]) -> list[str]:
    return [
        f"On dev against {one.get('finalist')} ({one.get('against')}): {signed(one['difference'])}, 95 % bootstrap "
        f"interval {signed(one['low'])} to {signed(one['high'])}."
        for one in confirmation.get("comparisons") or []
        if all(one.get(key) is not None for key in ("difference", "low", "high"))
    ]
