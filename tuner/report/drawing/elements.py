"""HTML and SVG as trees of elements: text and attributes are escaped when a tree is written, so nothing breaks out of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from xml.etree.ElementTree import Element, tostring

Child = Element | str | int | float | None
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories of what is not seen but acts: control and format characters, the bidirectional ones among them."""
VISIBLE = "\ufffd"


def plain(text: str) -> str:
    """`text` with every character that acts without being seen replaced by �, but for line breaks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or unicodedata.category(c) not in HIDDEN else VISIBLE for c in text)


def element(tag: str, *children: Child | Iterable[Child], **attributes: str | float | bool | None) -> Element:
    """An element; `class_` is `class`, other underscores are hyphens; attributes that are None or False are left out."""
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            made.set(name.rstrip("_").replace("_", "-"), "" if value is True else _written(value))
    for child in children:
        for one in [child] if child is None or isinstance(child, Element | str | int | float) else child:
            _append(made, one)
    return made


def _append(parent: Element, child: Child) -> None:
    if child is None:
        return
    if isinstance(child, Element):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + _written(child)
    else:
        parent.text = (parent.text or "") + _written(child)


def _written(value: str | float) -> str:
    return plain(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def markup(root: Element) -> str:
    """The tree as HTML."""
    return tostring(root, encoding="unicode", method="html")
