"""Order and noise of training as functions of the seed: nothing remembers where a generator stood.

Row numbers of `reparam.noise` are parted so that no two uses under one seed ever share noise:

| rows                | stream    | use                                                                        |
|---------------------|-----------|----------------------------------------------------------------------------|
| i                   | posterior | evaluation of row i, here and in the runtime                               |
| 2^63 + s B + p      | posterior | training: step s (from 0), place p in the global batch of B rows           |
| i                   | data      | binarisation of test row i                                                 |
| 2^62 + i            | data      | static binarisation of training row i                                      |
| 2^63 + s B + p      | data      | dynamic binarisation of place p in step s                                  |
| 3 * 2^62 + i        | data      | order: two words, in block e, are the key of training row i in epoch e     |

The last batch of an epoch may be short; its places still count from s B. As s B stays far below 2^62, the ranges never
meet. A process that holds a slice of the batch asks for the places of its slice and gets the same noise.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from reparam.laws import Law, Rows, check_seed, noise, words

FIRST_STATIC_ROW: Final = 2**62
FIRST_TRAINING_ROW: Final = 2**63
FIRST_ORDER_ROW: Final = 3 * 2**62
_KEYS: Final = 2**16  # rows whose order is drawn in one go


def order(seed: int, *, epoch: int, rows: int) -> npt.NDArray[np.int64]:
    """The permutation of the training rows in one epoch: a stable argsort of 64-bit keys.

    Args:
        seed: 0 <= seed < 2^64.
        epoch: from 0, below 2^32.
        rows: size of the training split, n.

    Returns:
        int64 [n], each of 0 ... n - 1 once.

    Raises:
        OptionError: seed out of range.
    """
    check_seed(seed)
    keys = np.empty(rows, np.uint64)
    block = np.full(1, epoch, np.uint64)
    for start in range(0, rows, _KEYS):  # in pieces: the words take many times the memory of the keys
        ids = np.arange(start, min(start + _KEYS, rows), dtype=np.uint64) + np.uint64(FIRST_ORDER_ROW)
        low, high, _, _ = words(seed, ids, block, stream="data")  # [piece] each
        keys[start : start + _KEYS] = low | high << np.uint64(32)
    return np.argsort(keys, kind="stable")


def training_rows(*, step: int, batch_size: int, places: range) -> range:
    """Row numbers 2^63 + step * batch_size + p of the places p of a step, as the noise of training counts them."""
    first = FIRST_TRAINING_ROW + step * batch_size
    return range(first + places.start, first + places.stop)


def training_noise(
    seed: int, *, rows: Rows, shape: tuple[int, ...], law: Law = "normal", draws: int = 1
) -> npt.NDArray[np.float32]:
    """Noise (eps) of training: float32 [draws, len(rows), *shape].

    Args:
        seed: 0 <= seed < 2^64.
        rows: numbers of `training_rows`, of one step or of several, [n].
        shape: of one row's latent.
        law: of the noise, the posterior's.
        draws: how many for each row; place k on the first axis is draw k. 0 for a plain autoencoder.

    Raises:
        OptionError: seed out of range.
    """
    found = np.empty((draws, len(rows), *shape), np.float32)
    for draw in range(draws):
        found[draw] = noise(law, seed, rows, shape, draw=draw)
    return found


def evaluation_noise(seed: int, *, rows: range, shape: tuple[int, ...], law: Law = "normal") -> npt.NDArray[np.float32]:
    """Noise (eps) of evaluation, float32 [len(rows), *shape]: what the runtime draws for these rows and this seed."""
    return noise(law, seed, rows, shape)
