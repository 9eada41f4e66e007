"""Two measures at a time, with the front of the trials that none beats in both."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from tuner.config.objective import is_minimised
from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import axes, drawing, figure, inner, number, path, table
from tuner.report.drawing.scales import spanning
from tuner.report.numbers.pareto import Plane, planes
from tuner.report.run import Run


def section(run: Run) -> list[Element]:
    kind, found = planes(run)
    if not found:
        return [element("p", "No complete trial has two measures to set against each other.", class_="none")]
    panels = [draw(plane, run.champion_number) for plane in found]
    told = "The search's own goals" if kind == "goals" else "The search had one goal; these are its tasks, two at a time"
    caption = (
        f"{told}. A line joins the complete trials that no other beats in one measure without losing in the other; the ringed "
        "one is the champion. A front of measured values is itself chosen, and so too good."
    )
    rows = [[f"{plane.x} and {plane.y}", str(trial), number(a), number(b)] for plane in found for trial, a, b in plane.front]
    return [figure("", panels, caption, table(("measures", "trial", "first", "second"), rows, "The fronts"))]


def draw(plane: Plane, champion: int | None) -> Element:
    (left, right), (bottom, top) = inner()
    x = spanning([a for _, a, _ in plane.points], left, right)
    y = spanning([b for _, _, b in plane.points], bottom, top)
    on_front = {number_ for number_, _, _ in plane.front}
    dots = []
    for trial, a, b in plane.points:
        title = element("title", f"trial {trial}: {plane.x} {number(a)}, {plane.y} {number(b)}")
        classes = f"mark{' front' if trial in on_front else ' faint'}{' champion' if trial == champion else ''}"
        dot = element("circle", title, cx=x(a), cy=y(b), r=3.6, class_=classes)
        dot.set("data-trial", str(trial))
        dots.append(dot)
    corners = [(x(a), y(b)) for _, a, b in plane.front]
    line = element("path", d=path(corners), class_="frontline") if len(corners) > 1 else None
    names = [f"{name}{' (less is better)' if is_minimised(name) else ''}" for name in (plane.x, plane.y)]
    label = f"{plane.x} against {plane.y}: {len(plane.points)} trials, {len(plane.front)} on the front"
    return drawing(label, axes(x, y, names[0], names[1]), line, dots)
