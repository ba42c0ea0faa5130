"""Numbers of a report in words: times, rates, memory and shares, each with its unit."""

from reparam.benchmark.ratios import worse
from reparam.benchmark.report import Arm, Cost
from reparam.benchmark.table import span

NOTHING = "–"  # where a report holds no number


def duration(ns: float | None) -> str:
    """A time with three digits."""
    return NOTHING if ns is None else span(ns).replace("us", "µs")


def rate(value: float | None, of: str = "rows") -> str:
    """So many a second."""
    return NOTHING if value is None else f"{value:,.0f} {of}/s"


def memory(size: float | None) -> str:
    """Bytes in MiB."""
    return NOTHING if size is None else f"{size / 2**20:,.0f} MiB"


def count(number: int, noun: str) -> str:
    """A number and what it counts, in the plural but for one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def share(value: float) -> str:
    """Per cent, with two digits at least."""
    percent = 100 * abs(value)
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %" if percent >= 0.95 else f"{percent:.2g} %"


def changed(ratio: float) -> str:
    """A ratio of times as what it adds or takes away, or as so many times where per cent would be hard to read."""
    return f"{ratio:.3g} times" if ratio >= 10 else f"{'+' if ratio >= 1 else '−'}{share(ratio - 1)}"


def power(value: float) -> str:
    """A small number as 2×10⁻⁷; 0 as 0, and what is 0.01 or more as it is."""
    if value == 0 or value >= 0.00995:
        return f"{value:.1g}"
    digits, exponent = f"{value:.0e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if digits == "1" else f"{digits}×10{raised}"


def worst(arm: Arm) -> float | None:
    """The largest error of any result at the gate, as a share of that result's largest magnitude."""
    return max((each.relative for each in arm.gate.worst.values()), default=None) if arm.gate else None


def price(cost: Cost) -> str:
    """What a precision does to the negative ELBO, as the export measured it."""
    if (moved := worse(cost)) is None:
        return f"{cost.negative_elbo:+.3g} nats of negative ELBO at the export"
    return f"{share(moved)} {'worse' if moved > 0 else 'better'} ELBO at the export"
