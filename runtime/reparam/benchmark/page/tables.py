"""The page's tables: every arm, every point, those that were not timed and why, and lines of cost."""

import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence

from reparam.benchmark.page.elements import element, scrolling
from reparam.benchmark.page.plots import OVER
from reparam.benchmark.page.series import Looks
from reparam.benchmark.page.units import NOTHING, count, duration, memory, power, share, worst
from reparam.benchmark.report import Arm, Report

Row = Sequence[str | ET.Element]


def table(
    caption: str, head: Sequence[str], bodies: Iterable[tuple[str | None, Iterable[Row]]], *, words: int = 1
) -> ET.Element:
    """A table in its box: rows in groups, each with its name or None; the first cell heads its row.

    Args:
        caption: what it holds, for those who hear it.
        head: of each column.
        bodies: names of groups, and their rows.
        words: how many of the first columns hold text, and are set to the left.
    """

    def cell(place: int, value: str | ET.Element) -> ET.Element:
        side = "words" if place < words else None
        return element("td" if place else "th", value, scope=None if place else "row", class_=side)

    made = element(
        "table",
        element("caption", caption),
        element(
            "thead",
            element(
                "tr",
                *(
                    element("th", name, scope="col", class_="words" if place < words else None)
                    for place, name in enumerate(head)
                ),
            ),
        ),
    )
    for name, rows in bodies:
        body = element("tbody")
        if name is not None:
            body.append(element("tr", element("th", name, scope="rowgroup", colspan=str(len(head)), class_="group")))
        body.extend(element("tr", *(cell(place, value) for place, value in enumerate(row))) for row in rows)
        made.append(body)
    return scrolling(caption, made)


def arms(report: Report, looks: Looks) -> ET.Element:
    """Every timed arm in MLPerf's terms, with what it costs to begin and to hold; no column is empty."""
    head = (
        "arm", "1 row, p50", "1 row, p90", "8 rows, p99", "rows/s", "at batch", "server, queries/s", "load",
        "first call", "next call", "host peak", "device peak", "J a row", "worst error",
    )  # fmt: skip
    groups = _grouped(report, lambda arm: [_arm(arm, looks)] if arm.status == "timed" else [])
    rows = [row for _, group in groups for row in group]
    kept = [place for place in range(len(head)) if any(row[place] != NOTHING for row in rows)]
    bodies = [(name, [[row[place] for place in kept] for row in group]) for name, group in groups]
    return table("Arms", [head[place] for place in kept], bodies)


def _grouped(report: Report, rows: Callable[[Arm], list[Row]]) -> list[tuple[str | None, list[Row]]]:
    found: dict[str | None, list[Row]] = {}
    for arm in report.arms:
        if made := rows(arm):
            found.setdefault(arm.operation, []).extend(made)
    return list(found.items())


def _named(arm: Arm, looks: Looks) -> ET.Element:
    """The arm in short, and in full where the pointer rests on it."""
    return element("span", looks.label(arm), title=arm.name)


def _arm(arm: Arm, looks: Looks) -> Row:
    terms, fresh = arm.scenarios, arm.fresh
    single, multi = (terms.single_stream, terms.multi_stream) if terms else (None, None)
    server, offline = (terms.server, terms.offline) if terms else (None, None)
    one = next((point.latency.p50_ns for point in arm.points if point.batch == 1 and point.latency), None)
    error = worst(arm)
    return (
        _named(arm, looks),
        duration(one),
        duration(single.latency_ns if single else None),
        duration(multi.latency_ns if multi else None),
        f"{offline.rows_per_second:,.0f}" if offline else NOTHING,
        f"{offline.batch:,}" if offline else NOTHING,
        f"{server.rate:,.0f}" if server else NOTHING,
        duration(fresh.load_ns if fresh else None),
        duration(fresh.first_call_ns if fresh else None),
        duration(fresh.next_call_ns if fresh else None),
        memory(fresh.host_peak_bytes if fresh else None),
        memory(fresh.device_peak_bytes if fresh else None),
        f"{fresh.joules_per_row:.2g}" if fresh and fresh.joules_per_row is not None else NOTHING,
        NOTHING if error is None else power(error),
    )


def points(report: Report, looks: Looks) -> ET.Element:
    """Every point that was timed, with its percentiles and what they rest on."""
    head = ("arm", "batch", "p50", "p90", "p99", "mean", "rows/s", "spread", "visits", "calls")
    return table("Points", head, _grouped(report, lambda arm: _points(arm, looks)))


def _points(arm: Arm, looks: Looks) -> list[Row]:
    return [
        (
            _named(arm, looks),
            f"{point.batch:,}",
            duration(point.latency.p50_ns),
            duration(point.latency.p90_ns),
            duration(point.latency.p99_ns),
            duration(point.latency.mean_ns),
            f"{point.rows_per_second:,.0f}" if point.rows_per_second is not None else NOTHING,
            (share(point.spread) if point.spread is not None else NOTHING) + ("" if point.stable else " *"),
            f"{len(point.visits):,}",
            f"{sum(map(len, point.visits)):,}",
        )
        for point in arm.points
        if point.latency
    ]


def missing(report: Report) -> ET.Element | None:
    """What was not measured, by reason."""
    found: dict[tuple[str, str], list[str]] = {}
    said = {"unavailable": "not available", "wrong": "wrong", "fell_back": "ran elsewhere", "timed": "timed"}
    for arm in report.arms:
        if arm.status != "timed":
            found.setdefault((said[arm.status], arm.reason or NOTHING), []).append(arm.name)
        for point in arm.points:
            if point.reason is not None:
                found.setdefault(("batch left out", point.reason), []).append(f"{arm.name}@{point.batch}")
        for scenario, reason in (arm.scenarios.missing if arm.scenarios else {}).items():
            found.setdefault((f"no {scenario.replace('_', ' ')}", reason), []).append(arm.name)
        if arm.fresh and arm.fresh.reason:
            found.setdefault(("no fresh process", arm.fresh.reason), []).append(arm.name)
    for size, reason in report.not_scaled.items():
        found.setdefault(("no cost by size", reason), []).append(f"size of the {size}")
    if not found:
        return None
    rows = [(what, reason, _list(names)) for (what, reason), names in found.items()]
    return table("What was not measured", ("what", "why", "which"), [(None, rows)], words=3)


def _list(names: Sequence[str]) -> ET.Element:
    """Names one below the other; many of them behind their number."""
    listed = element("ul", *(element("li", element("code", name)) for name in names))
    return listed if len(names) <= 2 else element("details", element("summary", count(len(names), "arm")), listed)


def costs(report: Report, looks: Looks) -> ET.Element | None:
    """The fitted lines in numbers."""
    rows = [
        (
            _named(arm, looks),
            arm.operation,
            "{}s of a {}".format(*OVER[line.over]),
            _signed(line.fixed_ns),
            _signed(line.each_ns),
            share(line.residual),
        )
        for arm in report.arms
        for line in arm.scaling
    ]
    head = ("arm", "operation", "n counts", "fixed", "for each", "furthest from the line")
    return table("Lines of cost: fixed + each × n", head, [(None, rows)], words=3) if rows else None


def _signed(ns: float) -> str:
    return duration(ns) if ns >= 0 else f"−{duration(-ns)}"
