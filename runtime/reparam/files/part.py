"""A .npy file that is written row by row, in any order, under the name NAME.part until all of it is there.

It has its full length from the start, so several processes may each write their own rows; which rows are there is not
told by the file but by the journal beside it.
"""

import contextlib
import dataclasses
import math
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reparam.errors import OptionError, OutputError
from reparam.files.npy import header_of
from reparam.files.reasons import as_output_error
from reparam.files.regular import open_regular


@dataclasses.dataclass(frozen=True)
class PartFile:
    """A .npy file in the making, as facts; nothing is opened.

    Attributes:
        target: where it will be, as the user named it.
        shape: of the whole array, [n, ...].
        dtype: as numpy spells it, "<f4".
    """

    target: Path
    shape: tuple[int, ...]
    dtype: str

    @property
    def place(self) -> Path:
        """The target behind any link: what is replaced in the end."""
        return Path(os.path.realpath(self.target))

    @property
    def path(self) -> Path:
        """The file in the making."""
        return self.place.with_name(self.place.name + ".part")

    @property
    def told(self) -> Path:
        """The same as messages say it: beside the target as the user named it."""
        return Path(f"{self.target}.part")

    @property
    def header(self) -> bytes:
        """What comes before the values."""
        return header_of(self.dtype, self.shape)

    @property
    def row_bytes(self) -> int:
        """Of one row."""
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Of the whole file."""
        return len(self.header) + self.shape[0] * self.row_bytes

    def is_whole(self, path: Path) -> bool:
        """Whether `path` is a file of this length and header."""
        try:
            with open_regular(path) as file:
                header = self.header
                return file.read(len(header)) == header and os.fstat(file.fileno()).st_size == self.nbytes
        except OSError:  # none there, or none that can be read: not the one that is asked for
            return False

    def create(self) -> None:
        """Makes the file, with its header and its full length, all rows zero.

        Raises:
            OutputError: it cannot be made, or exists.
        """
        with as_output_error(self.told):
            # the usual rights, which mkstemp would not give
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.header)
                file.truncate(self.nbytes)

    def publish(self) -> None:
        """Gives the file its name; one that has it already is left alone.

        Raises:
            OutputError: it cannot be moved.
        """
        with as_output_error(self.target):
            try:
                self.path.replace(self.place)
            except FileNotFoundError:
                if not self.is_whole(self.place):
                    raise

    @contextlib.contextmanager
    def writing(self) -> Generator["RowWriter"]:
        """The file, open for rows."""
        with as_output_error(self.told):
            file = self.path.open("r+b", buffering=0)
        with file:
            yield RowWriter(self, file.fileno())

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Keeps other processes from this file as long as the block runs, where the system has such locks.

        Raises:
            OutputError: another process has it.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        with open_regular(self.path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OutputError(
                    f"{self.told}: another process is writing it; wait for it or choose another name"
                ) from None
            yield


class RowWriter:
    """Writes rows to their places in an open file."""

    def __init__(self, part: PartFile, descriptor: int) -> None:
        self._told = part.told
        self._descriptor = descriptor
        self._row_shape = part.shape[1:]
        self._dtype = np.dtype(part.dtype)
        self._row_bytes = part.row_bytes
        self._offset = len(part.header)

    def write(self, row: int, values: npt.NDArray[Any]) -> None:
        """Writes [n, ...] from place `row` on; `OutputError` where that fails."""
        if values.shape[1:] != self._row_shape:
            wanted, found = list(self._row_shape), list(values.shape[1:])
            raise OptionError(f"{self._told}: rows must have shape {wanted}, got {found}")
        data = np.ascontiguousarray(values, self._dtype).reshape(-1).view(np.uint8).data
        with as_output_error(self._told):
            os.lseek(self._descriptor, self._offset + row * self._row_bytes, os.SEEK_SET)
            while len(data):
                data = data[os.write(self._descriptor, data) :]

    def sync(self) -> None:
        """Waits until what was written is on the disk; `OutputError` where that fails."""
        with as_output_error(self._told):
            os.fsync(self._descriptor)
