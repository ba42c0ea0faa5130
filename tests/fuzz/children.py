"""Many cases in a child process that may die: each is told before it begins, so that a crash or hang has a number."""

import argparse
import collections
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


@dataclasses.dataclass
class Found:
    """How many cases ended in which way, and which ones ended their process or took too long."""

    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter[str])
    bad: list[tuple[int, str]] = dataclasses.field(default_factory=list[tuple[int, str]])
    slowest: tuple[float, int] = (0.0, -1)


def run(script: str, arguments: list[str], first: int, last: int, *, limit: float) -> Found:
    """Cases first to last of a script's `--child`, which is begun anew behind each that ended it."""
    found = Found()
    late: set[int] = set()
    while first < last:
        try:
            first = _child(script, [*arguments, "--child", str(first), str(last)], first, found, limit)
        except TimeoutError as error:
            first = error.args[0]
            if first in late:
                found.bad.append((first, f"took more than {limit:.0f} s, twice"))
                first += 1
            else:  # a machine that others use may stand still for some seconds
                late.add(first)
                found.counts["tried-again"] += 1
    return found


def _child(script: str, arguments: list[str], first: int, found: Found, limit: float) -> int:
    """One child; the number of the next case, or TimeoutError with that of the one that took too long."""
    command = [sys.executable, script, *arguments]
    number, begun = first, time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        os.set_blocking(child.stdout.fileno(), False)
        rest, wait = b"", 60.0  # until its imports are done
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            while True:
                if not ready.select(max(0.0, begun + wait - time.monotonic())):
                    child.kill()
                    raise TimeoutError(number)
                data = child.stdout.read()
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    word, _, told = line.decode().partition(" ")
                    begun, wait = time.monotonic(), limit
                    if word == "begin":
                        number = int(told)
                    elif word == "end":
                        how, _, seconds = told.partition(" ")
                        found.counts[how] += 1
                        found.slowest = max(found.slowest, (float(seconds), number))
                        number += 1
                    elif word == "wrong":
                        found.bad.append((number, told))
        error = child.stderr.read().decode(errors="replace").strip().splitlines()
        code = child.wait()
    if code == 0:
        return 2**63
    name = signal.Signals(-code).name if code < 0 else f"exit {code}"
    found.bad.append((number, f"{name}: {error[-1] if error else ''}"[:300]))
    return number + 1


def main(script: str, case: Callable[[int, int], str], parser: argparse.ArgumentParser, *, count: int) -> None:
    """A script's command line: `--count` cases of `--seed`, here or, with `--child`, as the child of another.

    Args:
        script: its file.
        case: of a seed and a number: how it ended, in one word; what it raises ends the child.
        parser: with the script's own options.
        count: how many cases by default.
    """
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--limit", type=float, default=5.0, help="seconds of a case")
    parser.add_argument("--child", type=int, nargs=2)
    options = parser.parse_args()
    if options.child:
        for number in range(*options.child):
            print("begin", number, flush=True)
            begun = time.perf_counter()
            how = case(options.seed, number)
            print("end", how, f"{time.perf_counter() - begun:.4f}", flush=True)
        return
    own = [*sys.argv[1:]]
    found = run(script, own, options.first, options.first + options.count, limit=options.limit)
    print(json.dumps({"script": Path(script).name, "seed": options.seed, "cases": options.count, **found.counts}))
    print(
        json.dumps(
            {
                "slowest_s": found.slowest[0],
                "slowest_case": found.slowest[1],
                "bad": found.bad[:50],
                "bad_count": len(found.bad),
            }
        )
    )
    sys.exit(1 if found.bad else 0)


def wrong(told: str) -> None:
    """Reports a finding that ended nothing."""
    print("wrong", told.replace("\n", " ")[:500], flush=True)
