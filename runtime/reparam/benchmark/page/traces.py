"""An arm's numbers as a series of a plot, with a tooltip for each point; None where it has none."""

from typing import Final

import numpy as np

from reparam.benchmark.page.drawing import Trace
from reparam.benchmark.page.series import Looks
from reparam.benchmark.page.units import count, duration, memory, power, rate, worst
from reparam.benchmark.report import Arm

_ASIDE: Final = 1.4  # between the outermost series at one batch, so that their thin lines do not cover each other
_PLACES: Final = 40  # of a fitted line that is drawn as a curve


def throughput(arm: Arm, looks: Looks) -> Trace | None:
    """Rows a second by batch."""
    points = [(point, point.rows_per_second) for point in arm.points if point.rows_per_second]
    look = looks.of(arm)
    return Trace(
        look=look,
        x=tuple(float(point.batch) for point, _ in points),
        y=tuple(rows for _, rows in points),
        told=tuple(f"{look.label}, batch {point.batch}: {rate(rows)}" for point, rows in points),
        hollow=tuple(not point.stable for point, _ in points),
    )


def latency(arm: Arm, looks: Looks) -> Trace | None:
    """Seconds of a call by batch, with a line up to the 99th percentile."""
    points = [(point, point.latency) for point in arm.points if point.latency and point.latency.p50_ns]
    look = looks.of(arm)
    aside = _ASIDE ** ((look.number + 0.5) / len(looks.all) - 0.5)
    return Trace(
        look=look,
        x=tuple(point.batch * aside for point, _ in points),
        y=tuple(found.p50_ns / 1e9 for _, found in points),
        told=tuple(
            f"{look.label}, batch {point.batch}: {duration(found.p50_ns)}, p99 {duration(found.p99_ns)}"
            for point, found in points
        ),
        hollow=tuple(not point.stable for point, _ in points),
        whiskers=tuple(found.p99_ns / 1e9 for _, found in points),
    )


def error(arm: Arm, looks: Looks, none: float) -> Trace | None:
    """The worst error at the gate by rows a second at the best batch; hollow, at the height `none`, where it is 0."""
    found = worst(arm)
    rows = max((point.rows_per_second for point in arm.points if point.rows_per_second), default=None)
    if found is None or rows is None:
        return None
    look = looks.of(arm)
    told = f"{look.label}: {rate(rows)}, worst error {power(found)} of the largest value"
    return Trace(look, (rows,), (found or none,), (told,), (found == 0,), curve=((), ()))


def scaled(arm: Arm, looks: Looks, over: str) -> Trace | None:
    """Seconds for each of n by n; the line is the fit, (fixed + each n) / n, where it is above 0."""
    line = next((each for each in arm.scaling if each.over == over), None)
    if line is None or min(line.median_ns) <= 0:
        return None
    look = looks.of(arm)
    each = [time / number for number, time in zip(line.n, line.median_ns, strict=True)]
    fine = np.geomspace(min(line.n), max(line.n), _PLACES).tolist()
    curve = [(number, (line.fixed_ns / number + line.each_ns) / 1e9) for number in fine]
    return Trace(
        look=look,
        x=tuple(map(float, line.n)),
        y=tuple(time / 1e9 for time in each),
        told=tuple(
            f"{look.label}, {number:,}: {duration(time)} each" for number, time in zip(line.n, each, strict=True)
        ),
        curve=(tuple(number for number, time in curve if time > 0), tuple(time for _, time in curve if time > 0)),
    )


def server(arm: Arm, looks: Looks) -> Trace | None:
    """The 99th percentile in seconds by the rate of queries; hollow where it did not hold."""
    found = arm.scenarios.server if arm.scenarios else None
    if found is None:
        return None
    trials = sorted((trial for trial in found.trials if trial.asked and trial.p99_ns), key=lambda trial: trial.asked)
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
        strength=0.45,
    )


def host(arm: Arm, looks: Looks) -> Trace | None:
    """MiB of a process of its own, of Python and numpy alone and at the peak."""
    fresh = arm.fresh
    return _ends(arm, looks, fresh.host_before_bytes, fresh.host_peak_bytes) if fresh else None


def card(arm: Arm, looks: Looks) -> Trace | None:
    """MiB that the process took of the device, from none to the peak."""
    return _ends(arm, looks, 0, arm.fresh.device_peak_bytes) if arm.fresh else None


def _ends(arm: Arm, looks: Looks, before: int | None, peak: int | None) -> Trace | None:
    if peak is None or arm.fresh is None:
        return None
    look = looks.of(arm)
    at = f"{look.label}, {count(arm.fresh.batch, 'row')} a call"
    ends = ((before or 0, "before"), (peak, "peak"))
    return Trace(
        look=look,
        x=tuple(size / 2**20 for size, _ in ends),
        y=(0.0, 0.0),
        told=tuple(f"{at}: {name} {memory(size)}" for size, name in ends),
        hollow=(True, False),
    )
