"""What is measured of arms that passed the gate: points in turn, MLPerf's scenarios, scaling, and fresh processes."""

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from reparam.benchmark.arms import Measured
from reparam.benchmark.feeds import Feeds, feeds_of
from reparam.benchmark.fresh import Task, fresh
from reparam.benchmark.opened import Call
from reparam.benchmark.plan import OWN_PATHS, Wish
from reparam.benchmark.report import Fresh, Offline, Point, Scenarios, Server, Stream
from reparam.benchmark.scaling import CHUNKS, fit, over_batch, sizes_of
from reparam.benchmark.server import find_rate
from reparam.benchmark.timing import affordable, latency_of, point_of, take_turns
from reparam.vae import VAE

_MOST_BYTES: Final = 2**28  # of rows of x for one call
_MULTI: Final = 8  # rows of a query of MultiStream
_OWN: Final = 0.8  # seconds of a process with a path of ours
_OTHERS: Final = 5.0  # and with another library, which must be imported and may compile
Advance = Callable[[float], None]  # told how many seconds have passed


def time_points(arms: Sequence[Measured], *, seconds: float, advance: Advance) -> None:
    """Every arm at every batch, all of them in turn."""
    costs = {(index, batch): cost for index, arm in enumerate(arms) for batch, cost in arm.costs.items() if arm.timed}
    can = affordable(costs, seconds)
    calls = {key: arms[key[0]].calls[key[1]].run for key in costs if can[key]}
    visits = take_turns(calls, seconds=seconds, advance=advance, failed=lambda key, error: arms[key[0]].lose(error))
    for index, batch in costs:
        if not arms[index].timed:
            continue
        reason = f"{len(costs)} points in {seconds:.0f} s leave it no room; give more --seconds or fewer --batches"
        arms[index].points[batch] = (
            point_of(batch, visits[index, batch]) if can[index, batch] else Point(batch=batch, reason=reason)
        )


def offline_of(arm: Measured) -> Offline | None:
    """The batch with the most rows a second, and how many those are."""
    rates = [(point.rows_per_second, batch) for batch, point in arm.points.items() if point.rows_per_second]
    if not rates:
        return None
    rate, batch = max(rates)
    return Offline(batch=batch, rows_per_second=rate)


def scenarios(arms: Sequence[Measured], feeds: Feeds, wish: Wish, *, seconds: float, advance: Advance) -> None:
    """MLPerf's four for every arm; Server takes the time, the others come from the points."""
    timed = [arm for arm in arms if arm.timed]
    for arm in timed:
        missing: dict[str, str] = {}
        try:
            server = _server(arm, feeds, wish, seconds / len(timed))
        except Exception as error:  # whatever keeps a library from going on
            arm.lose(error)
            continue
        if isinstance(server, str):
            missing["server"] = server
        single, multi, offline = _stream(arm, 1, 90), _stream(arm, _MULTI, 99), offline_of(arm)
        for name, rows, found in (("single_stream", 1, single), ("multi_stream", _MULTI, multi)):
            if found is None:
                missing[name] = f"batch {rows} was not timed"
        if offline is None:
            missing["offline"] = "no batch was timed"
        arm.scenarios = Scenarios(
            single_stream=single,
            multi_stream=multi,
            offline=offline,
            server=None if isinstance(server, str) else server,
            missing=missing,
        )
        advance(seconds / len(timed))


def _stream(arm: Measured, rows: int, percentile: int) -> Stream | None:
    point = arm.points.get(rows)
    if point is None or point.latency is None:
        return None
    latency = point.latency.p90_ns if percentile == 90 else point.latency.p99_ns
    return Stream(rows=rows, percentile=percentile, latency_ns=latency)


def _server(arm: Measured, feeds: Feeds, wish: Wish, seconds: float) -> Server | str:
    offline, opened, operation = offline_of(arm), arm.opened, arm.spec.operation
    if offline is None or opened is None:
        return "no batch was timed"
    most = offline.batch if opened.facts.any_batch else 1
    alone = arm.points.get(1)
    capacity = offline.rows_per_second
    if most == 1:
        if alone is None or alone.rows_per_second is None:
            return "it takes queries one at a time, and batch 1 was not timed"
        capacity = alone.rows_per_second

    @functools.cache
    def call(rows: int) -> Call:
        return opened.call(operation, feeds.first(rows))

    return find_rate(
        lambda _, rows: call(rows).run(),
        capacity=capacity,
        most=most,
        bound_ns=wish.bound_ms * 1e6,
        seed=wish.seed,
        seconds=seconds,
    )


def scale(arms: Sequence[Measured], feeds: Feeds, reference: VAE, *, seconds: float, advance: Advance) -> None:
    """Lines over the batch for all arms; over rows, and over the size where it is open, for numpy to numpy."""
    for arm in arms:
        arm.scaling = over_batch([arm.points[batch] for batch in sorted(arm.points)])
    plain = [arm for arm in arms if arm.timed and arm.spec.path == "numpy" and arm.costs]
    largest = max((max(arm.costs) for arm in plain), default=1)
    plain = [arm for arm in plain if largest in arm.costs]
    sizes = sizes_of(reference.manifest)
    share = seconds / 2 if sizes else seconds

    def of_rows(arm: Measured, n: int) -> int:
        return arm.costs[largest] * n // largest

    most = max(largest, _MOST_BYTES // feeds.x[:1].nbytes)
    rows = {n * largest: feeds.first(n * largest) for n in CHUNKS if n * largest <= most}
    for arm, found in _times(plain, rows, cost=of_rows, seconds=share, advance=advance):
        arm.scaling += (fit("rows", list(found), list(found.values())),)
    if not sizes:
        return
    usual = math.prod(sizes[1])  # pixels, about those of training

    def of_pixels(arm: Measured, n: int) -> int:
        least = min(arm.costs)
        return arm.costs[least] * n // (usual * least)

    sized = {math.prod(size): feeds_of(reference, 1, size) for size in sizes}
    for arm, found in _times(plain, sized, cost=of_pixels, seconds=share, advance=advance):
        values, times = [sized[n].z.size for n in found], list(found.values())
        arm.scaling += (fit("image", list(found), times), fit("latent", values, times))


def _times(
    arms: Sequence[Measured],
    fed: Mapping[int, Feeds],
    *,
    cost: Callable[[Measured, int], int],
    seconds: float,
    advance: Advance,
) -> Iterator[tuple[Measured, dict[int, float]]]:
    """Median nanoseconds by n of each arm that had time for three of them, all taken in turn."""
    can = affordable({(index, n): cost(arm, n) for index, arm in enumerate(arms) for n in fed}, seconds)
    calls = {
        (index, n): arm.opened.call(arm.spec.operation, fed[n]).run
        for index, arm in enumerate(arms)
        for n in fed
        if arm.opened and can[index, n]
    }
    visits = take_turns(calls, seconds=seconds, advance=advance, failed=lambda key, error: arms[key[0]].lose(error))
    for index, arm in enumerate(arms):
        if not arm.timed:
            continue
        found = {n: latency_of(visits[index, n]).p50_ns for n in fed if (index, n) in visits}
        if len(found) >= 3:
            yield arm, found


def anew(arms: Sequence[Measured], wish: Wish) -> list[Measured]:
    """Which arms begin again in a process: our own that were timed, and one of each other library, which take seconds.

    Of a quick benchmark one of each engine: the last, which is reconstruct and runs both graphs.
    """
    timed = [arm for arm in reversed(arms) if arm.timed and arm.costs]
    one = {arm.spec.engine: arm for arm in reversed(timed)}
    own = [arm for arm in timed if arm.spec.path in OWN_PATHS and (not wish.quick or one[arm.spec.engine] is arm)]
    return own + [arm for arm in one.values() if arm.spec.path not in OWN_PATHS]


def cost_of_new(arms: Sequence[Measured], wish: Wish) -> float:
    """About how many seconds the processes of `begin_anew` take, at most a third of all the time."""
    whole = sum(_OWN if arm.spec.path in OWN_PATHS else _OTHERS for arm in anew(arms, wish))
    return min(whole, (wish.seconds or 0) / 3)


def begin_anew(arms: Sequence[Measured], bundle: Path, pin: str, wish: Wish, *, end: float, advance: Advance) -> None:
    """Arms in processes of their own, at their best batch; those that the time does not reach say so."""
    for arm in anew(arms, wish):
        offline = offline_of(arm)
        if offline is None:
            continue
        begin = time.monotonic()
        if begin >= end:
            arm.fresh = Fresh(batch=offline.batch, reason="no time was left for it; give more --seconds")
            continue
        spec = arm.spec
        task = Task(
            bundle=str(bundle),
            pin=pin,
            operation=spec.operation,
            device=spec.device,
            precision=spec.precision,
            path=spec.path,
            threads=spec.threads,
            run=wish.run,
            batch=offline.batch,
        )
        arm.fresh = fresh(task)
        advance(time.monotonic() - begin)
