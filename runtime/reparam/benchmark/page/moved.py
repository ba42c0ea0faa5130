"""What moved since an older report, as the page shows it."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from reparam.benchmark.page.elements import element
from reparam.benchmark.page.tables import table
from reparam.benchmark.page.units import changed, count, duration, share
from reparam.benchmark.report import Comparison, Move


def moves(comparison: Comparison) -> list[ET.Element]:
    """What moved since an older report: beyond the noise first, the most first; the rest behind its number."""
    moved = sorted(
        (move for move in comparison.moves if move.verdict != "within noise"), key=lambda move: -abs(move.ratio - 1)
    )
    still = [move for move in comparison.moves if move.verdict == "within noise"]
    differ = f"The bundles differ: {comparison.bundles}."
    made = [element("p", element("strong", differ))] if comparison.bundles else []
    made += [
        element(
            "p",
            f"Against the report of {comparison.old_started}: {len(moved)} of {count(len(comparison.moves), 'point')} "
            f"moved by more than the noise of both.",
        )
    ]
    if comparison.differences:
        made.append(element("p", f"What else is not the same: {'; '.join(comparison.differences)}."))
    if moved:
        made.append(_moves("Points that moved", moved))
    if still:
        inside = _moves("Points within the noise", still)
        made.append(element("details", element("summary", f"{count(len(still), 'point')} within the noise"), inside))
    for told, names in (("the older report", comparison.only_old), ("this report", comparison.only_new)):
        if names:
            listed = element("ul", *(element("li", element("code", name)) for name in names))
            made.append(element("details", element("summary", f"{count(len(names), 'arm')} of {told} alone"), listed))
    return made


def _moves(caption: str, found: Sequence[Move]) -> ET.Element:
    head = ("arm", "verdict", "batch", "before", "now", "change", "noise")
    rows = [
        (
            element("code", move.arm),
            element("span", move.verdict, class_=move.verdict.split()[0]),
            f"{move.batch:,}",
            duration(move.old_ns),
            duration(move.new_ns),
            changed(move.ratio),
            f"±{share(move.noise)}",
        )
        for move in found
    ]
    return table(caption, head, [(None, rows)], words=2)
