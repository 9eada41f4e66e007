"""Where the time of the gangs went."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, figure, scrolled, table, text
from tuner.report.numbers.cost import Cost
from tuner.report.numbers.timeline import KINDS
from tuner.report.run import Run
from tuner.results.summary import duration

WIDTH, HEIGHT, BAR = 1120.0, 62.0, 28.0
IDLE = "idle"


def section(run: Run, found: Cost) -> list[Element]:
    if not found.total_s:
        return [element("p", "Nothing was spent yet.", class_="none")]
    caption = (
        "Seconds of gangs. The saving is an estimate: what pruned trials had left, each at its own pace until then; their last "
        "evaluation would have been on all of select, so that it is rather low."
        if found.idle_s is not None
        else "Training and evaluation, as the trials tell of themselves: without a timeline set-up and idle are not known."
    )
    return [element("p", _told(found)), figure("", [scrolled("Cost", draw(found))], caption, _alternative(found))]


def _told(found: Cost) -> str:
    unit = f"{found.unit}-hours"
    told = [f"{found.hours(found.total_s):.2f} {unit} in all ({duration(found.total_s)} of gangs)."]
    if found.saved_by_pruning_s:
        share = found.saved_by_pruning_s / (found.total_s + found.saved_by_pruning_s)
        told.append(
            f"Pruning saved about {found.hours(found.saved_by_pruning_s):.2f} {unit}: without it the trials would have cost "
            f"{100 * share / (1 - share):.0f} % more."
        )
    if found.n_repeats:
        hours = found.hours(found.saved_by_repeats_s)
        told.append(f"{found.n_repeats} repeated configurations were told from the record, which saved {hours:.2f} {unit}.")
    if found.n_unrecorded and found.idle_s is not None:
        told.append(f"{found.n_unrecorded} trials are older than the timeline: they are counted by their own seconds.")
    return " ".join(told)


def parts(found: Cost) -> list[tuple[str, str, float]]:
    """Name, class and seconds of each part of the bar, in order."""
    each = [
        (f"{row.state.lower()}, {kind}", f"s-{row.state.lower()} k-{kind.replace('-', '')}", row.seconds.get(kind, 0.0))
        for row in found.rows
        for kind in KINDS
    ]
    return [one for one in (*each, (IDLE, "k-idle", found.idle_s or 0.0)) if one[2] > 0]


def draw(found: Cost) -> Element:
    at, drawn = 0.0, []
    for name, class_, seconds in parts(found):
        width = seconds / found.total_s * WIDTH
        title = element("title", f"{name}: {duration(seconds)}, {100 * seconds / found.total_s:.1f} %")
        drawn.append(element("rect", title, x=at, y=4, width=width, height=BAR, class_=class_))
        at += width
    at = 0.0
    for row in [*((row.state.lower(), row.total_s) for row in found.rows), (IDLE, found.idle_s or 0.0)]:
        width = row[1] / found.total_s * WIDTH
        if width > 0:
            drawn.append(element("line", x1=at + 0.5, x2=at + width - 0.5, y1=BAR + 9, y2=BAR + 9, class_="axis"))
        if width > 70:
            share = f"{100 * row[1] / found.total_s:.0f} %"
            drawn.append(text(f"{row[0]} {share}", at + width / 2, BAR + 23, "middle"))
        at += width
    told = ", ".join(f"{name} {100 * seconds / found.total_s:.0f} %" for name, _, seconds in parts(found))
    return drawing(f"Where the time went: {told}", drawn, width=WIDTH, height=HEIGHT, class_="wide")


def _alternative(found: Cost) -> Element:
    rows = []
    for row in found.rows:
        seconds = [duration(row.seconds.get(kind, 0.0)) for kind in KINDS]
        rows.append([row.state, str(row.n), *seconds, duration(row.total_s), f"{found.hours(row.total_s):.3f}"])
    if found.idle_s is not None:
        rows.append([IDLE, "–", *("–" for _ in KINDS), duration(found.idle_s), f"{found.hours(found.idle_s):.3f}"])
    return table(("state", "trials", *KINDS, "in all", f"{found.unit}-hours"), rows, "Cost by state")
