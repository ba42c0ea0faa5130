"""Grey values x in [0, 1] as draws of Bernoulli(x): a function of the seed and of a row's number, like all noise here.

Word j of a row (Philox4x32-10, stream "data", see keyed.py for its row numbers) makes value j of the flattened row 1
where word < x 2^32, else 0. So 0 stays 0, 1 stays 1, and the rest are right to 2^-32.

R. Salakhutdinov and I. Murray, "On the Quantitative Analysis of Deep Belief Networks", ICML 2008, binarise MNIST so.
"""

import math

import numpy as np
import numpy.typing as npt

from reparam.laws import Rows, row_ids, words


def binarized(x: npt.NDArray[np.float32], seed: int, rows: Rows) -> npt.NDArray[np.float32]:
    """One draw of Bernoulli(x) for every value.

    Args:
        x: float32 [n, *input], in [0, 1].
        seed: 0 <= seed < 2^64.
        rows: numbers of the rows, [n].

    Returns:
        0 or 1, float32 [n, *input].
    """
    flat = x.reshape(len(x), math.prod(x.shape[1:]))  # -1 would not do for no rows
    blocks = np.arange(-(-flat.shape[1] // 4), dtype=np.uint64)
    drawn = words(seed, row_ids(rows)[:, None], blocks[None, :], stream="data")  # four of [n, blocks]
    place = np.stack(drawn, axis=-1).reshape(len(x), 4 * len(blocks))[:, : flat.shape[1]]  # [n, values]
    return (place < flat * 2.0**32).astype(np.float32).reshape(x.shape)
