"""Rows a second and memory of a large .npy file through encode; run by `make bench-stream`.

    python benchmarks/streaming.py [GIGABYTES] [FOLDER]

Writes a file of MNIST-like rows, 0.3 GB where nothing is said, into a temporary folder, so that it is in the page
cache, and runs models/mnist over it with one thread. Three arms, in turn, each in rows a second of processor time and
of the clock:

- memory: `VAE.encode` of 300 MB of rows in memory, results new arrays: the rate to compare with.
- stream: `VAE.stream` over the file, read a chunk at a time.
- command: what `reparam encode --mean --logvar` does, with its two files on the disk at the end.

Memory is the peak of resident memory less that after loading, each in a process of its own.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import reparam
from reparam.files import npy
from reparam.jobs.job import Job
from reparam.jobs.run import run_job

BUNDLE = Path(__file__).resolve().parents[1] / "models" / "mnist"
SHAPE = (1, 28, 28)
IN_MEMORY = 96_000  # rows, 300 MB
ROUNDS = 5


def write_rows(path: Path, rows: int) -> None:
    """Rows of uniform values, the same 20,000 again and again."""
    block = np.random.default_rng(0).random((20_000, *SHAPE), np.float32)
    with path.open("wb") as file:
        file.write(npy.header_of("<f4", (rows, *SHAPE)))
        for start in range(0, rows, len(block)):
            file.write(block[: rows - start].tobytes())


@contextlib.contextmanager
def silent(*_: object) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def command(source: Path) -> None:
    outs = {name: source.with_name(f"{name}.npy") for name in ("mean", "logvar")}
    job = Job(op="encode", bundle=BUNDLE, source=source, outs=outs, device="cpu", threads=1)
    run_job(job, resume=False, progress=silent, note=print)


def stream(vae: reparam.VAE, source: Path) -> None:
    for _ in vae.stream(npy.read(source), op="encode"):
        pass


def status(name: str) -> int:
    with Path("/proc/self/status").open() as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


def peak(how: str, source: Path) -> None:
    """Prints the bytes of resident memory that an arm takes above those of a loaded model that has run once."""
    with reparam.load(BUNDLE, device="cpu", threads=1) as vae:
        vae.encode(np.zeros((256, *SHAPE), np.float32))
        before = status("VmRSS")
        if how == "stream":
            stream(vae, source)
        else:
            command(source)
    print(status("VmHWM") - before)


def rates(source: Path, rows: int) -> dict[str, dict[str, float]]:
    vae = reparam.load(BUNDLE, device="cpu", threads=1)
    inside = npy.read(source)[:IN_MEMORY]
    found = vae.encode(inside)
    parts = list(vae.stream(npy.read(source), op="encode", stop=len(inside)))
    for place, wanted in enumerate((found.mean, found.logvar)):
        if not np.array_equal(np.concatenate([part[place] for part in parts]), wanted):
            raise SystemExit("stream and encode differ: nothing was timed")
    arms: dict[str, tuple[int, Callable[[], object]]] = {
        "memory": (len(inside), lambda: vae.encode(inside)),
        "stream": (rows, lambda: stream(vae, source)),
        "command": (rows, lambda: command(source)),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for _ in range(ROUNDS):
        for name, (count, call) in arms.items():
            clock, spent = time.perf_counter(), time.process_time()
            call()
            seconds[name].append(((time.process_time() - spent) / count, (time.perf_counter() - clock) / count))
    report: dict[str, dict[str, float]] = {name: {} for name in arms}
    for name, values in seconds.items():
        for place, kind in enumerate(("processor", "clock")):
            ratios = [base[place] / value[place] for base, value in zip(seconds["memory"], values, strict=True)]
            report[name][f"rows_per_{kind}_second"] = round(1 / statistics.median(value[place] for value in values))
            report[name][f"{kind}_over_memory"] = round(statistics.median(ratios), 3)
    return report


def main(gigabytes: float, folder: str | None) -> None:
    rows = int(gigabytes * 1e9 / 3136)
    with tempfile.TemporaryDirectory(dir=folder) as made:
        source = Path(made) / "x.npy"
        write_rows(source, rows)
        memory = {}
        for how in ("stream", "command"):
            done = subprocess.run([sys.executable, __file__, how, source], capture_output=True, text=True, check=True)
            memory[how] = int(done.stdout)
        print(
            json.dumps(
                {"rows": rows, "gigabytes": gigabytes, "peak_above_load": memory, **rates(source, rows)}, indent=2
            )
        )


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in ("stream", "command"):
        peak(sys.argv[1], Path(sys.argv[2]))
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else 0.3, sys.argv[2] if sys.argv[2:] else None)
