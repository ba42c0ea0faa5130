"""What is plotted: each quantity once for each operation, on one scale, so that plots beside each other compare."""

import dataclasses
import math
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from reparam.benchmark.page import traces
from reparam.benchmark.page.drawing import Trace, plot, rods
from reparam.benchmark.page.scales import Scale, linear, logarithmic, prefixed
from reparam.benchmark.page.series import Looks
from reparam.benchmark.page.units import power, worst
from reparam.benchmark.report import Arm, Report

# What a fit is over: the thing that is paid for, what grows, and the axis.
OVER: Final = {
    "batch": ("row", "batch", "rows of one run"),
    "rows": ("row", "call", "rows of a call, cut into batches"),
    "image": ("pixel", "image", "pixels of a row"),
    "latent": ("value of z", "latent", "values of z of a row"),
}
_Axis = Callable[[list[float]], Scale]
_Find = Callable[[Arm], Trace | None]


@dataclasses.dataclass(frozen=True)
class Group:
    """Plots of one quantity.

    Attributes:
        title: the quantity.
        told: how to read them, in a sentence or two.
        panels: the operation of each, and the plot; None where nothing was measured.
    """

    title: str
    told: str
    panels: tuple[tuple[str, ET.Element | None], ...]


def groups(report: Report, looks: Looks) -> Iterator[Group]:
    """All plots that the report has numbers for, in the order in which they are asked for; see `drawing.styled`."""
    wanted = f"{report.settings.spread_wanted:.0%}"
    yield from _plots(
        report, "Throughput by batch", f"Rows a second at the median. Hollow: not settled under a spread of {wanted}.",
        find=lambda arm: traces.throughput(arm, looks), x=_batches(report), y=_log("rows/s", prefixed()),
    )  # fmt: skip
    yield from _plots(
        report, "Latency by batch", "One call at the median; the thin line above it reaches to the 99th percentile.",
        find=lambda arm: traces.latency(arm, looks), x=_batches(report), y=_log("one call", prefixed("s")),
    )  # fmt: skip
    yield from _rods(
        report, "Memory of the host",
        "Resident, in a process of its own. Hollow: Python and numpy alone. Full: at the peak.",
        find=lambda arm: traces.host(arm, looks),
    )  # fmt: skip
    yield from _rods(
        report, "Memory of the device", "What the process took of the card at the peak.",
        find=lambda arm: traces.card(arm, looks),
    )  # fmt: skip
    yield from _errors(report, looks)
    for over, (each, grows, axis) in OVER.items():
        yield from _plots(
            report, f"Scaling: cost of a {each} as the {grows} grows",
            "Markers are measured. Lines are fitted: a fixed part of each call, shared out, and a part for each.",
            find=partial(traces.scaled, looks=looks, over=over),
            x=_batches(report, axis) if over == "batch" else _log(axis, prefixed()),
            y=_log(f"time a {each}", prefixed("s")),
        )  # fmt: skip
    bound = report.settings.server_bound_ms
    yield from _plots(
        report, "What a service meets",
        "Single rows arrive at random, so many a second (MLPerf's Server). Full: the 99th percentile stayed under the "
        "bound and the rate was kept. Hollow: not.",
        find=lambda arm: traces.server(arm, looks), x=_log("queries/s", prefixed()),
        y=_log("99th percentile", prefixed("s"), bound / 1e3), bound=(bound / 1e3, f"bound {bound:g} ms"),
    )  # fmt: skip


def _log(title: str, told: Callable[[float], str], *also: float) -> _Axis:
    return lambda values: logarithmic((*values, *also), title, told)


def _batches(report: Report, title: str = "rows of a call") -> _Axis:
    ticks = sorted(report.settings.batches)
    return lambda values: logarithmic(values, title, "{:g}".format, ticks=ticks)


def _errors(report: Report, looks: Looks) -> Iterator[Group]:
    """Error against speed; no difference at all is drawn a decade under the least that there is, and named there."""
    found = [error for error in map(worst, report.arms) if error is not None]
    none = 10.0 ** (math.floor(math.log10(min(filter(None, found), default=1e-6))) - 1)

    def with_none(values: list[float]) -> Scale:
        last = math.ceil(math.log10(max(values)))
        decades = [none, *(10.0**place for place in range(round(math.log10(none)) + 1, last + 1))]
        told = {**{each: power(each) for each in decades}, none: "none"}
        return logarithmic((none, *values), "worst error", told.__getitem__, ticks=decades)

    yield from _plots(
        report, "Error against speed",
        "The worst error at the gate, as a share of the result's largest value, with the rows a second at the best "
        "batch. Right is faster, down is nearer to fp32 on the CPU.",
        find=lambda arm: traces.error(arm, looks, none), x=_log("rows/s at the best batch", prefixed()),
        y=with_none if 0 in found else _log("worst error", power),
    )  # fmt: skip


def _plots(
    report: Report, title: str, told: str, *, find: _Find, x: _Axis, y: _Axis, bound: tuple[float, str] | None = None
) -> Iterator[Group]:
    found = _by_operation(report, find)
    shown = [trace for each in found.values() for trace in each]
    if shown:
        across = x([value for trace in shown for value in trace.x])
        up = y([value for trace in shown for value in (*trace.y, *trace.whiskers)])
        yield _drawn(title, told, found, lambda key, words, each: plot(key, words, each, x=across, y=up, bound=bound))


def _rods(report: Report, title: str, told: str, *, find: _Find) -> Iterator[Group]:
    found = _by_operation(report, find)
    highest = max((trace.x[-1] for each in found.values() for trace in each), default=None)
    if highest is not None:
        x = linear(highest, "MiB", "{:g}".format)
        yield _drawn(title, told, found, lambda key, words, each: rods(key, words, each, x=x))


def _by_operation(report: Report, find: _Find) -> dict[str, list[Trace]]:
    """Traces of the arms that were timed; an operation without any has its place too, so that columns stay columns."""
    found: dict[str, list[Trace]] = {}
    for arm in report.arms:
        if arm.status == "timed":
            trace = find(arm)
            found.setdefault(arm.operation, []).extend([trace] if trace is not None and trace.x else [])
    return found


def _drawn(
    title: str, told: str, found: dict[str, list[Trace]], draw: Callable[[str, str, list[Trace]], ET.Element]
) -> Group:
    slug = "".join(letter for letter in title.lower() if letter.isalnum())
    panels = {
        operation: draw(f"{slug}-{operation}", _described(title, operation, each), each) if each else None
        for operation, each in found.items()
    }
    return Group(title, told, tuple(panels.items()))


def _described(title: str, operation: str, found: Iterable[Trace]) -> str:
    """The plot in words: the first and the last point of each series."""
    ends = [" to ".join(dict.fromkeys((trace.told[0], trace.told[-1]))) for trace in found]
    return f"{title}, {operation}. {'; '.join(ends)}."
