"""The top of the page: device, precision and batch for each operation, what failed, and the answers in full."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator

from reparam.benchmark.faults import faults
from reparam.benchmark.page.elements import element, extend
from reparam.benchmark.page.units import count, duration, price, rate, share
from reparam.benchmark.plan import OWN_PATHS
from reparam.benchmark.report import Arm, Point, Report


def choices(report: Report) -> ET.Element | None:
    """A card for each operation: where its rows are most a second, and where a single call is soonest."""
    cards = [card for operation in report.settings.operations if (card := _card(report, operation)) is not None]
    return element("div", *cards, class_="cards") if cards else None


def _own(report: Report, operation: str) -> Iterator[tuple[Arm, Point]]:
    """Timed points of this package; other libraries are what it is held against, not what it can be told to use."""
    for arm in report.arms:
        if arm.operation == operation and arm.status == "timed" and arm.path in OWN_PATHS:
            yield from ((arm, point) for point in arm.points if point.latency and point.rows_per_second)


def _card(report: Report, operation: str) -> ET.Element | None:
    points = list(_own(report, operation))
    if not points:
        return None
    arm, point = max(points, key=lambda each: each[1].rows_per_second or 0.0)
    least = min(each.batch for _, each in points)
    soon, first = min(
        (each for each in points if each[1].batch == least),
        key=lambda each: each[1].latency.p50_ns if each[1].latency else 0.0,
    )
    cost = next((each for each in report.bundle.costs if each.precision == arm.precision), None)
    several = len({each.threads for each in report.arms}) > 1
    with_threads = f", {count(arm.threads, 'thread')}" if several else ""
    terms = (("device", arm.device), ("precision", arm.precision), ("batch", f"{point.batch:,}"))
    return element(
        "section",
        element("h2", operation),
        element(
            "dl", *(element("div", element("dt", name), element("dd", value)) for name, value in terms), class_="choice"
        ),
        element(
            "p",
            element("strong", rate(point.rows_per_second)),
            f" by {arm.path}{with_threads}",
            f", {price(cost)}" if cost else None,
            _doubt(point, report),
        ),
        element(
            "p",
            element("strong", duration(first.latency.p50_ns if first.latency else None)),
            f" for {count(least, 'row')}, soonest by {soon.device} {soon.precision} {soon.path}",
            _doubt(first, report),
        ),
        class_="card",
        aria_label=f"Best of those timed for {operation}",
    )


def _doubt(point: Point, report: Report) -> ET.Element | None:
    """That a point did not settle, and why: its visits disagree, or are too few to tell."""
    if point.stable:
        return None
    wide = point.spread is not None and point.spread >= report.settings.spread_wanted
    why = f"spread {share(point.spread or 0.0)}" if wide else f"only {count(len(point.visits), 'visit')}"
    return element("span", f" · not settled, {why}", class_="doubt")


def failures(report: Report) -> ET.Element | None:
    """What makes the command fail, by reason."""
    found: dict[str, list[str]] = {}
    for fault in faults(report):
        found.setdefault(f"{fault.kind}: {fault.reason}", []).append(fault.who)
    if not found:
        return None
    listed = element("ul")
    for told, names in found.items():
        line = element("li")
        for name in names:
            extend(line, (element("code", name), " "))
        extend(line, (told,))
        listed.append(line)
    return element("section", element("h2", "Refused or missed"), listed, class_="failures")


def answers(report: Report) -> ET.Element:
    """Questions and answers as the report holds them, each clause of an answer in a line of its own."""
    rows = (
        element("div", element("dt", answer.question), element("dd", *_clauses(answer.answer)))
        for answer in report.answers
    )
    return element("dl", *rows, class_="answers")


def _clauses(answer: str) -> Iterator[ET.Element]:
    *first, last = answer.split("; ")
    yield from (element("span", f"{clause}; ") for clause in first)
    yield element("span", last)


def floors(report: Report) -> Iterable[ET.Element]:
    """Floors that held; those that were missed stand further up."""
    held = [floor for floor in report.floors if floor.held]
    if held:
        made = element("p", "Held: ")
        for floor in held:
            extend(made, (element("code", floor.asked), f" ({_found(floor.found, floor.against)}) "))
        yield made


def _found(value: float | None, against: str | None) -> str:
    return rate(value) if against is None else f"{value or 0.0:.2f} times"
