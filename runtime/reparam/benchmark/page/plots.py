"""What is plotted: each quantity once for each operation, on one scale, so that plots beside each other compare."""

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from reparam.benchmark.page.drawing import Trace, plot, rods
from reparam.benchmark.page.scales import Scale, linear, logarithmic, prefixed
from reparam.benchmark.page.series import Looks
from reparam.benchmark.page.units import count, duration, memory, power, rate, worst
from reparam.benchmark.report import Arm, Report, Scaling

# What a fit is over: the thing that is paid for, what grows, and the axis.
_OVER: Final = {
    "batch": ("row", "batch", "rows of one run"),
    "rows": ("row", "call", "rows of a call, cut into batches"),
    "image": ("pixel", "image", "pixels of a row"),
    "latent": ("value of z", "latent", "values of z of a row"),
}


@dataclasses.dataclass(frozen=True)
class Group:
    """Plots of one quantity.

    Attributes:
        title: the quantity.
        told: how to read them, in a sentence or two.
        panels: what each is of, and the plot.
    """

    title: str
    told: str
    panels: tuple[tuple[str, ET.Element], ...]


_Axis = Callable[[list[float]], Scale]


def groups(report: Report, looks: Looks) -> Iterator[Group]:
    """All plots that the report has numbers for, in the order in which they are asked for; see `drawing.styled`."""
    yield from _group(
        report, "Throughput by batch",
        f"Rows a second at the median. Hollow: the spread stayed above {report.settings.spread_wanted:.0%}.",
        lambda arm: _throughput(arm, looks), _batches(report), _log("rows/s", prefixed()),
    )  # fmt: skip
    yield from _group(
        report, "Latency by batch", "One call at the median; the thin line above it reaches to the 99th percentile.",
        lambda arm: _latency(arm, looks), _batches(report), _log("one call", prefixed("s")),
    )  # fmt: skip
    yield from _memory(report, looks)
    errors = [error for error in map(worst, report.arms) if error is not None]
    lowest = min((error for error in errors if error), default=1e-7) / 10  # where no difference at all is shown
    yield from _group(
        report, "Error against speed",
        "The worst error at the gate, as a share of the result's largest value, with the rows a second at the best "
        "batch. Right is faster, down is nearer to fp32 on the CPU. Hollow, at the foot: no difference at all.",
        lambda arm: _error(arm, looks, lowest), _log("rows/s at the best batch", prefixed()),
        _log("worst error", power, *([lowest] if 0 in errors else [])),
    )  # fmt: skip
    for over, (each, grows, axis) in _OVER.items():
        yield from _group(
            report, f"Scaling: cost of a {each} as the {grows} grows",
            "Markers are measured. Lines are fitted: a fixed part of each call, shared out, and a part for each.",
            lambda arm, over=over: _scaled(arm, looks, over),
            _batches(report, axis) if over == "batch" else _log(axis, prefixed()),
            _log(f"time a {each}", prefixed("s")),
        )  # fmt: skip
    bound = report.settings.server_bound_ms
    yield from _group(
        report, "What a service meets",
        "Single rows arrive at random, so many a second (MLPerf's Server). Full: the 99th percentile stayed under the "
        "bound and the rate was kept; hollow: not.",
        lambda arm: _server(arm, looks), _log("queries/s", prefixed()),
        _log("99th percentile", prefixed("s"), bound / 1e3), bound=(bound / 1e3, f"bound {bound:g} ms"),
    )  # fmt: skip


def fits(report: Report) -> Iterator[tuple[Arm, Scaling]]:
    """Every line through measured times."""
    for arm in report.arms:
        for each in arm.scaling:
            yield arm, each


def each_of(scaling: Scaling) -> str:
    """What a fit counts."""
    return "{0}s of a {1}".format(*_OVER[scaling.over])


def _log(title: str, told: Callable[[float], str], *also: float) -> _Axis:
    return lambda values: logarithmic((*values, *also), title, told)


def _batches(report: Report, title: str = "rows of a call") -> _Axis:
    ticks = sorted(report.settings.batches)
    return lambda values: logarithmic(values, title, "{:g}".format, ticks=ticks)


def _group(
    report: Report,
    title: str,
    told: str,
    trace_of: Callable[[Arm], Trace | None],
    x_axis: _Axis,
    y_axis: _Axis,
    *,
    bound: tuple[float, str] | None = None,
) -> Iterator[Group]:
    found = _by_operation(report, trace_of)
    traces = [trace for each in found.values() for trace in each]
    if not traces:
        return
    x = x_axis([value for trace in traces for value in trace.x])
    y = y_axis([value for trace in traces for value in (*trace.y, *trace.whiskers)])
    panels = tuple(
        (operation, plot(f"{_slug(title)}-{operation}", _described(title, operation, each), each, x, y, bound=bound))
        for operation, each in found.items()
    )
    yield Group(title, told, panels)


def _by_operation(report: Report, trace_of: Callable[[Arm], Trace | None]) -> dict[str, list[Trace]]:
    found: dict[str, list[Trace]] = {}
    for arm in report.arms:
        trace = trace_of(arm) if arm.status == "timed" else None
        if trace is not None and trace.x:
            found.setdefault(arm.operation, []).append(trace)
    order = [operation for operation in report.settings.operations if operation in found]
    return {operation: found[operation] for operation in (*order, *(each for each in found if each not in order))}


def _slug(title: str) -> str:
    return "".join(letter for letter in title.lower() if letter.isalnum())


def _described(title: str, operation: str, traces: Iterable[Trace]) -> str:
    """The plot in words: the first and the last point of each series."""
    ends = [" to ".join(dict.fromkeys((trace.told[0], trace.told[-1]))) for trace in traces]
    return f"{title}, {operation}. {'; '.join(ends)}."


def _throughput(arm: Arm, looks: Looks) -> Trace | None:
    points = [(point, point.rows_per_second) for point in arm.points if point.rows_per_second]
    look = looks.of(arm)
    return Trace(
        look=look,
        x=tuple(float(point.batch) for point, _ in points),
        y=tuple(rows for _, rows in points),
        told=tuple(f"{look.label}, batch {point.batch}: {rate(rows)}" for point, rows in points),
        hollow=tuple(not point.stable for point, _ in points),
    )


def _latency(arm: Arm, looks: Looks) -> Trace | None:
    points = [(point, point.latency) for point in arm.points if point.latency and point.latency.p50_ns]
    look = looks.of(arm)
    return Trace(
        look=look,
        x=tuple(float(point.batch) for point, _ in points),
        y=tuple(latency.p50_ns / 1e9 for _, latency in points),
        told=tuple(
            f"{look.label}, batch {point.batch}: {duration(latency.p50_ns)}, p99 {duration(latency.p99_ns)}"
            for point, latency in points
        ),
        hollow=tuple(not point.stable for point, _ in points),
        whiskers=tuple(latency.p99_ns / 1e9 for _, latency in points),
    )


def _error(arm: Arm, looks: Looks, lowest: float) -> Trace | None:
    error = worst(arm)
    rows = max((point.rows_per_second for point in arm.points if point.rows_per_second), default=None)
    if error is None or rows is None:
        return None
    look = looks.of(arm)
    told = f"{look.label}: {rate(rows)}, worst error {power(error)} of the largest value"
    return Trace(look, (rows,), (error or lowest,), (told,), (error == 0,), curve=((), ()))


def _scaled(arm: Arm, looks: Looks, over: str) -> Trace | None:
    """Time for each of n against n; the line is the fit, (fixed + each n) / n."""
    line = next((each for each in arm.scaling if each.over == over), None)
    if line is None or min(line.median_ns) <= 0:
        return None
    look = looks.of(arm)
    n = np.array(line.n, np.float64)
    fine = np.geomspace(n.min(), n.max(), 40)
    curve = (line.fixed_ns / fine + line.each_ns) / 1e9
    shown = curve > 0
    return Trace(
        look=look,
        x=tuple(n.tolist()),
        y=tuple((np.array(line.median_ns) / n / 1e9).tolist()),
        told=tuple(
            f"{look.label}, {each:,}: {duration(time / each)} each" for each, time in zip(line.n, line.median_ns, strict=True)
        ),
        curve=(tuple(fine[shown].tolist()), tuple(curve[shown].tolist())),
    )


def _server(arm: Arm, looks: Looks) -> Trace | None:
    server = arm.scenarios.server if arm.scenarios else None
    if server is None:
        return None
    trials = sorted((trial for trial in server.trials if trial.asked and trial.p99_ns), key=lambda trial: trial.asked)
    look = looks.of(arm)
    return Trace(
        look=look,
        x=tuple(trial.asked for trial in trials),
        y=tuple(trial.p99_ns / 1e9 for trial in trials),
        told=tuple(
            f"{look.label}, {rate(trial.asked, 'queries')}: p99 {duration(trial.p99_ns)}, "
            f"{'held' if trial.held else 'did not hold'}"
            for trial in trials
        ),
        hollow=tuple(not trial.held for trial in trials),
    )


def _memory(report: Report, looks: Looks) -> Iterator[Group]:
    """A rod from what Python and libraries take to the peak, of the host, and of the device where it was told."""
    for title, told, ends in (
        (
            "Memory of the host",
            "Resident, of a process of its own: hollow, before the bundle is loaded; full, at the peak, in MiB.",
            lambda arm: (arm.fresh.host_before_bytes, arm.fresh.host_peak_bytes),
        ),
        (
            "Memory of the device",
            "What the process took of the card: from nothing to the peak, in MiB.",
            lambda arm: (0, arm.fresh.device_peak_bytes),
        ),
    ):
        yield from _rods(report, title, told, lambda arm, ends=ends: _rod(arm, looks, *ends(arm)) if arm.fresh else None)


def _rod(arm: Arm, looks: Looks, before: int | None, peak: int | None) -> Trace | None:
    if peak is None:
        return None
    look = looks.of(arm)
    at = f"{look.label}, {count(arm.fresh.batch, 'row')} a call" if arm.fresh else look.label
    ends = ((before or 0, "before"), (peak, "peak"))
    return Trace(
        look=look,
        x=tuple(size / 2**20 for size, _ in ends),
        y=(0.0, 0.0),
        told=tuple(f"{at}: {name} {memory(size)}" for size, name in ends),
        hollow=(True, False),
    )


def _rods(report: Report, title: str, told: str, trace_of: Callable[[Arm], Trace | None]) -> Iterator[Group]:
    found = _by_operation(report, trace_of)
    if not found:
        return
    highest = max(trace.x[-1] for traces in found.values() for trace in traces)
    x = linear(highest, "MiB", "{:g}".format)
    panels: list[tuple[str, ET.Element]] = []
    for operation, traces in found.items():
        values: Sequence[str] = [f"{trace.x[-1]:,.0f}" for trace in traces]
        key, described = f"{_slug(title)}-{operation}", _described(title, operation, traces)
        panels.append((operation, rods(key, described, traces, x, values)))
    yield Group(title, told, tuple(panels))
