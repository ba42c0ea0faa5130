"""Philox4x32-10, the counter-based generator under all randomness of this project.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A bijection of a 128-bit
counter under a 64-bit key: no state, so any word can be computed alone, in any order, on any machine. It is also the
generator of cuRAND, and of PyTorch and TensorFlow on CUDA.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

UInt64Array = npt.NDArray[np.uint64]

_M0: Final = np.uint64(0xD2511F53)
_M1: Final = np.uint64(0xCD9E8D57)
_W0: Final = 0x9E3779B9  # golden ratio
_W1: Final = 0xBB67AE85  # sqrt(3) - 1
_LOW: Final = np.uint64(0xFFFFFFFF)
_SHIFT: Final = np.uint64(32)
_ROUNDS: Final = 10


def block(key: int, c0: UInt64Array, c1: UInt64Array, c2: UInt64Array, c3: UInt64Array) -> tuple[UInt64Array, ...]:
    """The four output words of Philox4x32-10 for each counter.

    Args:
        key: 0 <= key < 2^64; its low word is the first key word.
        c0: first counter word, uint64 arrays that hold values below 2^32; the four broadcast against each other.
        c1: second counter word.
        c2: third counter word.
        c3: fourth counter word.

    Returns:
        Four uint64 arrays that hold values below 2^32.

    Examples:
        >>> zero = np.zeros(1, np.uint64)
        >>> [f"{int(word[0]):08x}" for word in block(0, zero, zero, zero, zero)]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(_ROUNDS):
        p0, p1 = _M0 * c0, _M1 * c2  # 32 x 32 to 64 bits
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3
