"""Rows out of arrays that may be larger than memory, in any order.

Files that we open are read row by row, small ones whole at once. Of arrays that a caller mapped, pages are given back
once they are copied: a page counts to the process that touched it until memory runs short, so a pass over a large file
would make it look, to a container's limit and to its user, as if the whole file had been loaded.
"""

import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from reparam.arrays import RowSource
from reparam.files.paging import file_map
from reparam.files.stored import Stored

_SMALL: Final = 2**28  # bytes: an array up to this size may stay in memory, as reading it again and again costs more
_BUDGET: Final = 2**28  # bytes touched between two releases
_AROUND: Final = 2**21  # bytes that one row may touch besides its own: systems map up to a huge page around a fault


def held(stored: Stored) -> RowSource:
    """A small file's array in memory, read-only, its file closed; a larger one as it is, to be read row by row."""
    if stored.nbytes > _SMALL:
        return stored
    with stored:
        whole = np.asarray(stored)
    whole.flags.writeable = False
    return whole


def gather(values: RowSource, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """A copy of these rows of an array, [len(rows), ...], with the array's dtype; never a memmap.

    Args:
        values: [stored rows, ...], in memory, in a file or mapped.
        rows: stored rows, in any order.
    """
    if isinstance(values, Stored):
        return values.take(rows)
    plain, pages = np.asarray(values), file_map(values) if values.nbytes > _SMALL else None
    if pages is None or len(rows) == 0:
        copied: npt.NDArray[Any] = plain[rows]
        return copied
    row_bytes = max(1, values.nbytes // len(values))
    span = (int(rows.max()) - int(rows.min()) + 1) * row_bytes
    size = len(rows) if span <= _BUDGET else max(1, _BUDGET // (row_bytes + _AROUND))
    found = np.empty((len(rows), *values.shape[1:]), values.dtype)
    for start in range(0, len(rows), size):
        found[start : start + size] = plain[rows[start : start + size]]
        pages.madvise(mmap.MADV_DONTNEED)
    return found
