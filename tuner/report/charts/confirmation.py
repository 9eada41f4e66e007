"""The finalists, trained again on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element

from tuner.report.drawing.dots import Dot, dots
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import figure, number, signed, table
from tuner.report.gather import Run

VERDICTS = {
    "yes": "The champion beats the untuned default on dev.",
    "no": "The champion does not beat the untuned default.",
    "default": "The untuned default won, and is the champion: the search found nothing that is better.",
    "undecided": "Whether the champion beats the untuned default is open: on dev the difference may be chance.",
}


def section(run: Run) -> list[Element]:
    """Empty where nothing was confirmed."""
    told: Mapping[str, Any] | None = run.results.get("confirmation")
    if not told or not told.get("finalists"):
        return []
    finalists = told["finalists"]
    rows = {
        str(one["name"]): [
            dot
            for dot in (
                Dot("in the search", one.get("search_score"), None, None, "hollow"),
                Dot("confirmed mean ± s.d.", one.get("mean"), *_around(one), "full"),
            )
            if dot.value is not None
        ]
        for one in finalists
    }
    cells = [
        [
            str(one["name"]),
            str(one.get("rank") or "–"),
            *(number(one.get(key)) for key in ("search_score", "mean", "sd", "bound")),
            "–" if one.get("optimism") is None else signed(one["optimism"]),
            _seeds(one),
            number(((one.get("dev") or {}).get("score") or {}).get("mean")),
        ]
        for one in finalists
    ]
    head = ("finalist", "rank", "in the search", "mean", "s.d.", "lower bound", "optimism", "by seed", "on dev")
    panel = dots("The finalists' scores in the search and on fresh seeds", rows, "score on select")
    caption = (
        f"Each finalist on {len(told.get('seeds') or [])} fresh seeds. Hollow: its score in the search; full: the mean on "
        "fresh seeds, ± one standard deviation. Optimism is how much the search overstated it."
    )
    panels = [*([panel] if panel is not None else []), table(head, cells, "The finalists")]
    verdict = "default" if finalists[0].get("rank") and finalists[0].get("is_default") else str(told.get("beats_default"))
    sentences = [*_comparisons(told), VERDICTS.get(verdict, ""), *(told.get("notes") or [])]
    lines = [element("li", sentence) for sentence in sentences if sentence]
    return [element("ul", lines) if lines else element("p", "Nothing was compared."), figure("", panels, caption)]


def _around(one: Mapping[str, Any]) -> tuple[float | None, float | None]:
    mean, sd = one.get("mean"), one.get("sd")
    return (None, None) if mean is None or sd is None else (mean - sd, mean + sd)


def _seeds(one: Mapping[str, Any]) -> str:
    scores = [number(training.get("score"), 3) for training in one.get("trainings") or []]
    return ", ".join(scores) or "–"


def _comparisons(told: Mapping[str, Any]) -> list[str]:
    return [
        f"On dev against {found.get('finalist')} ({found.get('against')}): {signed(found['difference'])}, 95 % bootstrap "
        f"interval {signed(found['low'])} to {signed(found['high'])}."
        for found in told.get("comparisons") or []
        if all(found.get(key) is not None for key in ("difference", "low", "high"))
    ]
