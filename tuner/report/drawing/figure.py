"""Parts of a figure: panels with axes, captions, tables as text alternatives, and number formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import Child, element
from tuner.report.drawing.scales import Scale, tick_text

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


def figure(title: str, panels: Iterable[Element | None], caption: str, alternative: Element | None = None) -> Element:
    """Panels side by side under a title, with a caption and, folded, the same as a table."""
    return element(
        "figure",
        element("h3", title) if title else None,
        element("div", panels, class_="panels"),
        element("figcaption", caption),
        element("details", element("summary", "The numbers"), alternative) if alternative is not None else None,
    )


def absent(sentence: str) -> list[Element]:
    """A section that explains why there is no chart."""
    return [element("p", sentence, class_="none")]


def bullets(sentences: Iterable[str], class_: str | None = None) -> Element:
    """A list with a point for each sentence."""
    return element("ul", [element("li", sentence) for sentence in sentences], class_=class_)


def legend(classes: Iterable[tuple[str, str]], class_: str = "legend") -> Element:
    """Colours and their names, from pairs of a class and a name."""
    return element("ul", [element("li", element("span", class_=f"swatch {c}"), name) for c, name in classes], class_=class_)


def scrolled(label: str, child: Element) -> Element:
    """A region that scrolls sideways, also with the keyboard, for content wider than a phone."""
    return element("div", child, class_="scroll", role="region", tabindex="0", aria_label=label)


def table(head: Sequence[str], rows: Iterable[Sequence[Child]], label: str, n_words: int = 1) -> Element:
    """A table whose first column names its rows; the first `n_words` columns are words, the others numbers."""
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            [element("td", cell, class_=None if i < n_words else "n") for i, cell in enumerate(row[1:], start=1)],
        )
        for row in rows
    ]
    names = [element("th", name, scope="col", class_=None if i < n_words else "n") for i, name in enumerate(head)]
    return scrolled(label, element("table", element("thead", element("tr", names)), element("tbody", body)))


def number(value: float | None, digits: int = 4) -> str:
    """Fixed decimals; – for None."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def spread(bounds: tuple[float, float] | None, digits: int = 3) -> str:
    """`0.412 to 0.498`; – for None."""
    return "–" if bounds is None else f"{number(bounds[0], digits)} to {number(bounds[1], digits)}"
