"""A batch script: scores a file that may be larger than memory, and names the rows least like the training data.

    python examples/batch.py models/digits x.npy scores.npy

The scores are ELBOs in nats, the same to the bit whatever PART is, since noise is a function of (seed, row).
"""

import sys

import numpy as np

import reparam

PART = 4096  # rows in memory at a time
SEED = 7


def main(bundle: str, rows: str, scores: str) -> None:
    """Scores in the order of the rows; the five lowest on stdout."""
    x = np.load(rows, mmap_mode="r", allow_pickle=False)
    elbo = np.empty(len(x))
    with reparam.load(bundle, device="cpu") as vae:
        for start in range(0, len(x), PART):
            part = x[start : start + PART]
            elbo[start : start + PART] = vae.elbo(part, seed=SEED, first_row=start)
            print(f"\r{start + len(part)} of {len(x)} rows", end="", file=sys.stderr)
    print(file=sys.stderr)
    np.save(scores, elbo)
    for row in np.argsort(elbo)[:5]:
        print(f"row {row}: {elbo[row]:.2f} nats")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
