"""Importance of each parameter, with its interval and what chance gives."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from tuner.report.drawing.dots import Dot, dots
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import figure, number, spread, table
from tuner.report.gather import Run

CAPTION = (
    "How far a parameter's values among the best quarter of the complete trials differ from its values among all of them "
    "(conditional PED-ANOVA), as a share of all parameters; {n} trials. Lines: 95 % bootstrap intervals over trials. Upright "
    "marks: what a parameter reaches in one of twenty deals where the scores are dealt out at random. Full dots stand out from "
    "that; of the others nothing can be said. A sampler that learns tries good values more often, which hides what it learnt."
)


def section(run: Run) -> list[Element]:
    found = run.importance
    if found is None:
        return [element("p", f"It cannot be told: {run.importance_note or 'the study was not read'}.", class_="none")]
    if not found.weights:
        told = f"{found.n_trials} are complete, and below {found.n_needed} the best quarter is too small to compare."
        sentence = f"Too few trials: {told}"
        return [element("p", sentence, class_="none")]
    rows = {w.name: [Dot(w.name, w.share, w.low, w.high, "full" if w.stands_out else "faint")] for w in found.weights}
    chance = {weight.name: weight.chance for weight in found.weights}
    panel = dots("Importance of each parameter, the most important first", rows, "share of importance", chance, width=560)
    cells = [
        [w.name, number(w.share, 3), spread(w.low, w.high), number(w.chance, 3), "yes" if w.stands_out else "no"]
        for w in found.weights
    ]
    alternative = table(("parameter", "share", "95 % interval", "chance", "stands out"), cells, "Importance of each parameter")
    return [figure("", [panel] if panel is not None else [], CAPTION.format(n=found.n_trials), alternative)]
