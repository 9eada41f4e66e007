"""Builds HTML and SVG as element trees. Text and attributes are escaped on output, so no text of a run becomes markup."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
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
