"""Small plots as SVG: drawn by matplotlib, coloured by the page's style sheet, with a tooltip at each point.

Each is 360 units wide, so that its text has its own size on the narrowest screen and at three in a row alike. The same
traces give the same bytes.
"""

# pyright: reportUnknownMemberType=false
# (matplotlib leaves **kwargs untyped in most of its methods)

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from reparam.benchmark.page.scales import Scale
from reparam.benchmark.page.series import Look
from reparam.benchmark.page.svg import INK, LINE, PAPER, SOFT, Tips, svg
from reparam.pictures import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH: Final = 360.0  # units, and pixels where it is shown at its own size
TEXT: Final = 12.0
_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 232.0, 56.0, 12.0, 24.0, 40.0
_SIZES: Final = {"o": 6.5, "s": 6.0, "D": 5.6, "^": 7.5, "v": 7.5}  # of markers that look alike large
_SIZE: Final = 7.0  # of the others


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
        strength: of the line, 1 for full.
    """

    look: Look
    x: tuple[float, ...]
    y: tuple[float, ...]
    told: tuple[str, ...]
    hollow: tuple[bool, ...] = ()
    whiskers: tuple[float, ...] = ()
    curve: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    strength: float = 1.0


def plot(
    key: str, described: str, traces: Sequence[Trace], *, x: Scale, y: Scale, bound: tuple[float, str] | None = None
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
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    _text(page, 4, 13, y.title, colour=SOFT)
    if bound is not None:
        axes.axhline(bound[0], color=INK, linewidth=1, dashes=(3, 3))
        axes.annotate(
            bound[1], (0, bound[0]), (4, 4), xycoords=("axes fraction", "data"), textcoords="offset points",
            fontsize=TEXT, color=INK,
        )  # fmt: skip
    tips: list[Tips] = []
    for trace in traces:
        tips += _draw(axes, trace)
    return svg(page, key, described, tips)


def rods(key: str, described: str, traces: Sequence[Trace], *, x: Scale) -> ET.Element:
    """A line for each trace, named at the left, from its first point, which is hollow, to its last, which has a value.

    Args:
        key: see `plot`.
        described: see `plot`.
        traces: of which x counts alone.
        x: the axis below.
    """
    left = min(200.0, 16 + 6.2 * max(len(trace.look.label) for trace in traces))
    page, axes = _empty(x, left, _TOP + _BOTTOM + 21.0 * len(traces), top=6.0, right=34.0)
    axes.set_ylim(len(traces) - 0.4, -0.6)
    axes.set_yticks(range(len(traces)), [trace.look.label for trace in traces])
    axes.grid(axis="x", color=LINE, linewidth=0.8)
    axes.tick_params(axis="y", labelcolor=INK, pad=7)
    tips: list[Tips] = []
    for place, trace in enumerate(traces):
        level = (float(place),) * len(trace.x)
        tips += _draw(axes, dataclasses.replace(trace, y=level))
        axes.annotate(
            f"{trace.x[-1]:,.0f}",
            (trace.x[-1], place),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=TEXT,
            color=INK,
        )
    return svg(page, key, described, tips)


def swatch(look: Look) -> ET.Element:
    """A series' line and marker, for the legend."""
    page = figure(34 / 72, 14 / 72, layout=None)
    page.patch.set_visible(False)
    axes = page.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, 34)
    axes.set_ylim(0, 14)
    axes.plot((2, 32), (7, 7), color=look.colour, linewidth=1.8, linestyle=look.dash)
    axes.plot((17,), (7,), color=look.colour, marker=look.marker, markersize=_SIZES.get(look.marker, _SIZE))
    found = svg(page, f"swatch{look.number}", "", [])
    found.attrib.update({"width": "34", "height": "14", "aria-hidden": "true"})
    return found


def _empty(x: Scale, left: float, height: float, *, top: float = _TOP, right: float = _RIGHT) -> "tuple[Figure, Axes]":
    page = figure(WIDTH / 72, height / 72, layout=None)
    page.patch.set_visible(False)
    axes = page.add_axes(
        (left / WIDTH, _BOTTOM / height, (WIDTH - left - right) / WIDTH, (height - top - _BOTTOM) / height)
    )
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.set_xscale("log" if x.log else "linear")
    axes.set_xlim(x.low, x.high)
    axes.set_xticks(x.ticks, x.labels)
    axes.minorticks_off()
    axes.tick_params(length=0, labelsize=TEXT, labelcolor=SOFT, pad=5)
    axes.tick_params(axis="x", length=3, color=LINE)
    axes.set_axisbelow(True)
    _text(page, WIDTH - right, height - 6, x.title, colour=SOFT, right=True)
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
        axes.plot(
            *line, color=look.colour, linewidth=1.6, linestyle=look.dash, alpha=trace.strength, gid=f"{group} line"
        )
    if trace.whiskers:
        axes.vlines(
            trace.x, trace.y, trace.whiskers, color=look.colour, linewidth=1, alpha=0.55, gid=f"{group} whisker"
        )
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
            markersize=_SIZES.get(look.marker, _SIZE),
            color=look.colour,
            markerfacecolor=PAPER if state else look.colour,
            markeredgewidth=1.4 if state else 0.6,
            markeredgecolor=look.colour if state else PAPER,
            clip_on=False,
            zorder=3,
            gid=name,
        )
        tips.append((name, group, tuple(trace.told[place] for place in places)))
    return tips
