"""Parallel coordinates: a line for each trial through its parameters and score, the stronger the better."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from tuner.report.gather import Run, Trial
from tuner.report.html import absent, element, figure, number, scrolled, table
from tuner.report.parameters import Column, as_text, columns, values_of
from tuner.report.svg import dense, drawing, leveller, path, short, text, tick_text

MOST_AXES, MOST_ROWS = 9, 10
WIDTH, HEIGHT, TOP, BOTTOM, SIDE = 1120.0, 340.0, 40.0, 280.0, 70.0
ABSENT = 312.0
"""Height at which a trial passes the axis of a parameter that it lacks."""


def section(run: Run) -> list[Element]:
    trials = [trial for trial in run.counted if trial["score"] is not None and trial["state"] in ("COMPLETE", "PRUNED")]
    parameters = columns(trials)
    if len(trials) < 2 or not parameters:
        return absent("There are no two trials yet that differ and have a score.")
    rank = {weight.name: i for i, weight in enumerate(run.importance.weights if run.importance else ())}
    n_trials = {column.name: sum(column.name in values_of(trial) for trial in run.counted) for column in parameters}
    shown = sorted(parameters, key=lambda column: (rank.get(column.name, len(rank)), -n_trials[column.name]))[:MOST_AXES]
    caption = (
        f"{len(trials)} trials, each a line through its values and its score at the right; the stronger the colour, the "
        "better; pruned ones dashed. A trial without a parameter, whose condition did not hold, passes below its axis."
    )
    if len(shown) < len(parameters):
        caption += f" {'The most important' if rank else 'Some'} {len(shown)} of {len(parameters)} parameters."
    best = sorted(trials, key=lambda trial: (trial["state"] != "COMPLETE", -trial["score"]))[:MOST_ROWS]
    rows = [[str(trial["number"]), *(_value(trial, column) for column in shown), number(trial["score"])] for trial in best]
    alternative = table(("trial", *(column.name for column in shown), "score"), rows, f"The best {len(rows)} trials")
    return [figure("", [scrolled("Parallel coordinates", _draw(trials, shown))], caption, alternative)]


def _draw(trials: Sequence[Trial], parameters: Sequence[Column]) -> Element:
    scores = [float(trial["score"]) for trial in trials]
    low, high = min(scores), max(scores)
    score = Column("score", (), low, high if high > low else low + 1e-9)
    axes, level = [*parameters, score], leveller(scores)
    step = (WIDTH - 2 * SIDE) / (len(axes) - 1)
    lines = []
    for trial in sorted(trials, key=lambda trial: (trial["state"] != "PRUNED", trial["score"])):
        values = {**values_of(trial), "score": trial["score"]}
        points = [(SIDE + i * step, _height(column.position(values.get(column.name)))) for i, column in enumerate(axes)]
        title = element("title", f"trial {trial['number']}, {trial['state']}, score {number(trial['score'])}")
        classes = f"strand l{level(trial['score'])} {trial['state'].lower()}"
        lines.append(element("path", title, d=path(points), class_=classes, data_trial=trial["number"]))
    drawn = [part for i, column in enumerate(axes) for part in _axis(column, SIDE + i * step, i % 2 == 1)]
    label = "Parallel coordinates of the trials"
    return drawing(label, lines, drawn, width=WIDTH, height=HEIGHT, class_=f"wide{dense(len(lines))}")


def _axis(column: Column, x: float, is_low: bool) -> list[Element]:
    """An axis with its name, lower if `is_low` so that neighbours do not collide, and its levels or ends."""
    n = len(column.levels)
    ends = [(tick_text(column.low), 0.0), (tick_text(column.high), 1.0)]
    marks = [(short(word, 22), (i + 0.5) / n) for i, word in enumerate(column.levels)] or ends
    return [
        element("line", x1=x, x2=x, y1=TOP, y2=BOTTOM, class_="axis"),
        text(short(column.name, 24), x, 14 + 12 * is_low, "middle"),
        *(text(word, x + 5, _height(position) + 3, "start", "halo") for word, position in marks),
    ]


def _height(position: float | None) -> float:
    return ABSENT if position is None else BOTTOM - position * (BOTTOM - TOP)


def _value(trial: Trial, column: Column) -> str:
    value = values_of(trial).get(column.name)
    return "–" if value is None else as_text(value)
