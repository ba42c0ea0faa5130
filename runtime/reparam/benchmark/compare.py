"""Two reports beside each other: what moved, and by how much against the noise of both."""

import math
from typing import Final, Literal

from reparam.benchmark.report import Comparison, Machine, Move, Point, Report

_LEAST: Final = 0.03  # of a time: below this no two runs of one program differ in any sense


def compare(old: Report, new: Report) -> Comparison:
    """Points that both have. Noise is the two spreads, added as independent ones are, and never below 3 %."""
    before = {(arm.name, point.batch): point for arm in old.arms for point in arm.points if point.latency}
    after = {(arm.name, point.batch): point for arm in new.arms for point in arm.points if point.latency}
    names = {arm for arm, _ in before}, {arm for arm, _ in after}
    return Comparison(
        old_started=old.started,
        differences=tuple(_differences(old, new)),
        moves=tuple(_move(*key, before[key], after[key]) for key in after if key in before),
        only_old=tuple(sorted(names[0] - names[1])),
        only_new=tuple(sorted(names[1] - names[0])),
    )


def _move(arm: str, batch: int, old: Point, new: Point) -> Move:
    assert old.latency is not None
    assert new.latency is not None
    noise = max(_LEAST, math.hypot(old.spread or 0.0, new.spread or 0.0))
    ratio = new.latency.p50_ns / old.latency.p50_ns if old.latency.p50_ns else 1.0
    verdict: Literal["faster", "slower", "within noise"] = "within noise"
    if abs(ratio - 1) > noise:
        verdict = "slower" if ratio > 1 else "faster"
    return Move(
        arm=arm,
        batch=batch,
        old_ns=old.latency.p50_ns,
        new_ns=new.latency.p50_ns,
        ratio=ratio,
        noise=noise,
        verdict=verdict,
    )


def _differences(old: Report, new: Report) -> list[str]:
    """What else is not the same, in words."""
    pairs: list[tuple[str, object, object]] = [
        ("bundle", old.bundle.id, new.bundle.id),
        ("manifest", old.bundle.manifest_sha256[:8], new.bundle.manifest_sha256[:8]),
    ]
    parts = ("processor", "system", "affinity", "quota", "cards")
    pairs += [(name, _of(old.machine, name), _of(new.machine, name)) for name in parts]
    names = sorted({*old.versions, *new.versions})
    pairs += [(name, old.versions.get(name, "none"), new.versions.get(name, "none")) for name in names]
    return [f"{name}: {before} before, {now} now" for name, before, now in pairs if before != now]


def _of(machine: Machine, name: str) -> object:
    if name == "cards":
        return ", ".join(f"{card.name} (driver {card.driver})" for card in machine.cards) or "none"
    return getattr(machine, name)
