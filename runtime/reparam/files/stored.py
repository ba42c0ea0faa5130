"""Rows of an array that lies in a file: read when they are asked for, never mapped.

A mapped file that becomes shorter ends the process that touches what is gone (SIGBUS). A read comes back short, and the
row that is missing can be named. What is read takes as much memory as was asked for and no more, so a pass over a file
of any size keeps a chunk of it.
"""

import math
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
import numpy.typing as npt

from reparam.errors import InputError

_LOCK: Final = threading.Lock()


def _read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Reads into a buffer from an offset; how many bytes came, 0 at the end of the file."""
    if hasattr(os, "preadv"):  # moves no position, which a child after fork would share
        return os.preadv(descriptor, [buffer], offset)
    with _LOCK:
        os.lseek(descriptor, offset, os.SEEK_SET)
        data = os.read(descriptor, len(buffer))
    buffer[: len(data)] = data
    return len(data)


class Stored:
    """An array [n, ...] in a file. Slices and `take` give its rows as arrays in memory, which are the caller's.

    Safe to share between threads, and with children after fork. The file stays open until `close`, the end of a with
    block, or the end of the object.

    Attributes:
        path: of the file, for messages.
        dtype: of its values, in the file's own byte order.
        shape: of the whole array.
    """

    def __init__(
        self, path: Path, file: IO[bytes], *, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int, fortran: bool
    ) -> None:
        """An array in an open file, whose descriptor is duplicated.

        Args:
            path: of the file.
            file: open; its position is nothing to this.
            dtype: of the values.
            shape: of the array.
            offset: of its first value in the file.
            fortran: whether the first axis varies fastest; such rows lie all over the file and are slow to read.
        """
        self.path = path
        self.dtype = dtype
        self.shape = shape
        self._offset = offset
        self._fortran = fortran and len(shape) > 1
        self._descriptor = os.dup(file.fileno())
        self._closing = weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def stand_in(self) -> npt.NDArray[Any]:
        """An array of the same dtype and shape that takes no memory and holds zeros, for checks of these two."""
        return np.broadcast_to(np.zeros((), self.dtype), self.shape)

    def __getitem__(self, rows: slice) -> npt.NDArray[Any]:
        """Consecutive rows.

        Raises:
            InputError: the file has become shorter, with its first missing row, or cannot be read.
            ValueError: a slice with a step.
        """
        start, stop, step = rows.indices(len(self))
        if step != 1:
            raise ValueError(f"{self.path}: a slice has no step, got {step}; use take")
        return self._span(start, max(start, stop))

    def take(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
        """The rows of these numbers, 0 <= row < n, in any order; consecutive ones in one read.

        Raises:
            InputError: as slices do.
        """
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        edges = np.flatnonzero(np.diff(rows) != 1) + 1
        place = 0
        for run in np.split(rows, edges):
            if len(run):
                first = int(run[0])
                self._fill(found[place : place + len(run)], first)
                place += len(run)
        return found

    def __array__(
        self,
        dtype: npt.DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001  numpy's signature
    ) -> npt.NDArray[Any]:
        """The whole array, for numpy.asarray."""
        if copy is False:
            raise ValueError(f"{self.path}: lies in a file and cannot be had without a copy")
        if self.shape == ():
            whole = np.empty((), self.dtype)
            self._read(whole, self._offset, row=0, unit=self.dtype.itemsize)
        else:
            whole = self._span(0, len(self))
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def _span(self, start: int, stop: int) -> npt.NDArray[Any]:
        found = np.empty((stop - start, *self.shape[1:]), self.dtype)
        self._fill(found, start)
        return found

    def _fill(self, found: npt.NDArray[Any], start: int) -> None:
        """Reads as many rows as `found` has, from row `start` on."""
        if not found.size:  # a header may promise any number of columns of no rows
            return
        size = self.dtype.itemsize
        if not self._fortran:
            row_bytes = math.prod(self.shape[1:]) * size
            self._read(found, self._offset + start * row_bytes, row=start, unit=row_bytes)
            return
        column = np.empty(len(found), self.dtype)
        for number, place in enumerate(self._columns()):
            self._read(column, self._offset + (number * len(self) + start) * size, row=start, unit=size)
            found[:, *place] = column

    def _columns(self) -> Iterator[Any]:
        """Places within a row in the file's order: the first axis of a row varies fastest."""
        return (place[::-1] for place in np.ndindex(*self.shape[:0:-1]))

    def _read(self, found: npt.NDArray[Any], offset: int, *, row: int, unit: int) -> None:
        """Fills a contiguous array from an offset; `row` is the first row of it, `unit` its bytes of each."""
        buffer = found.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(buffer):
            try:
                count = _read_at(self._descriptor, buffer[done:], offset + done)
            except OSError as error:
                reason = error.strerror or error
                raise InputError(
                    f"{self.path}: row {row + done // unit} cannot be read ({reason}); check the disk"
                ) from None
            if not count:
                raise InputError(
                    f"{self.path}: was cut short while it was read, row {row + done // unit} is missing; "
                    "copy the file again"
                )
            done += count

    def close(self) -> None:
        """Closes the file; reading fails from then on."""
        self._closing()
        self._descriptor = -1  # the number may be another file's by now

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<reparam.files.stored.Stored {self.path} {self.dtype} {list(self.shape)}>"
