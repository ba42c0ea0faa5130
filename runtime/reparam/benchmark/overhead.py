"""What measuring itself costs: the same call timed as arms are, and in a loop without a clock, in turn."""

import time
from typing import Final

import numpy as np

from reparam.benchmark.report import Overhead
from reparam.benchmark.timing import Clock, latency_of, take_turns
from reparam.engine.device import Device
from reparam.engine.probe import identity

_ROUNDS: Final = 5
_LOOP: Final = 50  # calls: short, so that few loops are interrupted, and the median is that of one which was not


def overhead(seconds: float) -> Overhead:
    """Found on a graph of one Identity node over one value, on one thread, in about so many seconds."""
    run = identity(Device("cpu"))
    ticks = [time.perf_counter_ns() for _ in range(100 * _LOOP)]
    clock_ns = float(np.median(np.diff(ticks)))
    bare: list[float] = []
    timed: list[tuple[int, ...]] = []
    end = time.perf_counter() + seconds
    while len(bare) < _ROUNDS or time.perf_counter() < end:
        begin = time.perf_counter_ns()
        for _ in range(_LOOP):
            run()
        bare.append((time.perf_counter_ns() - begin) / _LOOP)
        timed += take_turns({"identity": run}, seconds=0, clock=Clock(sleep=lambda _: None))["identity"]
    timed_ns, bare_ns = latency_of(timed).p50_ns, float(np.median(bare))
    return Overhead(
        clock_ns=clock_ns,
        timed_ns=timed_ns,
        bare_ns=bare_ns,
        difference_ns=timed_ns - bare_ns,
        calls=sum(map(len, timed)) + _LOOP * len(bare),
    )
