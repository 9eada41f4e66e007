"""Draws SVG: scales and ticks, panels with axes, and rows of dots."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from tuner.report.html import Child, element

N_LEVELS = 7


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high`, drawn from `start` to `end` in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, n: int = 5) -> list[float]:
        """About `n` round values on the axis."""
        return linear_ticks(self.low, self.high, n)


def linear_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between `low` and `high`."""
    if high <= low:
        return [low]
    rough = (high - low) / max(n, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Powers of ten between `low` and `high`, thinned to about `n`; linear ticks where there are fewer than two."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        return linear_ticks(low, high, n)
    return [10.0**k for k in range(first, last + 1, max(1, math.ceil((last - first) / n)))]


def spanning(values: Sequence[float], start: float, end: float) -> Scale:
    """A linear axis over `values`, 4 % wider on each side."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or max(abs(high) * 0.05, 1e-3)
    return Scale(low - margin, high + margin, start, end)


def tick_text(value: float) -> str:
    """Such as `0.25`, `1e-05`, `3000`."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}"


def leveller(scores: Sequence[float]) -> Callable[[float], int]:
    """A function from a score to its colour level, 0 to `N_LEVELS` − 1, by quantiles of the scores."""
    ordered = sorted(scores)
    bounds = [ordered[len(ordered) * step // N_LEVELS] for step in range(1, N_LEVELS)] if ordered else []
    return lambda score: bisect_right(bounds, score)


WIDTH, HEIGHT = 372.0, 252.0
"""Of a panel, in pixels; it fits a phone."""
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 24.0, 36.0
"""Margins for axes and their names."""
INNER_X, INNER_Y = (LEFT, WIDTH - RIGHT), (HEIGHT - BOTTOM, TOP)
"""Ends of the x and the y axis; y grows upwards."""
MANY = 80
"""Lines above which a drawing is dense."""
LONGEST = 56
"""Characters of a text in a drawing."""


def drawing(
    label: str, *children: Child | Iterable[Child], width: float = WIDTH, height: float = HEIGHT, class_: str | None = None
) -> Element:
    """An SVG that screen readers announce as one image named `label`. The class `wide` makes it as wide as the page."""
    size: dict[str, str | float] = {"viewBox": f"0 0 {width:g} {height:g}", "width": width, "height": height}
    return element("svg", *children, **size, role="img", aria_label=label, class_=class_)


def dense(n_lines: int) -> str:
    """The class of a drawing with so many lines that they cover each other, else an empty string."""
    return " dense" if n_lines > MANY else ""


def axes(x: Scale, y: Scale, x_label: str, y_label: str) -> list[Element]:
    """Grid lines and tick labels, the x axis' name below at the right and the y axis' name above."""
    bottom = INNER_Y[0]
    parts: list[Element] = []
    for value in y.ticks(4):
        parts.append(element("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        parts.append(text(tick_text(value), x.start - 5, y(value) + 3.5, "end"))
    for value in x.ticks(5):
        parts.append(element("line", x1=x(value), x2=x(value), y1=bottom, y2=bottom + 3, class_="axis"))
        parts.append(text(tick_text(value), x(value), bottom + 14, "middle"))
    parts.append(element("line", x1=x.start, x2=x.end, y1=bottom, y2=bottom, class_="axis"))
    return [*parts, text(x_label, x.end, HEIGHT - 5, "end", "name"), text(y_label, x.start, TOP - 10, "start", "name")]


def text(words: str, x: float, y: float, anchor: str = "start", class_: str | None = None) -> Element:
    """Words in a drawing; long ones are cut, with the whole text as a tooltip."""
    whole = element("title", words) if short(words) != words else None
    return element("text", short(words), whole, x=x, y=y, text_anchor=anchor, class_=class_)


def short(words: str, longest: int = LONGEST) -> str:
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def path(points: Sequence[tuple[float, float]]) -> str:
    """A line through points, as the `d` of a path."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


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
