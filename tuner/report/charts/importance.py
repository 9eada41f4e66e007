"""The importance of each parameter, with its interval and the level of chance."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from tuner.report.gather import Run
from tuner.report.html import absent, figure, number, spread, table
from tuner.report.plot import Value, intervals

CAPTION = (
    "How far a parameter's values among the best quarter of the complete trials differ from its values among all of them "
    "(conditional PED-ANOVA), as a share of all parameters; {n} trials. Lines: 95 % bootstrap intervals over trials. Upright "
    "marks: the 95 % quantile over random permutations of the scores. Full dots stand out from that; of the others nothing can "
    "be concluded. A sampler that learns tries good values more often, which hides what it learnt."
)


def section(run: Run) -> list[Element]:
    importance = run.importance
    if importance is None:
        return absent(f"Importance is unknown: {run.importance_note or 'the study was not read'}.")
    if not importance.weights:
        counts = f"{importance.n_trials} are complete, and below {importance.n_needed}"
        return absent(f"Too few trials: {counts} the best quarter is too small to compare.")
    weights = importance.weights
    values = [(w.share, (w.low, w.high)) for w in weights]
    series: dict[str, Sequence[Value]] = {
        "within chance": [(None, None) if w.stands_out else value for w, value in zip(weights, values, strict=True)],
        "stands out": [value if w.stands_out else (None, None) for w, value in zip(weights, values, strict=True)],
        "chance": [(w.chance, None) for w in weights],
    }
    label = "Importance of each parameter, the most important first"
    panel = intervals([w.name for w in weights], series, "share of importance", label)
    cells = [
        [w.name, number(w.share, 3), spread((w.low, w.high)), number(w.chance, 3), "yes" if w.stands_out else "no"]
        for w in weights
    ]
    alternative = table(("parameter", "share", "95 % interval", "chance", "stands out"), cells, "Importance of each parameter")
    return [figure("", [panel], CAPTION.format(n=importance.n_trials), alternative)]
