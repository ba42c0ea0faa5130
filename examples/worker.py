"""A worker with many threads: takes .npy files from one folder and leaves what the model says of them in another.

    python examples/worker.py models/digits inbox outbox

Each file holds a few rows [n, *input]. The threads read and write; one Batcher runs what they bring, joined, so that
many small files cost little more than one large one. A file that does not fit is reported, and spares the others.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import reparam
from reparam.errors import InputError

THREADS = 32


def work(batcher: reparam.Batcher, job: Path, outbox: Path) -> str:
    """One file: its posterior means and the squared error of each row's reconstruction; returns a line to print."""
    try:
        x = np.load(job, allow_pickle=False)
        mean, x_hat = batcher.encode(x).mean, batcher.reconstruct(x)
    except (InputError, ValueError, OSError) as error:
        return f"{job.name}: refused: {error}"
    error = ((x_hat - x) ** 2).reshape(len(x), -1).sum(axis=1)
    np.savez(outbox / f"{job.stem}.npz", mean=mean, error=error)
    return f"{job.name}: {len(x)} rows"


def main(bundle: str, inbox: str, outbox: str) -> None:
    """All files of the folder, reported in their order."""
    Path(outbox).mkdir(exist_ok=True)
    jobs = sorted(Path(inbox).glob("*.npy"))
    with (
        reparam.load(bundle, device="cpu") as vae,
        # every thread waits for one call at a time, so this queue never refuses
        reparam.Batcher(vae, max_queue=1 << 20) as batcher,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for line in pool.map(lambda job: work(batcher, job, Path(outbox)), jobs):
            print(line)
        stats = batcher.stats()
        print(f"{stats.calls} calls in {stats.batches} batches", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
