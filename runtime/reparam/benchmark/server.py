"""MLPerf's Server: queries come by a schedule that no answer can hold up, and latency counts from the schedule.

So a slow answer delays those that wait behind it and is paid for by all of them, as a service's clients would: no
coordinated omission. The schedule is drawn beforehand from keyed noise: exponential gaps, scaled to their number's
exact time, which is a Poisson process of which the number of arrivals is known.

Source: MLPerf Inference, Reddi et al. 2020, and its LoadGen.
"""

import bisect
import dataclasses
import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from reparam.benchmark.report import Server, Trial
from reparam.benchmark.timing import Clock
from reparam.laws import noise

PERCENTILE: Final = 99
HONEST: Final = 0.02  # of the rate: how far what is issued may be from what was asked
BEHIND: Final = 0.05  # of the rate: how far what is answered may be below it, else a backlog grows
_FEWEST: Final = 100  # queries, below which there is no 99th percentile
_MOST: Final = 100_000
_TRIALS: Final = 7
_NEAR: Final = 1.06  # between the highest rate that held and the lowest that did not: near enough
_KEPT: Final = 1000
_SLEEP_NS: Final = 2_000_000  # nearer than this to the next query the clock is watched, as sleeps overrun
Serve = Callable[[int, int], object]  # first query and how many of them; returns when they are answered
Times = npt.NDArray[np.int64]


def schedule(rate: float, queries: int, seed: int) -> Times:
    """When each query comes, nanoseconds from the start: a Poisson process of so many a second, the last at its end."""
    gaps = np.abs(noise("laplace", seed, range(queries), (1,), stream="data").ravel().astype(np.float64))
    times: npt.NDArray[np.float64] = np.cumsum(gaps) * (1e9 * queries / rate / gaps.sum())
    return times.astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Offered:
    """What became of a schedule, nanoseconds [n] each.

    Attributes:
        issued: when each query was there to be taken: as scheduled, or when a wait for it ended.
        done: when it was answered.
        latency: from the schedule's time to the answer.
    """

    issued: Times
    done: Times
    latency: Times

    @property
    def rate(self) -> float:
        """Queries a second that were really issued, of a process that begins at 0."""
        return 1e9 * len(self.issued) / int(self.issued[-1])

    @property
    def answered(self) -> float:
        """Queries a second until the last answer: less than `rate` by as much as the server fell behind."""
        return 1e9 * len(self.done) / int(self.done[-1])


def offer(serve: Serve, due: Times, *, most: int, clock: Clock, give_up: float = math.inf) -> Offered:
    """Serves a schedule: whatever has come is taken together, at most so many, oldest first.

    Args:
        serve: answers queries first to first + count.
        due: as of `schedule`.
        most: queries that are taken together.
        clock: of the schedule.
        give_up: nanoseconds of latency at which it is clear that the arm does not keep up; the rest is left out.
    """
    now, times, n = clock.now, due.tolist(), len(due)
    issued, done = list(times), [0] * n
    first, start = 0, now()
    while first < n:
        at = now() - start
        if times[first] > at:
            while (wait := times[first] - at) > 0:
                if wait > _SLEEP_NS:
                    clock.sleep((wait - _SLEEP_NS) / 1e9)
                at = now() - start
            issued[first] = at
        stop = bisect.bisect_right(times, at, first, min(n, first + most))
        serve(first, stop - first)
        finished = now() - start
        done[first:stop] = [finished] * (stop - first)
        first = stop
        if finished - times[stop - 1] > give_up:
            break
    answered = np.array(done[:first])
    return Offered(np.array(issued[:first]), answered, answered - due[:first])


def find_rate(
    serve: Serve,
    *,
    capacity: float,
    most: int,
    bound_ns: float,
    seed: int,
    seconds: float,
    clock: Clock | None = None,
) -> Server | str:
    """The highest rate whose 99th percentile stays under the bound, by bisection; or why there is none.

    A trial may be short beside the bound, and would then hold any rate whose backlog has no time to reach it. So the
    arm must also have answered as many queries a second as came.

    Args:
        serve: see `offer`.
        capacity: rows a second that the arm is known to reach; where the search begins.
        most: rows that a call may have.
        bound_ns: latency.
        seed: of the schedules; trial k has that of seed + k.
        seconds: for all trials together.
        clock: None for the system's.
    """
    clock = clock or Clock()
    each = seconds / _TRIALS
    if _FEWEST / capacity > 2 * each:
        need = f"{_FEWEST} queries at {capacity:.3g} a second"
        return f"{need} take longer than its share of {seconds:.3g} s; give more --seconds"
    trials: list[Trial] = []
    kept: dict[float, Offered] = {}
    low, high, rate = 0.0, math.inf, 0.7 * capacity
    end = clock.now() + int(seconds * 1e9)
    while len(trials) < _TRIALS and (clock.now() < end or not trials):
        queries = int(min(_MOST, max(_FEWEST, rate * each)))
        due = schedule(rate, queries, (seed + len(trials)) % 2**64)
        offered = offer(serve, due, most=most, clock=clock, give_up=20 * bound_ns)
        trial = _trial(rate, offered, bound_ns, whole=len(offered.latency) == queries)
        trials.append(trial)
        if trial.held:
            low, kept[rate] = rate, offered
        else:
            high = rate
        if high < math.inf and (high < low * _NEAR or high * each < 1):
            break
        rate = math.sqrt(low * high) if low and high < math.inf else low * 1.4 if low else high / 2
    best = kept[low].latency if low else np.array([], np.int64)
    every = max(1, -(-len(best) // _KEPT))
    return Server(
        bound_ns=bound_ns,
        max_batch=most,
        rate=low,
        failed=None if high == math.inf else high,
        trials=tuple(trials),
        latencies_ns=tuple(best[::every].tolist()),
        every=every,
    )


def _trial(rate: float, offered: Offered, bound_ns: float, *, whole: bool) -> Trial:
    p50, p99 = (float(each) for each in np.percentile(offered.latency, [50, PERCENTILE]))
    in_time = abs(offered.rate / rate - 1) <= HONEST and offered.answered >= rate * (1 - BEHIND)
    return Trial(
        asked=rate,
        issued=offered.rate,
        answered=offered.answered,
        queries=len(offered.latency),
        p50_ns=p50,
        p99_ns=p99,
        held=whole and in_time and p99 < bound_ns,
    )
