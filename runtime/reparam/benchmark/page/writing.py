"""`write_page`: a report as one HTML file without anything outside it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from reparam.benchmark.page import about, moved, tables, verdict
from reparam.benchmark.page.drawing import swatch
from reparam.benchmark.page.elements import Child, document, element
from reparam.benchmark.page.plots import Group, groups
from reparam.benchmark.page.series import Looks
from reparam.benchmark.page.svg import styled
from reparam.benchmark.page.units import count
from reparam.benchmark.report import Report, told_fit
from reparam.errors import MissingExtra
from reparam.files.atomic import write_bytes
from reparam.pictures import pictures_available


def write_page(report: Report, path: Path) -> None:
    """Writes the report as a page that a person reads, atomically; the same report gives the same bytes.

    Everything shown comes from the report, and every text of it is escaped; what is not printable is shown by its
    escape, never obeyed.

    Raises:
        MissingExtra: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    check_page()
    with styled():
        page = _page(told_fit(report))
    write_bytes(path, document(page))


def check_page() -> None:
    """Refuses before minutes are spent on measuring what could not be drawn.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    if not pictures_available():
        raise MissingExtra("a page's plots need matplotlib; pip install 'reparam[report]'")


def _page(report: Report) -> ET.Element:
    title = f"Benchmark of {report.bundle.name}"
    return element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("link", rel="icon", href="data:,"),  # else a browser asks a server for one
            element("title", title),
            element("style", _file("page.css")),
        ),
        element("body", _head(report, title), element("main", *_main(report)), element("script", _file("page.js"))),
        lang="en",
    )


def _file(name: str) -> str:
    return resources.files("reparam.benchmark.page").joinpath(name).read_text(encoding="utf-8")


def _head(report: Report, title: str) -> ET.Element:
    machine = report.machine
    cards = ", ".join(card.name for card in machine.cards) or "no GPU seen"
    place = f"{machine.processor}, {machine.affinity} of {count(machine.cores, 'core')}, {cards}"
    when = report.started.replace("T", " ").replace("Z", " UTC")
    return element("header", element("h1", title), element("p", f"{place} · {when} · {_engine(report)}"))


def _engine(report: Report) -> str:
    version = report.versions.get("onnxruntime") or report.versions.get("onnxruntime-gpu")
    return f"onnxruntime {version}" if version else "no onnxruntime named"


def _main(report: Report) -> Iterator[ET.Element]:
    looks = Looks(report)
    top = (verdict.choices(report), verdict.failures(report), verdict.answers(report), *verdict.floors(report))
    yield element("div", *top, class_="top")
    if drawn := list(groups(report, looks)):
        yield _section("Plots", _legend(looks), *map(_group, drawn), class_="plots")
    costs = tables.costs(report, looks)
    yield _section(
        "All arms",
        element("p", "Latency in MLPerf's terms: SingleStream is the 90th percentile of one row, MultiStream the 99th "
        "of eight, Server the highest rate of single rows, Offline the rows a second at the best batch."),
        tables.arms(report, looks),
        element("details", element("summary", "Every point, with its percentiles"), tables.points(report, looks)),
        None if costs is None else element("details", element("summary", "Lines of cost in numbers"), costs),
    )  # fmt: skip
    if (missing := tables.missing(report)) is not None:
        yield _section("What was not measured, and why", missing)
    if report.comparison is not None:
        yield _section("What moved", *moved.moves(report.comparison))
    yield _section("What was measured, and where", about.identity(report))
    yield _section("How it was measured", *about.method(report, looks))


def _section(title: str, *children: Child, class_: str | None = None) -> ET.Element:
    return element("section", element("h2", title), *children, class_=class_)


def _legend(looks: Looks) -> ET.Element:
    """A button for each series, which leaves it alone in all plots."""
    entries = (
        element("button", swatch(look), look.label, type="button", data_series=f"s{look.number}", aria_pressed="false")
        for look in looks.all
    )
    return element("div", *entries, class_="legend", role="group", aria_label="Series; press one to see it alone")


def _group(group: Group) -> ET.Element:
    figures = (
        element("figure", element("figcaption", name), element("p", "not measured") if drawn is None else drawn)
        for name, drawn in group.panels
    )
    return element(
        "section",
        element("h3", group.title),
        element("p", group.told),
        element("div", *figures, class_="panels"),
        class_="quantity",
    )
