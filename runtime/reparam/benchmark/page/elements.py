"""HTML as a tree of the standard library's elements: whatever text goes in is escaped on the way out."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

Child = ET.Element | str | None


def element(tag: str, *children: Child, **attributes: str | None) -> ET.Element:
    """An element with its children in order; None is left out, of children and of attributes.

    Args:
        tag: its name.
        children: elements, and text between them.
        attributes: `class_` is class and `aria_label` aria-label, as Python's names hold no hyphen.
    """
    named = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    made = ET.Element(tag, named)
    extend(made, children)
    return made


def extend(parent: ET.Element, children: Iterable[Child]) -> None:
    """More children at the end."""
    for child in children:
        if isinstance(child, ET.Element):
            parent.append(child)
        elif child is not None:
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + child
            else:
                parent.text = (parent.text or "") + child


def scrolling(told: str, table: ET.Element) -> ET.Element:
    """A table in a box of its own, which scrolls where the screen is narrower, by the keyboard too."""
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=told)


def document(root: ET.Element) -> bytes:
    """The page as a file's bytes."""
    text: str = ET.tostring(root, encoding="unicode", method="html")
    return f"<!doctype html>\n{text}\n".encode()
