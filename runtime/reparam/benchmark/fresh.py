"""An arm in a process of its own: what it takes to begin, and the most memory it holds.

`python -m reparam.benchmark.fresh` reads one JSON document on stdin and writes one on stdout.
"""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from reparam.benchmark.report import Fresh, Operation
from reparam.bundle.manifest import Trust
from reparam.errors import ReparamError

_MORE: Final = 3  # calls after the second, until memory has reached its peak
_DISTINCT: Final = 256  # rows
_LIMIT: Final = 120.0  # seconds: a compiler may take a minute
_STATUS: Final = Path("/proc/self/status")


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which arm, and where its bundle is; pin is the sha256 of its manifest."""

    bundle: str
    pin: str
    trust: Trust
    operation: Operation
    device: str
    precision: str
    path: str
    threads: int
    run: str | None
    batch: int


def fresh(task: Task, *, limit: float = _LIMIT) -> Fresh:
    """Starts a process for the task; a failure is a reason, not an error."""
    command = [sys.executable, "-m", "reparam.benchmark.fresh"]
    places = os.pathsep.join(place for place in sys.path if place)  # the very packages that are imported here
    environment = os.environ | {"PYTHONPATH": places}
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module
            command, input=msgspec.json.encode(task), capture_output=True, timeout=limit, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return Fresh(batch=task.batch, reason=f"its process took more than {limit:.0f} s")
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Fresh)
    last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    return Fresh(batch=task.batch, reason=f"its process ended with {done.returncode}: {last[0][:200]}")


def _resident(key: str) -> int | None:
    """VmRSS or VmHWM of this process in bytes; None where the system does not tell so."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:")]
    return found[0] if found else None


def measure(task: Task) -> Fresh:
    """The task, done in this process; onnxruntime or torch must not be imported yet."""
    from reparam.benchmark import nvml
    from reparam.benchmark.engines import open_engine
    from reparam.benchmark.feeds import Feeds, inputs_of
    from reparam.benchmark.paths import load_for
    from reparam.bundle.reader import read_bundle
    from reparam.laws import noise

    manifest = read_bundle(task.bundle, precisions=(), trust=task.trust).manifest
    few = range(min(task.batch, _DISTINCT))
    z = noise("normal", 0, few, manifest.latent.shape, stream="prior")
    feeds = Feeds(*inputs_of(manifest, len(few)), z).first(task.batch)
    engine = task.device, task.precision, task.path, task.threads
    place, run = Path(task.bundle), None if task.run is None else Path(task.run)
    model = functools.partial(
        load_for,
        place,
        device=task.device,
        precision=task.precision,
        threads=task.threads,
        max_batch=task.batch,
        pin=task.pin,
        trust=task.trust,
    )
    before, begin = _resident("VmRSS"), time.perf_counter_ns()
    opened = open_engine(place, engine, run=run, model=model)
    call = opened.call(task.operation, feeds)
    ends = [time.perf_counter_ns()]
    for _ in range(2 + _MORE):
        call.run()
        ends.append(time.perf_counter_ns())
    index = None if task.device == "cpu" else int(task.device.partition(":")[2] or 0)
    return Fresh(
        batch=task.batch,
        load_ns=ends[0] - begin,
        first_call_ns=ends[1] - ends[0],
        next_call_ns=ends[2] - ends[1],
        host_before_bytes=before,
        host_peak_bytes=_resident("VmHWM"),
        device_peak_bytes=None if index is None else nvml.memory_of(os.getpid(), index),
        joules_per_row=None if index is None else _joules(call.run, index, task.batch),
    )


def _joules(run: Callable[[], object], index: int, batch: int) -> float | None:
    """Energy of a card a row, over a second of calls; None where that is not told."""
    from reparam.benchmark import nvml

    before, calls, end = nvml.joules(index), 0, time.perf_counter() + 1
    while before is not None and time.perf_counter() < end:
        run()
        calls += 1
    after = nvml.joules(index)
    return None if before is None or after is None else (after - before) / (calls * batch)


def main() -> None:
    """The child's side."""
    try:
        found = measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Task))
    except ReparamError as error:
        sys.exit(str(error))
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
