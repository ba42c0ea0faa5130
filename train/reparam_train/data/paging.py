"""Rows out of arrays that may be larger than memory: pages of a large mapped file are given back once they are copied.

A page of a mapped file counts to the process that touched it until memory runs short; a pass over a large file would
make it look, to a container's limit and to its user, as if the whole file had been loaded.
"""

import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.files.paging import file_map

_SMALL: Final = 2**28  # bytes: a map up to this size may stay, as reading it again costs page faults
_BUDGET: Final = 2**28  # bytes touched between two releases
_AROUND: Final = 2**21  # bytes that one row may touch besides its own: systems map up to a huge page around a fault


def gather(values: npt.NDArray[Any], rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """A copy of these rows of an array, [len(rows), ...], with the array's dtype; never a memmap.

    Args:
        values: [stored rows, ...], in memory or mapped.
        rows: stored rows, in any order.
    """
    plain, held = np.asarray(values), file_map(values) if values.nbytes > _SMALL else None
    if held is None or len(rows) == 0:
        copied: npt.NDArray[Any] = plain[rows]
        return copied
    row_bytes = max(1, values.nbytes // len(values))
    span = (int(rows.max()) - int(rows.min()) + 1) * row_bytes
    size = len(rows) if span <= _BUDGET else max(1, _BUDGET // (row_bytes + _AROUND))
    found = np.empty((len(rows), *values.shape[1:]), values.dtype)
    for start in range(0, len(rows), size):
        found[start : start + size] = plain[rows[start : start + size]]
        held.madvise(mmap.MADV_DONTNEED)
    return found
