"""What is measured of arms that passed the gate: points in turn, MLPerf's scenarios, and processes of their own."""

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from reparam.benchmark.arms import Measured
from reparam.benchmark.feeds import Feeds
from reparam.benchmark.fresh import Task, fresh
from reparam.benchmark.opened import Call
from reparam.benchmark.plan import OWN_PATHS, Wish
from reparam.benchmark.report import Fresh, Offline, Point, Scenarios, Server, Stream
from reparam.benchmark.server import find_rate
from reparam.benchmark.timing import affordable, point_of, take_turns
from reparam.benchmark.watch import Advance

_MULTI: Final = 8  # rows of a query of MultiStream
_OWN: Final = 0.8  # seconds of a process with a path of ours
_OTHERS: Final = 5.0  # and with another library, which must be imported and may compile


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
    for place, arm in enumerate(timed):
        advance(place / len(timed))
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
    begun = anew(arms, wish)
    for place, arm in enumerate(begun):
        advance(place / len(begun))
        offline = offline_of(arm)
        if offline is None:
            continue
        if time.monotonic() >= end:
            arm.fresh = Fresh(batch=offline.batch, reason="no time was left for it; give more --seconds")
            continue
        spec = arm.spec
        task = Task(
            bundle=str(bundle),
            pin=pin,
            trust=wish.trust,
            operation=spec.operation,
            device=spec.device,
            precision=spec.precision,
            path=spec.path,
            threads=spec.threads,
            run=wish.run,
            batch=offline.batch,
        )
        arm.fresh = fresh(task)
