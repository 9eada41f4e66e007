"""What every figure is made of: a titled panel with axes, a table as its text alternative, a caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import Child, element
from tuner.report.drawing.scales import Scale, tick_text

WIDTH, HEIGHT = 372.0, 252.0
"""Of a panel: one fits a phone as it is."""
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 24.0, 36.0
"""Room around what is drawn, for axes and their names."""
MANY = 80
"""Lines above which a drawing is dense."""
LONGEST = 56
"""Characters of a text in a drawing."""


def drawing(
    label: str, *children: Child | Iterable[Child], width: float = WIDTH, height: float = HEIGHT, class_: str | None = None
) -> Element:
    """An SVG that a screen reader takes for one image named `label`. Of the class `wide` it is as wide as the page."""
    size: dict[str, str | float] = {"viewBox": f"0 0 {width:g} {height:g}", "width": width, "height": height}
    return element("svg", *children, **size, role="img", aria_label=label, class_=class_)


def dense(n_lines: int) -> str:
    """The class of a drawing whose lines would hide one another."""
    return " dense" if n_lines > MANY else ""


def inner(width: float = WIDTH, height: float = HEIGHT) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where x and y go from and to inside the axes; y grows upwards."""
    return (LEFT, width - RIGHT), (height - BOTTOM, TOP)


def axes(x: Scale | None, y: Scale | None, x_label: str = "", y_label: str = "", height: float = HEIGHT) -> list[Element]:
    """Grid lines and tick labels; the axes' names stand below them at the right, and above."""
    parts: list[Element] = []
    bottom = height - BOTTOM
    left, right = (x.start, x.end) if x else (LEFT, WIDTH - RIGHT)
    for value in y.ticks(4) if y else []:
        at = y(value) if y else 0.0
        parts.append(element("line", x1=left, x2=right, y1=at, y2=at, class_="grid"))
        parts.append(text(tick_text(value), left - 5, at + 3.5, "end"))
    for value in x.ticks(5) if x else []:
        at = x(value) if x else 0.0
        parts.append(element("line", x1=at, x2=at, y1=bottom, y2=bottom + 3, class_="axis"))
        parts.append(text(tick_text(value), at, bottom + 14, "middle"))
    parts.append(element("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
    if x_label:
        parts.append(text(x_label, right, height - 5, "end", "name"))
    if y_label:
        parts.append(text(y_label, left, TOP - 10, "start", "name"))
    return parts


def text(words: str, x: float, y: float, anchor: str = "start", class_: str | None = None) -> Element:
    """Words in a drawing; what is too long for one is cut, and whole where a pointer rests on it."""
    whole = element("title", words) if short(words) != words else None
    return element("text", short(words), whole, x=x, y=y, text_anchor=anchor, class_=class_)


def short(words: str, longest: int = LONGEST) -> str:
    return words if len(words) <= longest else f"{words[: longest - 1]}…"


def path(points: Sequence[tuple[float, float]]) -> str:
    """A line through points, as the `d` of a path."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def figure(title: str, panels: Sequence[Element], caption: str, alternative: Element | None = None) -> Element:
    """Panels side by side under a title, with what they show in words and, folded away, in numbers."""
    return element(
        "figure",
        element("h3", title) if title else None,
        element("div", panels, class_="panels"),
        element("figcaption", caption),
        element("details", element("summary", "The numbers"), alternative) if alternative is not None else None,
    )


def scrolled(label: str, child: Element) -> Element:
    """What is wider than a phone scrolls in a region that the keyboard reaches."""
    return element("div", child, class_="scroll", role="region", tabindex="0", aria_label=label)


def table(head: Sequence[str], rows: Iterable[Sequence[Child]], label: str, n_words: int = 1) -> Element:
    """A table whose first column names its rows; the first `n_words` columns are words, the others numbers."""
    body = []
    for row in rows:
        cells = [element("th", row[0], scope="row")]
        cells += [element("td", cell, class_=None if i < n_words else "n") for i, cell in enumerate(row[1:], start=1)]
        body.append(element("tr", cells))
    names = [element("th", name, scope="col", class_=None if i < n_words else "n") for i, name in enumerate(head)]
    made = element("table", element("thead", element("tr", names)), element("tbody", body))
    return scrolled(label, made)


def number(value: float | None, digits: int = 4) -> str:
    """Fixed decimals; – for nothing."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def moment(written: str | None) -> str:
    """`2026-01-02 03:04 UTC` of a time as ISO 8601 has it; as it stands where it is none."""
    try:
        return f"{datetime.fromisoformat(written or '').astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return written or ""


def signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def spread(low: float | None, high: float | None, digits: int = 3) -> str:
    """`0.412 to 0.498`; – where it is unknown."""
    return "–" if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"
