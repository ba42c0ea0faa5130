"""Whether anything is left behind: memory, descriptors and threads over many runs, loads, failures and rows.

    python benchmarks/soak.py [RUNS [LOADS [FAILURES [ROWS]]]]

1 million runs of one row, 2,000 loads, 20,000 calls that fail and 10 million streamed rows where nothing is said; run
by `make soak`. Each kind is warmed up, then all are done in this one process. Prints what each left behind, and exits
with 1 where resident memory grew by 16 MB or more, or descriptors or threads by any.
"""

import gc
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import reparam
from reparam.errors import ReparamError
from reparam.files import npy
from reparam.files.npy import header_of
from reparam.testing import tiny_bundle

COUNTS = {"runs": 1_000_000, "loads": 2_000, "failures": 20_000, "rows": 10_000_000}
WARM = {"runs": 2_000, "loads": 50, "failures": 500, "rows": 500_000}
MOST = 16 * 2**20  # bytes of resident memory
SHAPE = (8,)
BATCH = 4096


def resources() -> dict[str, int]:
    """Bytes of resident memory, open descriptors and threads of this process."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return {
        "resident": next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS")),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "threads": len(list(Path("/proc/self/task").iterdir())),
    }


class Soak:
    """A bundle, rows, and the four kinds of work over them."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.bundle = tiny_bundle(folder / "bundle", input_shape=SHAPE)
        self.damaged = tiny_bundle(folder / "damaged", input_shape=SHAPE)
        graph = self.damaged / "encoder.onnx"
        graph.write_bytes(graph.read_bytes()[::-1])
        self.text = folder / "text.npy"
        self.text.write_text("no array")
        self.file = folder / "x.npy"
        with self.file.open("wb") as file:  # zeros that take up no disk
            file.write(header_of("<f4", (rows, *SHAPE)))
            file.truncate(file.tell() + rows * 4 * SHAPE[0])
        self.vae = reparam.load(self.bundle, device="cpu", threads=1, max_batch=BATCH)
        self.x = np.full((1, *SHAPE), 0.5, np.float32)
        self.z = np.zeros((1, 2), np.float32)

    def runs(self, count: int) -> None:
        """Calls of one row: means, samples, decodings."""
        calls: list[Callable[[], object]] = [
            lambda: self.vae.encode(self.x),
            lambda: self.vae.decode(self.z),
            lambda: self.vae.sample(self.x, seed=7),
        ]
        for call in itertools.islice(itertools.cycle(calls), count):
            call()

    def loads(self, count: int) -> None:
        """Models that are loaded, used once and closed."""
        for _ in range(count):
            with reparam.load(self.bundle, device="cpu", threads=1) as vae:
                vae.reconstruct(self.x)

    def failures(self, count: int) -> None:
        """Calls that are refused, before or after a file was opened or a graph was read."""
        closed = reparam.load(self.bundle, device="cpu", threads=1)
        closed.close()
        bad, wide, any_vae = np.full_like(self.x, np.nan), np.zeros((1, 9), np.float32), self.vae
        nothing: Any = None
        calls: list[Callable[[], object]] = [
            lambda: any_vae.encode(bad),
            lambda: any_vae.encode(wide),
            lambda: any_vae.sample(self.x, seed=nothing),
            lambda: any_vae.decode(self.x),
            lambda: closed.encode(self.x),
            lambda: list(any_vae.stream(iter([self.x, wide]), op="encode")),
            lambda: reparam.load(self.damaged, device="cpu"),
            lambda: reparam.load(self.bundle / "nowhere", device="cpu"),
            lambda: reparam.verify(self.damaged, device="cpu"),
            lambda: npy.read(self.text),
        ]
        for call in itertools.islice(itertools.cycle(calls), count):
            try:
                call()
            except ReparamError:
                continue
            raise SystemExit("a call that must fail did not")

    def rows(self, count: int) -> None:
        """Rows of a file, streamed."""
        with npy.read(self.file) as file:
            found = sum(len(mean) for mean, _ in self.vae.stream(file, op="encode", stop=count))
        if found != count:
            raise SystemExit(f"{found} rows came of {count}")


def main(counts: dict[str, int]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), max(counts["rows"], WARM["rows"]))
        for kind, count in WARM.items():
            getattr(soak, kind)(min(count, counts[kind]))
        first = before = resources()
        report: dict[str, Any] = {}
        for kind, count in counts.items():
            clock = time.perf_counter()
            getattr(soak, kind)(count)
            after = resources()
            grown = {name: after[name] - before[name] for name in after}
            report[kind] = {"count": count, "seconds": round(time.perf_counter() - clock, 1)} | grown
            before = after
        total = {name: before[name] - first[name] for name in before}
        print(json.dumps(report | {"all": total}, indent=2))
    return int(total["resident"] >= MOST or total["descriptors"] > 0 or total["threads"] > 0)


if __name__ == "__main__":
    given = dict(zip(COUNTS, map(int, sys.argv[1:]), strict=False))
    sys.exit(main(COUNTS | given))
