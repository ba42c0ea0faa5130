"""Small plots as SVG: drawn by matplotlib, coloured by the page's style sheet, with a tooltip at each point.

Each is 360 units wide, so that its text has its own size on the narrowest screen and at three in a row alike. The same
traces give the same bytes.
"""

# pyright: reportUnknownMemberType=false
# (matplotlib leaves **kwargs untyped in most of its methods)

import dataclasses
import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from reparam.benchmark.page.scales import Scale
from reparam.benchmark.page.series import COLOURS, Look
from reparam.pictures import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 360.0  # units, and pixels where it is shown at its own size
TEXT: Final = 12.0
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 232.0, 56.0, 12.0, 24.0, 40.0
_PAPER, _INK, _SOFT, _LINE = "#fefefe", "#1b1e22", "#59636e", "#e2e5e9"
_NAMES: Final = {**COLOURS, _PAPER: "paper", _INK: "ink", _SOFT: "soft", _LINE: "line"}
_COLOUR: Final = re.compile("|".join(_NAMES))
_FONT: Final = re.compile(r"font: ([\d.]+)px [^;]*")  # as matplotlib wrote it once
_FAMILY: Final = re.compile(r"font-family: [^;]*;? ?")
_PLACES: Final = re.compile(r"-?\d+\.\d{3,}")


@dataclasses.dataclass(frozen=True)
class Trace:
    """One series of a plot.

    Attributes:
        look: how it looks.
        x: of its points.
        y: of its points.
        told: a tooltip for each point.
        hollow: for each point, whether its marker is.
        whiskers: for each point, how high a thin line goes up from it; empty for none.
        curve: a line in place of the one through the points: x and y of its places; empty for none at all.
    """

    look: Look
    x: tuple[float, ...]
    y: tuple[float, ...]
    told: tuple[str, ...]
    hollow: tuple[bool, ...] = ()
    whiskers: tuple[float, ...] = ()
    curve: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def styled() -> AbstractContextManager[None]:
    """matplotlib's own style, whatever the user's is, and SVG with text as text; wherever plots are drawn."""
    from matplotlib import style

    return style.context(["default", {"svg.fonttype": "none", "svg.hashsalt": "reparam", "text.parse_math": False}])


def plot(
    key: str, described: str, traces: Sequence[Trace], x: Scale, y: Scale, *, bound: tuple[float, str] | None = None
) -> ET.Element:
    """Points and lines over two axes.

    Args:
        key: unlike that of any other plot of the page.
        described: what a reader hears who sees no plot.
        traces: see `Trace`.
        x: the axis below.
        y: the axis at the left; its title stands above it.
        bound: a height that is marked, and its words.
    """
    page, axes = _empty(x, _LEFT, _HEIGHT)
    axes.set_yscale("log" if y.log else "linear")
    axes.minorticks_off()
    axes.set_ylim(y.low, y.high)
    axes.set_yticks(y.ticks, y.labels)
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    _text(page, 4, 13, y.title, colour=_SOFT)
    if bound is not None:
        axes.axhline(bound[0], color=_INK, linewidth=1, dashes=(3, 3))
        axes.annotate(
            bound[1], (0, bound[0]), (4, 4), xycoords=("axes fraction", "data"), textcoords="offset points",
            fontsize=TEXT, color=_INK,
        )  # fmt: skip
    tips: list[Tips] = []
    for trace in traces:
        tips += _draw(axes, trace)
    return _svg(page, key, described, tips)


def rods(key: str, described: str, traces: Sequence[Trace], x: Scale, values: Sequence[str]) -> ET.Element:
    """A line for each trace, named at the left, from its first point, which is hollow, to its last, which has a value.

    Args:
        key: see `plot`.
        described: see `plot`.
        traces: of which x counts alone.
        x: the axis below.
        values: beside the last points.
    """
    page, axes = _empty(x, 142.0, _TOP + _BOTTOM + 21.0 * len(traces), top=6.0, right=34.0)
    axes.set_ylim(len(traces) - 0.4, -0.6)
    axes.set_yticks(range(len(traces)), [trace.look.label for trace in traces])
    axes.grid(axis="x", color=_LINE, linewidth=0.8)
    axes.tick_params(axis="y", labelcolor=_INK, pad=7)
    tips: list[Tips] = []
    for place, (trace, value) in enumerate(zip(traces, values, strict=True)):
        level = (float(place),) * len(trace.x)
        tips += _draw(axes, dataclasses.replace(trace, y=level))
        axes.annotate(
            value, (trace.x[-1], place), (8, 0), textcoords="offset points", va="center", fontsize=TEXT, color=_INK
        )
    return _svg(page, key, described, tips)


def swatch(look: Look) -> ET.Element:
    """A series' line and marker, for the legend."""
    page = figure(34 / 72, 14 / 72, layout=None)
    page.patch.set_visible(False)
    axes = page.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 34)
    axes.set_ylim(0, 14)
    axes.plot((2, 32), (7, 7), color=look.colour, linewidth=1.8, linestyle=look.dash)
    axes.plot((17,), (7,), color=look.colour, marker=look.marker, markersize=6.5, linestyle="none")
    found = _svg(page, f"swatch{look.number}", "", [])
    found.attrib.update({"width": "34", "height": "14", "aria-hidden": "true"})
    return found


Tips = tuple[str, str, tuple[str, ...]]  # what names a group of markers, the class of its series, a tooltip for each


def _empty(
    x: Scale, left: float, height: float, *, top: float = _TOP, right: float = _RIGHT
) -> "tuple[Figure, Axes]":
    page = figure(WIDTH / 72, height / 72, layout=None)
    page.patch.set_visible(False)
    axes = page.add_axes(
        (left / WIDTH, _BOTTOM / height, (WIDTH - left - right) / WIDTH, (height - top - _BOTTOM) / height)
    )
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.set_xscale("log" if x.log else "linear")
    axes.set_xlim(x.low, x.high)
    axes.set_xticks(x.ticks, x.labels)
    axes.minorticks_off()
    axes.tick_params(length=0, labelsize=TEXT, labelcolor=_SOFT, pad=5)
    axes.tick_params(axis="x", length=3, color=_LINE)
    axes.set_axisbelow(True)
    _text(page, WIDTH - right, height - 6, x.title, colour=_SOFT, right=True)
    return page, axes


def _text(page: "Figure", x: float, y: float, words: str, *, colour: str, right: bool = False) -> None:
    """Words at a place in units from the top left corner."""
    height = page.get_figheight() * 72
    page.text(x / WIDTH, 1 - y / height, words, fontsize=TEXT, color=colour, ha="right" if right else "left")


def _draw(axes: "Axes", trace: Trace) -> list[Tips]:
    look = trace.look
    group = f"s{look.number}"
    line = (trace.x, trace.y) if trace.curve is None else trace.curve
    if line[0]:
        axes.plot(*line, color=look.colour, linewidth=1.6, linestyle=look.dash, gid=f"{group} line")
    if trace.whiskers:
        axes.vlines(trace.x, trace.y, trace.whiskers, color=look.colour, linewidth=1, alpha=0.55, gid=f"{group} whisker")
    hollow = trace.hollow or (False,) * len(trace.x)
    tips: list[Tips] = [(f"{group} line", group, ()), (f"{group} whisker", group, ())]
    for state in (False, True):
        places = [place for place, each in enumerate(hollow) if each is state]
        name = f"{group} {'hollow' if state else 'full'}"
        axes.plot(
            [trace.x[place] for place in places],
            [trace.y[place] for place in places],
            linestyle="none",
            marker=look.marker,
            markersize=6.5,
            color=look.colour,
            markerfacecolor=_PAPER if state else look.colour,
            markeredgewidth=1.4 if state else 0.6,
            markeredgecolor=look.colour if state else _PAPER,
            clip_on=False,
            zorder=3,
            gid=name,
        )
        tips.append((name, group, tuple(trace.told[place] for place in places)))
    return tips


def _svg(page: "Figure", key: str, described: str, tips: Sequence[Tips]) -> ET.Element:
    """matplotlib's document as a part of ours: no size, ids, metadata or colours of its own."""
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
