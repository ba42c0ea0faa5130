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
    size = math.prod(x.shape[1:])
    padded = np.zeros((len(x), -(-size // 4) * 4), np.float32)
    padded[:, :size] = x.reshape(len(x), size)
    blocks = padded.reshape(len(x), padded.shape[1] // 4, 4)  # four words make a block
    grey = (padded > 0) & (padded < 1)  # 0 and 1 stay what they are, whatever is drawn
    row, block = np.nonzero(grey.view(np.uint32))  # four truth values at once
    drawn = words(seed, row_ids(rows)[row], block.astype(np.uint64), stream="data")  # four of [found]
    blocks[row, block] = np.stack(drawn, axis=-1) < blocks[row, block] * 2.0**32  # a view: padded changes with it
    return padded[:, :size].reshape(x.shape)
