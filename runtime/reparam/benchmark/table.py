"""A report as text for a terminal: the answers first, then the arms, then why the others are not among them."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from reparam.benchmark.report import Arm, Comparison, Report
from reparam.errors import printable

_HEAD: Final = (
    "arm",
    "p50 of 1",
    "p90 of 1",
    "p99 of 8",
    "rows/s",
    "at",
    "server q/s",
    "first",
    "load",
    "peak",
    "error",
)
_LEAVE: Final = ("load", "first", "peak", "p90 of 1", "p99 of 8", "error", "server q/s", "at", "p50 of 1")  # in turn
Fields = tuple[str, ...]  # of an arm's name, and the batch of a point
_MOVES: Final = 12  # of a comparison that are listed


def table(report: Report, *, width: int | None = None) -> str:
    """All that a person wants to know first; the rest is in the JSON document and on the page.

    Args:
        report: of which it tells.
        width: columns that a line may take: sentences are folded between words, names and reasons stay whole, and arms
            leave out the columns that are needed least, and say so. None for lines as long as they come.
    """
    before = [*_about(report), "", *(f"{each.question} {each.answer}" for each in report.answers), ""]
    rows, left = _arms(report.arms, width)
    after = _missing(report.arms, left)
    if report.floors:
        after += ["", *(f"floor {each.asked}: {each.reason or 'held'}" for each in report.floors)]
    if report.comparison is not None:
        after += ["", *_moves(report.comparison)]
    return "\n".join([*_folded(before, width), *map(printable, rows), *_folded(after, width)])


def _folded(lines: Iterable[str], width: int | None) -> list[str]:
    """Printable lines, folded where they are too wide; a word that is, such as a name, is never cut."""
    plain = [printable(line) for line in lines]
    if width is None:
        return plain
    found: list[str] = []
    for line in plain:
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        wrapped = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        found += wrapped or [""]
    return found


def span(ns: float | None) -> str:
    """A time with three digits and its unit."""
    if ns is None:
        return "-"
    for unit, size in (("us", 1e3), ("ms", 1e6), ("s", 1e9)):
        value = ns / size
        if value < 999.5 or unit == "s":
            break
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {unit}"


def change(ratio: float) -> str:
    """A ratio of times as what it adds or takes away, or as so many times where per cent would be hard to read."""
    return f"{ratio - 1:+.0%}" if ratio < 10 else f"{ratio:.3g} times"


def _about(report: Report) -> list[str]:
    machine, bundle = report.machine, report.bundle
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    quota = "no quota" if machine.quota is None else f"a quota of {machine.quota:g}"
    cards = ", ".join(card.name for card in machine.cards) or "no card seen"
    place = f"{machine.processor}, {machine.affinity} of {machine.cores} cores, {quota}, {cards}"
    return [f"{bundle.name} {bundle.id} on {place}", f"{versions}; {report.seconds:.0f} s from {report.started}"]


def _arms(arms: Sequence[Arm], width: int | None) -> tuple[list[str], list[str]]:
    """Lines of the timed arms, no wider than the width if that can be, and the columns that were left out for it."""
    rows = [_HEAD, *(_row(arm) for arm in arms if arm.status == "timed")]
    if len(rows) == 1:
        return [], []
    widths = {name: max(len(row[place]) for row in rows) for place, name in enumerate(_HEAD)}
    kept, left = list(_HEAD), list[str]()
    for name in _LEAVE:
        if width is None or sum(widths[each] + 2 for each in kept) - 2 <= width:
            break
        kept.remove(name)
        left.append(name)

    def line(row: Sequence[str]) -> str:
        cells = dict(zip(_HEAD, row, strict=True))
        first, *others = kept
        return "  ".join([cells[first].ljust(widths[first]), *(cells[name].rjust(widths[name]) for name in others)])

    return [line(row) for row in rows], [name for name in _HEAD if name in left]


def _row(arm: Arm) -> tuple[str, ...]:
    terms, fresh = arm.scenarios, arm.fresh
    one = next((point.latency.p50_ns for point in arm.points if point.batch == 1 and point.latency), None)
    single = terms.single_stream if terms else None
    multi = terms.multi_stream if terms else None
    offline = terms.offline if terms else None
    server = terms.server if terms else None
    loose = any(point.latency and not point.stable for point in arm.points)
    worst = max((each.absolute for each in arm.gate.worst.values()), default=0.0) if arm.gate else None
    return (
        arm.name + (" *" if loose else ""),
        span(one),
        span(single.latency_ns if single else None),
        span(multi.latency_ns if multi else None),
        f"{offline.rows_per_second:,.0f}" if offline else "-",
        str(offline.batch) if offline else "-",
        f"{server.rate:,.0f}" if server else "-",
        span(fresh.first_call_ns if fresh else None),
        span(fresh.load_ns if fresh else None),
        f"{fresh.host_peak_bytes / 2**20:.0f} MiB" if fresh and fresh.host_peak_bytes else "-",
        "-" if worst is None else f"{worst:.1e}",
    )


def _missing(arms: Sequence[Arm], left: Sequence[str]) -> list[str]:
    """What a star means and which columns are left out; then arms and points that were not timed, by reason."""
    reasons: dict[str, list[Fields]] = {}
    for arm in arms:
        if arm.status != "timed":
            reasons.setdefault(f"{arm.status.replace('_', ' ')}: {arm.reason}", []).append(_fields(arm))
        for point in arm.points:
            if point.reason is not None:
                reasons.setdefault(f"not timed: {point.reason}", []).append((*_fields(arm), str(point.batch)))
    loose = any(point.latency and not point.stable for arm in arms for point in arm.points)
    lines = ["* a batch of it did not come under the spread that was wanted"] if loose else []
    lines += [f"left out at this width, and there in a pipe: {', '.join(left)}"] if left else []
    for reason, names in reasons.items():
        lines += ["", reason, *(f"  {each}" for each in together(names))]
    return lines


def _fields(arm: Arm) -> Fields:
    return arm.operation, arm.device, arm.precision, arm.path, f"t{arm.threads}"


def together(names: Sequence[Fields]) -> list[str]:
    """Names by their fields, in as few words as a shell would take, as {encode,decode}.cuda.fp32.numpy.t2.

    Examples:
        >>> together([("encode", "cpu"), ("decode", "cpu"), ("encode", "cuda")])
        ['encode.{cpu,cuda}', 'decode.cpu']
    """
    columns = [list(dict.fromkeys(column)) for column in zip(*names, strict=True)]
    if math.prod(map(len, columns)) == len(set(names)):
        parts = [column[0] if len(column) == 1 else f"{{{','.join(column)}}}" for column in columns]
        return [".".join(parts[:5]) + "".join(f"@{part}" for part in parts[5:])]
    split = next(place for place, column in enumerate(columns) if len(column) > 1)
    groups = [[name for name in names if name[split] == value] for value in columns[split]]
    return [line for group in groups for line in together(group)]


def _moves(comparison: Comparison) -> list[str]:
    moved = [move for move in comparison.moves if move.verdict != "within noise"]
    moved.sort(key=lambda move: abs(move.ratio - 1), reverse=True)
    lines = [f"the bundles differ: {comparison.bundles}"] if comparison.bundles else []
    lines += [f"against the report of {comparison.old_started}: {len(moved)} of {len(comparison.moves)} points moved"]
    lines += [f"  {each}" for each in comparison.differences]
    for move in moved[:_MOVES]:
        times = f"{span(move.old_ns)} to {span(move.new_ns)}"
        lines.append(f"  {move.arm}@{move.batch}: {times}, {change(move.ratio)}, noise {move.noise:.0%}")
    if len(moved) > _MOVES:
        lines.append(f"  and {len(moved) - _MOVES} more, less far")
    for told, names in (("the older report", comparison.only_old), ("this report", comparison.only_new)):
        if names:
            lines.append(f"  {len(names)} {'arm' if len(names) == 1 else 'arms'} of {told} alone")
    return lines
