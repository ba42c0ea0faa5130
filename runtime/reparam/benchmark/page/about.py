"""The foot of the page: what was measured, on what, and how."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from reparam.benchmark.page.elements import element
from reparam.benchmark.page.series import Looks
from reparam.benchmark.page.tables import table
from reparam.benchmark.page.units import NOTHING, count, duration, memory, price
from reparam.benchmark.report import Arm, Machine, Report


def identity(report: Report) -> ET.Element:
    """The bundle, the machine and the versions."""
    bundle, machine = report.bundle, report.machine
    parts = (
        (
            "Bundle",
            (
                ("name", bundle.name),
                ("id", bundle.id),
                ("manifest, sha256", bundle.manifest_sha256),
                ("x", _shape(bundle.input)),
                ("z", _shape(bundle.latent)),
                ("likelihood", bundle.likelihood or "none"),
                ("precisions", ", ".join(bundle.precisions)),
                *((f"{cost.precision}, on {count(cost.rows, 'row')}", price(cost)) for cost in bundle.costs),
            ),
        ),
        ("Machine", tuple(_machine(machine))),
        ("Versions", tuple(report.versions.items())),
        ("Asked for", tuple(_settings(report))),
    )
    sections = (element("section", element("h3", name), _facts(facts)) for name, facts in parts)
    return element("div", *sections, class_="facts")


def _facts(facts: Iterable[tuple[str, str]]) -> ET.Element:
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in facts))


def _shape(sides: tuple[int, ...]) -> str:
    return " × ".join(map(str, sides)) or "1"


def _machine(machine: Machine) -> Iterable[tuple[str, str]]:
    yield "processor", machine.processor
    quota = "no quota" if machine.quota is None else f"a quota of {machine.quota:g}"
    yield "cores", f"{machine.affinity} of {machine.cores} may be used, {quota}"
    yield "int8 instructions", "yes" if machine.int8_instructions else "no"
    yield "memory", memory(machine.memory_bytes)
    for name, load in (("before", machine.load_before), ("after", machine.load_after)):
        yield f"load average {name}", NOTHING if load is None else " ".join(f"{each:.2f}" for each in load)
    for card in machine.cards:
        yield "card", f"{card.name}, {memory(card.memory_bytes)}, driver {card.driver}"
    if not machine.cards:
        yield "cards", machine.cards_unseen or "none"
    yield "system", machine.system


def _settings(report: Report) -> Iterable[tuple[str, str]]:
    asked = report.settings
    yield "devices", ", ".join(asked.devices) + ("" if asked.devices_named else ", if they are there")
    yield "precisions", ", ".join(asked.precisions)
    yield "paths", ", ".join(asked.paths)
    yield "operations", ", ".join(asked.operations)
    yield "rows of a call", ", ".join(map(str, asked.batches))
    yield "threads", ", ".join(map(str, asked.threads))
    yield "time", f"about {asked.seconds:g} s{', quick' if asked.quick else ''}; it took {report.seconds:.0f} s"
    yield "seed of arrivals", str(asked.seed)


def method(report: Report, looks: Looks) -> list[ET.Element]:
    """How it was measured, in words, and for each arm where its nodes ran, what was copied and when a call was done."""
    asked = report.settings
    told = [
        "Before anything was timed, each arm's results were held against fp32 on the CPU, same rows and same noise.",
        "An arm outside the bundle's bound is refused, and so is one whose nodes ran elsewhere than it says.",
        "Then all points took turns, one visit in each round, so that a machine's drift meets all alike.",
        "A visit begins with a pause and one call that does not count; percentiles are over all calls of all visits.",
        f"Rounds went on until the middle half of the visits' medians lay within {asked.spread_wanted:.0%}.",
        "Where the time was up before that, or visits were too few to tell, a star or a hollow marker says so.",
        "The first call, the load and memory are those of a process of its own.",
        f"A service's rate is the highest whose 99th percentile, from arrival, is under {asked.server_bound_ms:g} ms.",
    ]
    if report.overhead is not None:
        over = report.overhead
        told.append(
            f"Timing a call adds {duration(max(0.0, over.difference_ns))} to it, found on a graph of one Identity node "
            f"({duration(over.timed_ns)} timed, {duration(over.bare_ns)} without a clock, {over.calls:,} calls); two "
            f"readings of the clock are {duration(over.clock_ns)} apart."
        )
    made = [element("ul", *(element("li", line) for line in told), class_="method")]
    rows = [_way(arm, looks) for arm in report.arms if arm.provider_requested or arm.waits or arm.notes]
    if rows:
        head = ("arm", "operation", "asked for", "ran on", "nodes", "done when", "copies", "notes")
        made.append(
            element(
                "details",
                element("summary", "Where each arm ran, what it copied and when a call was done"),
                table("Ways of the arms", head, [(None, rows)], words=len(head)),
            )
        )
    return made


def _way(arm: Arm, looks: Looks) -> tuple[str, ...]:
    return (
        looks.label(arm),
        arm.operation,
        arm.provider_requested or NOTHING,
        arm.provider_active or NOTHING,
        _nodes(arm),
        arm.waits or NOTHING,
        arm.copies or NOTHING,
        "; ".join(arm.notes) or NOTHING,
    )


def _nodes(arm: Arm) -> str:
    """How many nodes of each graph run where, of the graphs that the operation uses."""
    if arm.placement is None:
        return NOTHING
    used = {"encode": ("encoder",), "decode": ("decoder",)}.get(arm.operation, ("encoder", "decoder"))
    graphs = {"encoder": arm.placement.encoder, "decoder": arm.placement.decoder}
    told: list[str] = []
    for name in used:
        where = graphs[name]
        counts = "not told" if where is None else ", ".join(f"{sum(ops.values())} {on}" for on, ops in where.items())
        told.append(f"{name}: {counts}")
    return "; ".join(told)
