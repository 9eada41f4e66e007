"""Rows of values with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, short, text
from tuner.report.drawing.scales import Scale, spanning, tick_text

LABEL, ROW, FOOT = 132.0, 22.0, 34.0
"""Room for names, the height of a row, and of the axis below."""


@dataclass(frozen=True)
class Dot:
    """A value of a row, with its interval where there is one."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    kind: str = "full"
    """`full`, `hollow` or `faint`."""


def dots(
    label: str, rows: Mapping[str, Sequence[Dot]], x_label: str, marks: Mapping[str, float] | None = None, width: float = 440.0
) -> Element | None:
    """A row of dots for each name; `marks` sets a tick beside a row, such as the level of chance. None of no dots."""
    every = [value for row in rows.values() for dot in row for value in (dot.value, dot.low, dot.high) if value is not None]
    if not every:
        return None
    every += list((marks or {}).values())
    height = ROW * len(rows) + FOOT + 6
    x = spanning(every, LABEL, width - 12)
    bottom = height - FOOT
    parts: list[Element] = []
    for value in x.ticks(5):
        parts.append(element("line", x1=x(value), x2=x(value), y1=4, y2=bottom, class_="grid"))
        parts.append(text(tick_text(value), x(value), bottom + 14, "middle"))
    parts.append(text(x_label, width - 12, height - 5, "end", "name"))
    for i, (name, row) in enumerate(rows.items()):
        y = 6 + ROW * (i + 0.5)
        parts.append(text(short(name, 22), LABEL - 8, y + 4, "end", "row"))
        if name in (marks or {}):
            at = x((marks or {})[name])
            parts.append(element("line", element("title", "chance"), x1=at, x2=at, y1=y - 8, y2=y + 8, class_="chance"))
        for k, dot in enumerate(row):
            parts += _dot(dot, x, y + (k - (len(row) - 1) / 2) * 8)
    return drawing(label, parts, width=width, height=height)


def _dot(dot: Dot, x: Scale, y: float) -> list[Element]:
    assert dot.value is not None, "a row holds values"
    title = element("title", f"{dot.name}: {dot.value:.4f}")
    made = []
    if dot.low is not None and dot.high is not None:
        made.append(element("line", x1=x(dot.low), x2=x(dot.high), y1=y, y2=y, class_=f"whisker {dot.kind}"))
    made.append(element("circle", title, cx=x(dot.value), cy=y, r=4, class_=f"dot {dot.kind}"))
    return made
