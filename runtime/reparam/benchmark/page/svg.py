"""matplotlib's figures as parts of a page: its colours are names of the style sheet, its points have tooltips."""

# pyright: reportUnknownMemberType=false
# (matplotlib leaves **kwargs untyped in most of its methods)

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from reparam.benchmark.page.series import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER, INK, SOFT, LINE = "#fefefe", "#1b1e22", "#59636e", "#e2e5e9"
_NAMES: Final = {**COLOURS, PAPER: "paper", INK: "ink", SOFT: "soft", LINE: "line"}
_COLOUR: Final = re.compile("|".join(_NAMES))
_FONT: Final = re.compile(r"font: ([\d.]+)px [^;]*")  # as matplotlib wrote it once
_FAMILY: Final = re.compile(r"font-family: [^;]*;? ?")
_PLACES: Final = re.compile(r"-?\d+\.\d{3,}")
Tips = tuple[str, str, tuple[str, ...]]  # a group's gid, the class it gets, and a tooltip for each of its markers


def styled() -> AbstractContextManager[None]:
    """The style that matplotlib comes with, whatever the user's is; plots are drawn inside this context."""
    from matplotlib import style

    return style.context(["default", {"svg.fonttype": "none", "svg.hashsalt": "reparam", "text.parse_math": False}])


def svg(page: "Figure", key: str, described: str, tips: Sequence[Tips]) -> ET.Element:
    """A figure as a part of the page: no size, ids, metadata, fonts or colours of its own.

    Args:
        page: the figure.
        key: in front of every id that is left.
        described: what a reader hears who sees no plot; empty for a mere ornament.
        tips: groups, by the gid of their artists.
    """
    buffer = io.StringIO()
    page.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ET.fromstring(buffer.getvalue())  # noqa: S314  # matplotlib's own text, of a moment ago
    for part in list(root):
        if part.find(".//{*}style") is not None or part.tag.endswith("metadata"):
            root.remove(part)  # a style here would be one of the whole page
    groups = {node.get("id", ""): node for node in root.iter()}
    box = root.get("viewBox", "")
    for node in root.iter():
        _plain(node, key)
    for name, series, told in tips:
        if (group := groups.get(name)) is not None:
            group.set("class", series)
            for marker, words in zip(group.findall(".//use"), told, strict=True):
                ET.SubElement(marker, "title").text = words
    root.attrib.clear()
    root.attrib.update({"viewBox": box, **({"role": "img", "aria-label": described} if described else {})})
    return root


def _plain(node: ET.Element, key: str) -> None:
    """An element as the page needs it: names of the style sheet for colours, no font, ids that no other plot has."""
    node.tag, node.tail = node.tag.rpartition("}")[2], None
    if node.tag != "text":
        node.text = None
    before = dict(node.attrib)
    node.attrib.clear()
    for name, value in before.items():
        match name.rpartition("}")[2]:
            case "id" if node.tag in ("path", "clipPath"):
                node.set("id", f"{key}-{value}")
            case "id":
                pass
            case "href":
                node.set("href", f"#{key}-{value[1:]}")
            case "clip-path":
                node.set("clip-path", value.replace("#", f"#{key}-"))
            case "style":
                found = _FONT.sub(r"font-size: \1px", _FAMILY.sub("", value))
                node.set("style", _COLOUR.sub(lambda match: f"var(--{_NAMES[match[0]]})", found))
            case other:
                node.set(other, " ".join(_PLACES.sub(lambda match: f"{float(match[0]):.2f}", value).split()))
