"""What a `Batcher` gains for 64 callers of single rows, threads and tasks; run by `make bench-batcher`.

The arms of a group take turns in every round, and a gain is the median over rounds of the ratio within a round, since
machines drift. Every answer of the first round is held against the model's own to the bit before anything is timed.
`cpu_us_a_row` is the process's CPU time, which others on the machine disturb less than they do its clock.
Models: models/mnist, where Python's own cost per call is the limit, and a convolutional one of 64 x 64 x 3 images with
random weights, exported here. `python_us` is what a row costs beyond its share of a batch of 64 in onnxruntime.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

import reparam
import reparam_export
from reparam_train.model import VAE
from reparam_train.options import VAEConfig

CALLERS = 64
MNIST = Path(__file__).resolve().parents[1] / "models" / "mnist"
CONV = VAEConfig(
    net="conv", input_shape=(3, 64, 64), latent=64, hidden=(32, 64, 128, 256), likelihood="gaussian", activation="silu"
)
Round = Callable[[int], tuple[float, list[Any]]]  # calls of each caller to seconds, and each caller's last answer


def by_threads(call: Callable[[Any], Any], x: Any, callers: int = CALLERS) -> Round:
    """Each of so many threads calls for its own row again and again."""

    def run(calls: int) -> tuple[float, list[Any]]:
        answers: list[Any] = [None] * callers
        ready = threading.Barrier(callers + 1)

        def caller(place: int) -> None:
            row = x[place : place + 1]
            ready.wait()
            for _ in range(calls):
                answers[place] = call(row).mean
            ready.wait()

        threads = [threading.Thread(target=caller, args=(place,)) for place in range(callers)]
        for thread in threads:
            thread.start()
        ready.wait()
        begin = time.perf_counter()
        ready.wait()
        seconds = time.perf_counter() - begin
        for thread in threads:
            thread.join()
        return seconds, answers

    return run


def by_tasks(call: Callable[[Any], Awaitable[Any]], x: Any, callers: int = CALLERS) -> Round:
    """The same with tasks of one event loop."""

    def run(calls: int) -> tuple[float, list[Any]]:
        async def caller(place: int) -> Any:
            row = x[place : place + 1]
            for _ in range(calls):
                answer = (await call(row)).mean
            return answer

        async def main() -> tuple[float, list[Any]]:
            begin = time.perf_counter()
            answers = await asyncio.gather(*(caller(place) for place in range(callers)))
            return time.perf_counter() - begin, answers

        return asyncio.run(main())

    return run


def group(arms: dict[str, Round], wanted: Any, calls: int, rounds: int, callers: int = CALLERS) -> dict[str, Any]:
    """Microseconds a row of each arm, and its gain in rows a second over the first arm."""
    for name, run in arms.items():
        if not np.array_equal(np.concatenate(run(2)[1]), wanted[:callers]):
            raise SystemExit(f"{name} differs from encode: nothing was timed")
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    processor: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, run in arms.items():
            begin = time.process_time()
            seconds[name].append(run(calls)[0])
            processor[name].append(time.process_time() - begin)
    first = next(iter(seconds.values()))
    return {
        name: {
            "us_a_row": round(statistics.median(values) / (calls * callers) * 1e6, 1),
            "cpu_us_a_row": round(statistics.median(processor[name]) / (calls * callers) * 1e6, 1),
            "gain": round(statistics.median(a / b for a, b in zip(first, values, strict=True)), 2),
        }
        for name, values in seconds.items()
    }


def lone_caller(vae: reparam.VAE, batcher: reparam.Batcher, x: Any) -> dict[str, float]:
    """Median and 99th percentile, in ms, of one call at a time, the model's own and through the batcher."""
    row = x[:1]
    told = {}
    for name, call in (("model", vae.encode), ("batcher", batcher.encode)):
        seconds = []
        for _ in range(300):
            begin = time.perf_counter()
            call(row)
            seconds.append(time.perf_counter() - begin)
        told[f"{name}_ms"] = round(statistics.median(seconds) * 1e3, 3)
        told[f"{name}_ms_99"] = round(statistics.quantiles(seconds, n=100)[-1] * 1e3, 3)
    return told


def measure(folder: Path, *, threads: int | None, calls: int, rounds: int) -> dict[str, Any]:
    """All arms for one model."""
    vae = reparam.load(folder, device="cpu", threads=threads)
    x = reparam.noise("uniform", 0, range(CALLERS), vae.manifest.input.shape)
    wanted = vae.encode(x).mean

    async def encode(row: Any) -> Any:  # in the task itself, which holds the loop
        return vae.encode(row)

    with vae, reparam.Batcher(vae) as batcher:
        whole = []
        for _ in range(20):
            begin = time.perf_counter()
            vae.encode(x)
            whole.append((time.perf_counter() - begin) / CALLERS * 1e6)
        told: dict[str, Any] = {
            "threads_of_session": vae.info().threads,
            "batch_of_64_us_a_row": round(statistics.median(whole), 1),
            "threads": group(
                {"encode": by_threads(vae.encode, x), "batcher": by_threads(batcher.encode, x)}, wanted, calls, rounds
            ),
            "tasks": group(
                {
                    "encode": by_tasks(encode, x),
                    "aencode": by_tasks(vae.aencode, x),
                    "batcher": by_tasks(batcher.aencode, x),
                },
                wanted,
                calls,
                rounds,
            ),
            "lone": lone_caller(vae, batcher, x),
        }
        stats = batcher.stats()
        told["rows_a_batch"] = round((stats.rows - 300) / max(1, stats.batches - 300), 1)
    for kind in ("threads", "tasks"):
        told[kind]["batcher"]["python_us"] = round(told[kind]["batcher"]["us_a_row"] - told["batch_of_64_us_a_row"], 1)
    return told


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser(description="What a Batcher gains for 64 callers of single rows.")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=None, help="of each session; all that are allowed if left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        reparam_export.export(VAE.build(CONV, seed=7), Path(folder) / "conv")
        told = {
            "conv 64x64x3": measure(Path(folder) / "conv", threads=options.threads, calls=12, rounds=options.rounds),
            "models/mnist": measure(MNIST, threads=options.threads, calls=60, rounds=options.rounds),
        }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
