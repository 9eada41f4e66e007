"""The finalists' scores in the search and on fresh seeds, and their comparisons on dev."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from tuner.report.gather import Run
from tuner.report.html import bullets, figure, number, signed, table
from tuner.report.plot import Value, intervals
from tuner.results.confirmation_text import sentences

HEAD = ("finalist", "rank", "in the search", "mean", "s.d.", "lower bound", "optimism", "by seed", "on dev")


def section(run: Run) -> list[Element]:
    """Empty without a confirmation."""
    confirmation = run.results.get("confirmation")
    if not confirmation or not confirmation["finalists"]:
        return []
    finalists = confirmation["finalists"]
    one_sd = [None if one["sd"] is None else (one["mean"] - one["sd"], one["mean"] + one["sd"]) for one in finalists]
    series: dict[str, Sequence[Value]] = {
        "in the search": [(one["search_score"], None) for one in finalists],
        "on fresh seeds, mean ± s.d.": [(one["mean"], bounds) for one, bounds in zip(finalists, one_sd, strict=True)],
    }
    label = "The finalists' scores in the search and on fresh seeds"
    panel = intervals([one["name"] for one in finalists], series, "score on select", label)
    caption = (
        f"Each finalist on {len(confirmation['seeds'])} fresh seeds. Hollow: its score in the search; full: the mean on fresh "
        "seeds, ± one standard deviation. Optimism is how much the search overstated it."
    )
    cells = table(HEAD, map(_cells, finalists), "The finalists")
    return [bullets(sentences(confirmation)), figure("", [panel, cells], caption)]


def _cells(finalist: Mapping[str, Any]) -> list[str]:
    return [
        finalist["name"],
        str(finalist["rank"] or "–"),
        *(number(finalist[key]) for key in ("search_score", "mean", "sd", "bound")),
        "–" if finalist["optimism"] is None else signed(finalist["optimism"]),
        ", ".join(number(training["score"], 3) for training in finalist["trainings"]) or "–",
        number(finalist["dev"]["score"]["mean"] if finalist["dev"] else None),
    ]
