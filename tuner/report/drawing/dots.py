"""Draws rows of values with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import drawing, short, text
from tuner.report.drawing.scales import spanning, tick_text

LABEL, ROW, FOOT = 132.0, 22.0, 34.0
"""Pixels for names, for a row, and for the axis below."""


@dataclass(frozen=True)
class Dot:
    """A value in a row, with its interval if it has one; a value of None is not drawn."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    kind: str = "full"
    """`full`, `hollow` or `faint`."""


def dots(
    label: str,
    rows: Mapping[str, Sequence[Dot]],
    x_label: str,
    chance: Mapping[str, float] | None = None,
    width: float = 440.0,
) -> Element | None:
    """A row of dots for each name; `chance` adds a tick to a row. None without any value."""
    chance = chance or {}
    drawn = [dot for row in rows.values() for dot in row if dot.value is not None]
    if not drawn:
        return None
    values = [value for dot in drawn for value in (dot.value, *(dot.interval or ())) if value is not None]
    height = ROW * len(rows) + FOOT + 6
    x, bottom = spanning([*values, *chance.values()], LABEL, width - 12), height - FOOT
    parts: list[Element] = []
    for value in x.ticks(5):
        parts.append(element("line", x1=x(value), x2=x(value), y1=4, y2=bottom, class_="grid"))
        parts.append(text(tick_text(value), x(value), bottom + 14, "middle"))
    parts.append(text(x_label, width - 12, height - 5, "end", "name"))
    for i, (name, row) in enumerate(rows.items()):
        y = 6 + ROW * (i + 0.5)
        parts.append(text(short(name, 22), LABEL - 8, y + 4, "end", "row"))
        if name in chance:
            at = x(chance[name])
            parts.append(element("line", element("title", "chance"), x1=at, x2=at, y1=y - 8, y2=y + 8, class_="chance"))
        shown = [dot for dot in row if dot.value is not None]
        for k, dot in enumerate(shown):
            at = y + (k - (len(shown) - 1) / 2) * 8
            if dot.interval:
                low, high = map(x, dot.interval)
                parts.append(element("line", x1=low, x2=high, y1=at, y2=at, class_=f"whisker {dot.kind}"))
            title = element("title", f"{dot.name}: {dot.value:.4f}")
            parts.append(element("circle", title, cx=x(dot.value or 0.0), cy=at, r=4, class_=f"dot {dot.kind}"))
    return drawing(label, parts, width=width, height=height)
