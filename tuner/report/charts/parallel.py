"""Parallel coordinates: a line for each trial through its values, the stronger the better."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import dense, drawing, figure, number, path, scrolled, short, table, text
from tuner.report.drawing.parameters import Column, as_text, columns, values_of
from tuner.report.drawing.scales import leveller, tick_text
from tuner.report.gather import Run, Trial

MOST_AXES, MOST_ROWS = 9, 10
WIDTH, HEIGHT, TOP, BOTTOM, SIDE = 1120.0, 340.0, 40.0, 280.0, 70.0
ABSENT = 312.0
"""Height at which a trial passes an axis whose parameter it does not have."""


def section(run: Run) -> list[Element]:
    shown = [trial for trial in run.counted if trial["score"] is not None and trial["state"] in ("COMPLETE", "PRUNED")]
    found = _chosen(run, columns(shown))
    if len(shown) < 2 or not found:
        return [element("p", "There are no two trials yet that differ and have a score.", class_="none")]
    n_left = len(columns(shown)) - len(found)
    caption = (
        f"{len(shown)} trials, each a line through its values and its score at the right; the stronger the colour, the "
        "better; pruned ones dashed. A trial without a parameter, whose condition did not hold, passes below its axis."
        + (
            f" {'The most important' if _rank(run) else 'Some'} {len(found)} of {len(found) + n_left} parameters."
            if n_left
            else ""
        )
    )
    svg = draw(shown, found, run.champion_number)
    best = sorted(shown, key=lambda trial: (trial["state"] != "COMPLETE", -trial["score"]))[:MOST_ROWS]
    rows = [[str(trial["number"]), *(_value(trial, column) for column in found), number(trial["score"])] for trial in best]
    alternative = table(("trial", *(column.name for column in found), "score"), rows, f"The best {len(rows)} trials")
    return [figure("", [scrolled("Parallel coordinates", svg)], caption, alternative)]


def _chosen(run: Run, found: Sequence[Column]) -> list[Column]:
    """The most important columns, in that order; where importance is not known those that most trials have, by name."""
    rank = _rank(run)
    have = {column.name: sum(column.name in values_of(trial) for trial in run.counted) for column in found}
    return sorted(found, key=lambda column: (rank.get(column.name, len(rank)), -have[column.name]))[:MOST_AXES]


def _rank(run: Run) -> dict[str, int]:
    """Places of the parameters by importance; empty where it is not known."""
    return {weight.name: i for i, weight in enumerate(run.importance.weights if run.importance else ())}


def draw(trials: Sequence[Trial], found: Sequence[Column], champion: int | None) -> Element:
    scores = [float(trial["score"]) for trial in trials]
    low, high = min(scores), max(scores)
    score = Column("score", (), low, high if high > low else low + 1e-9)
    axes = [*found, score]
    step = (WIDTH - 2 * SIDE) / (len(axes) - 1)
    level = leveller(scores)
    lines = []
    for trial in sorted(trials, key=lambda trial: (trial["state"] != "PRUNED", trial["score"])):
        values = values_of(trial)
        places = [column.position(trial["score"] if column is score else values.get(column.name)) for column in axes]
        points = [(SIDE + i * step, _height(place)) for i, place in enumerate(places)]
        classes = f"strand l{level(trial['score'])} {trial['state'].lower()}"
        title = element("title", f"trial {trial['number']}, {trial['state']}, score {number(trial['score'])}")
        line = element("path", title, d=path(points), class_=classes + (" champion" if trial["number"] == champion else ""))
        line.set("data-trial", str(trial["number"]))
        lines.append(line)
    drawn = [part for i, column in enumerate(axes) for part in _axis(column, SIDE + i * step, i % 2 == 1)]
    return drawing(
        "Parallel coordinates of the trials", lines, drawn, width=WIDTH, height=HEIGHT, class_=f"wide{dense(len(lines))}"
    )


def _axis(column: Column, x: float, is_low: bool) -> list[Element]:
    parts = [
        element("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, class_="axis"),
        text(short(column.name, 24), x, 14 + 12 * is_low, "middle"),
    ]
    if column.levels:
        shown = [(i + 0.5) / len(column.levels) for i in range(len(column.levels))]
        return parts + [
            text(short(word, 22), x + 5, _height(at) + 3, "start", "halo")
            for word, at in zip(column.levels, shown, strict=True)
        ]
    ends = ((column.low, 0.0), (column.high, 1.0))
    return parts + [text(tick_text(value), x + 5, _height(at) + 3, "start", "halo") for value, at in ends]


def _height(place: float | None) -> float:
    return ABSENT if place is None else BOTTOM - place * (BOTTOM - TOP)


def _value(trial: Trial, column: Column) -> str:
    value = values_of(trial).get(column.name)
    return "–" if value is None else as_text(value)
