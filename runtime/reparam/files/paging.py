"""Files larger than memory that a caller mapped: pages are given back once they are read.

A page of a mapped file counts to the process that touched it until memory runs short; a pass over a large file would
make it look, to a container's limit and to its user, as if the whole file had been loaded.
"""

import mmap
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from reparam.files.stored import Stored

_SMALL: Final = 2**26  # bytes: a map up to this size may stay, as reading it again costs page faults
_BUDGET: Final = 2**26  # bytes touched between two releases


def file_map(values: npt.NDArray[Any]) -> mmap.mmap | None:
    """The map under an array that is mapped read-only, whose pages can be had again from the file; else None."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base: Any = values
    read_only = False
    while isinstance(base, np.ndarray):
        array = cast("npt.NDArray[Any]", base)
        # a map in another mode may hold what no file does
        read_only = read_only or (isinstance(array, np.memmap) and getattr(array, "mode", None) == "r")
        base = array.base
    return base if read_only and isinstance(base, mmap.mmap) else None


class Pages:
    """Counts what a pass over an array reads, and gives a large map's pages back whenever that is much.

    Nothing happens for arrays in memory and for small files. Giving back loses nothing: a page that is read again comes
    from the system's cache of the file.
    """

    def __init__(self, values: npt.NDArray[Any] | Stored) -> None:
        self._map: mmap.mmap | None = None
        if isinstance(values, Stored):  # read, not mapped
            return
        found = file_map(values)
        self._map = found if found is not None and len(found) > _SMALL else None
        row = values.nbytes // max(1, len(values))
        stride = abs(values.strides[0]) if values.ndim else 0
        self._row = max(stride, row) if stride >= row else _BUDGET  # of other orders a row lies all over the file
        self._touched = 0

    def read(self, rows: int) -> None:
        """Says that so many more rows were read, and that no view of them is needed any more."""
        if self._map is None:
            return
        self._touched += rows * self._row
        if self._touched >= _BUDGET:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0
