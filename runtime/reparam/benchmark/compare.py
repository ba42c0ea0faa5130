"""Two reports beside each other: what moved, and by how much against the noise of both."""

import math
from typing import Final, Literal

from reparam.benchmark.report import Comparison, Machine, Move, Point, Report

_LEAST: Final = 0.03  # of a time: below this no two runs of one program differ in any sense
_SHORTEST: Final = 1.0  # nanoseconds, the clock's step: of less than that there is no ratio
Points = dict[tuple[str, int], Point]  # by arm and batch


def compare(old: Report, new: Report) -> Comparison:
    """Points that both have. Noise is the two spreads, added as independent ones are, and never below 3 %.

    The bundles may differ, as versions of a model do; the comparison says so.
    """
    before, after = _timed(old), _timed(new)
    names = {arm for arm, _ in before}, {arm for arm, _ in after}
    return Comparison(
        old_started=old.started,
        bundles=None
        if old.bundle.id == new.bundle.id
        else f"{old.bundle.name} {old.bundle.id} before, {new.bundle.name} {new.bundle.id} now",
        differences=tuple(_differences(old, new)),
        moves=tuple(_move(*key, before[key], after[key]) for key in after if key in before),
        only_old=tuple(sorted(names[0] - names[1])),
        only_new=tuple(sorted(names[1] - names[0])),
    )


def _timed(report: Report) -> Points:
    found = {(arm.name, point.batch): point for arm in report.arms for point in arm.points}
    return {key: point for key, point in found.items() if point.latency and point.latency.p50_ns >= _SHORTEST}


def _move(arm: str, batch: int, old: Point, new: Point) -> Move:
    assert old.latency is not None
    assert new.latency is not None
    noise = max(_LEAST, math.hypot(old.spread or 0.0, new.spread or 0.0))
    ratio = new.latency.p50_ns / old.latency.p50_ns
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
        ("x", _shape(old.bundle.input), _shape(new.bundle.input)),
        ("z", _shape(old.bundle.latent), _shape(new.bundle.latent)),
        ("manifest", old.bundle.manifest_sha256[:8], new.bundle.manifest_sha256[:8]),
    ]
    parts = ("processor", "system", "affinity", "quota", "cards")
    pairs += [(name, _of(old.machine, name), _of(new.machine, name)) for name in parts]
    names = sorted({*old.versions, *new.versions})
    pairs += [(name, old.versions.get(name, "none"), new.versions.get(name, "none")) for name in names]
    return [f"{name}: {before} before, {now} now" for name, before, now in pairs if before != now]


def _shape(sides: tuple[int, ...]) -> str:
    return " x ".join(map(str, sides)) or "1"


def _of(machine: Machine, name: str) -> object:
    if name == "cards":
        return ", ".join(f"{card.name} (driver {card.driver})" for card in machine.cards) or "none"
    return getattr(machine, name)
