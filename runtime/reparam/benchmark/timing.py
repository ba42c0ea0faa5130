"""Many calls timed in turn: in each round every call has a visit, so that a machine's drift meets all of them alike.

A visit begins with a pause, in which threads of the call before it stop spinning, and with one call that is not
counted, which brings the weights back to the processor. Then each call is timed by itself, with a monotonic clock.
Rounds go on until the medians of every call's visits agree, or the time is up.
"""

import dataclasses
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Final, TypeVar

import numpy as np

from reparam.benchmark.report import Latency, Point

Key = TypeVar("Key", bound=Hashable)
Visit = tuple[int, ...]  # nanoseconds of each call

SPREAD: Final = 0.1  # of the visits' medians: what counts as stable
FEWEST: Final = 3  # rounds, however slow
ENOUGH: Final = 8  # rounds before the spread is believed
_VISIT_NS: Final = 4_000_000  # of calls in a visit, more or less
_CALLS: Final = 24  # of a visit at most
_PAUSE: Final = 0.002  # seconds; onnxruntime's and OpenMP's threads spin for about one


@dataclasses.dataclass(frozen=True)
class Clock:
    """Where the time comes from; tests bring their own.

    Attributes:
        now: nanoseconds, never going back.
        sleep: waits for so many seconds.
    """

    now: Callable[[], int] = time.perf_counter_ns
    sleep: Callable[[float], None] = time.sleep


def affordable(costs: Mapping[Key, int], seconds: float) -> dict[Key, bool]:
    """Which calls can have their fewest rounds within the time: the cheap ones first, whatever is left for the dear.

    Args:
        costs: nanoseconds of one call of each.
        seconds: for all of them together.
    """
    left = seconds * 1e9
    found: dict[Key, bool] = {}
    for key in sorted(costs, key=lambda each: costs[each]):
        need = FEWEST * (2 * costs[key] + _PAUSE * 1e9)
        found[key] = need <= left
        left -= need if found[key] else 0
    return found


def take_turns(
    calls: Mapping[Key, Callable[[], object]],
    *,
    seconds: float,
    clock: Clock | None = None,
    advance: Callable[[float], None] = lambda _: None,
    failed: Callable[[Key, Exception], None] | None = None,
) -> dict[Key, list[Visit]]:
    """The visits of each call.

    Args:
        calls: what is timed.
        seconds: for all of them; at least three rounds are made.
        clock: None for the system's.
        advance: told which share of it all is done, for progress.
        failed: told of a call that raised, which has no turn after that; None lets the error through.
    """
    clock = clock or Clock()
    found: dict[Key, list[Visit]] = {key: [] for key in calls}
    order = list(calls)
    start = clock.now()
    end = start + int(seconds * 1e9)
    turn = 0
    while order and (turn < FEWEST or clock.now() < end):
        if turn >= ENOUGH and all(spread_of(visits) < SPREAD for visits in found.values()):
            break
        for key in order if turn % 2 else reversed(order):
            if turn >= FEWEST and clock.now() >= end:
                break
            try:
                found[key].append(_visit(calls[key], clock))
            except Exception as error:
                if failed is None:
                    raise
                failed(key, error)
                del found[key]
        order = [key for key in order if key in found]
        turn += 1
        advance(min(turn / FEWEST, (clock.now() - start) / max(1, end - start), 1.0))
    return found


def _visit(call: Callable[[], object], clock: Clock) -> Visit:
    now = clock.now
    clock.sleep(_PAUSE)
    call()
    samples: list[int] = []
    total = 0
    while len(samples) < _CALLS and total < _VISIT_NS:
        begin = now()
        call()
        samples.append(now() - begin)
        total += samples[-1]
    return tuple(samples)


def spread_of(visits: list[Visit]) -> float:
    """The middle half of the visits' medians, as a share of their median."""
    medians = np.array([np.median(visit) for visit in visits])
    low, middle, high = np.percentile(medians, [25, 50, 75])
    return float((high - low) / middle) if middle else 0.0


def latency_of(visits: list[Visit]) -> Latency:
    """Percentiles over all samples of all visits."""
    samples = np.concatenate([np.asarray(visit) for visit in visits])
    p50, p90, p99 = (float(each) for each in np.percentile(samples, [50, 90, 99]))
    return Latency(p50_ns=p50, p90_ns=p90, p99_ns=p99, mean_ns=float(samples.mean()))


def point_of(batch: int, visits: list[Visit]) -> Point:
    """A point of the report out of its visits."""
    latency, spread = latency_of(visits), spread_of(visits)
    return Point(
        batch=batch,
        visits=tuple(visits),
        latency=latency,
        rows_per_second=1e9 * batch / latency.p50_ns if latency.p50_ns else None,
        spread=spread,
        stable=len(visits) >= ENOUGH and spread < SPREAD,
    )
