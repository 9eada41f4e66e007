"""Builds HTML as element trees: figures, tables, lists, and number formats.

Text and attributes are escaped on output, so no text of a run becomes markup.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element, tostring

Child = Element | str | int | float | None
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories of invisible characters: control and format characters, bidirectional ones among them."""
VISIBLE = "\ufffd"


def plain(text: str) -> str:
    """`text` with every invisible character except line breaks replaced by �."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or unicodedata.category(c) not in HIDDEN else VISIBLE for c in text)


def element(tag: str, *children: Child | Iterable[Child], **attributes: str | float | bool | None) -> Element:
    """An element; `class_` is `class`, other underscores are hyphens; attributes that are None or False are left out."""
    root = Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            root.set(name.rstrip("_").replace("_", "-"), "" if value is True else _text(value))
    for argument in children:
        for child in [argument] if argument is None or isinstance(argument, Element | str | int | float) else argument:
            if isinstance(child, Element):
                root.append(child)
            elif child is not None and len(root):
                root[-1].tail = (root[-1].tail or "") + _text(child)
            elif child is not None:
                root.text = (root.text or "") + _text(child)
    return root


def _text(value: str | float) -> str:
    return plain(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def markup(root: Element) -> str:
    """The tree as HTML."""
    return tostring(root, encoding="unicode", method="html")


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
